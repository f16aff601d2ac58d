#!/usr/bin/env python3
"""The same story told to two clusters, and what their controllers made of it compared.

usage: controllers.py KUBECTL KUBECONFIG              tells the story to one cluster, prints the normalised record
       controllers.py KUBECTL KUBECONFIG KUBECONFIG   both, one after the other; prints the difference, exit status 1 if there is one
Wanted in each cluster: no kubelet, no scheduler, a Ready node named "fake", the ServiceAccount default/default (`test/peers/reference up --controllers
--fake-node`; `cox server`, which makes the node itself when it is missing). The story plays the kubelet by patching statuses.
What may differ is taken out: names drawn at random, times, how often an event was repeated, texts of conditions of namespaces, the annotation
endpoints.kubernetes.io/last-change-trigger-time (not served here).
"""
import difflib
import json
import re
import subprocess
import sys
import time

DEPLOYMENT = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "annotations": {"note": "x"}},
    "spec": {"replicas": 3, "revisionHistoryLimit": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {
        "metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}},
        "spec": {"nodeName": "fake", "terminationGracePeriodSeconds": 5,
                 "containers": [{"name": "c", "image": "v1", "ports": [{"name": "http", "containerPort": 8080}]}]}}}}
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"team": "blue"}},
           "spec": {"selector": {"app": "web"}, "ports": [{"name": "h", "port": 80, "targetPort": "http"}]}}
POD = {"spec": {"nodeName": "fake", "restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}
JOBS = [{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "work"}, "spec": {"completions": 3, "parallelism": 2, "template": POD}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "idx"},
         "spec": {"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 0, "template": POD}}]
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fake", "labels": {"kubernetes.io/os": "linux"}}}
HIDDEN = ("resourceVersion", "managedFields", "creationTimestamp", "uid")
RANDOM = [(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"), (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
          (r"web-[a-z0-9]{6,10}-[a-z0-9]{5}\b", "web-HASH-POD"), (r"web-[bcdfghjklmnpqrstvwxz0-9]{6,10}\b", "web-HASH"),
          (r"(work|idx-\d)-[a-z0-9]{5}\b", r"\1-POD"), (r'"web-[a-z0-9]{5}"', '"web-SLICE"'), (r"kube-api-access-\w{5}", "kube-api-access"),
          (r'"pod-template-hash": "\w+"', '"pod-template-hash": "HASH"')]


class Cluster:
    def __init__(self, kubectl, kubeconfig):
        self.command = [kubectl, "--kubeconfig", kubeconfig]
        self.record, self.addresses = [], 10

    def run(self, *argv, body=None, check=True):
        done = subprocess.run([*self.command, *argv], input=body and json.dumps(body), capture_output=True, text=True)
        if check and done.returncode != 0:
            self.record.append(f"kubectl {argv[:3]}: {done.stderr.strip()}")
        return done.stdout

    def items(self, kind, namespace="default"):
        return json.loads(self.run("get", kind, "-n", namespace, "-o", "json") or '{"items": []}')["items"]

    def create(self, *objects):
        for body in objects:
            self.run("create", "-f", "-", body=body)

    def patch_status(self, pod, status):
        self.run("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))

    def beat(self):
        """The node lives: a cluster that watches leases must not take it for lost."""
        self.run("patch", "lease", "fake", "-n", "kube-node-lease", "--type=merge", "-p",
                 json.dumps({"spec": {"renewTime": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())}}))

    def settle(self, rounds):
        """Plays the kubelet: pending pods become ready, deleted ones go."""
        self.beat()
        for _ in range(rounds):
            for pod in self.items("pods"):
                if pod["metadata"].get("deletionTimestamp"):
                    self.run("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0", "--wait=false", check=False)
                elif pod["status"].get("phase") == "Pending" and pod["metadata"]["labels"].get("app") == "web":
                    self.addresses += 1
                    ip = f"10.1.0.{self.addresses}"
                    self.patch_status(pod, {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                                            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
            time.sleep(0.4)

    def end_pods(self, prefix, count, phase, code=0, index=None):
        for pod in self.items("pods"):
            meta = pod["metadata"]
            fits = index is None or meta.get("annotations", {}).get("batch.kubernetes.io/job-completion-index") == index
            if count > 0 and fits and meta["name"].startswith(prefix) and pod["status"].get("phase") == "Pending":
                count -= 1
                ended = {"exitCode": code, "finishedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
                self.patch_status(pod, {"phase": phase, "containerStatuses": [{
                    "name": "c", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": ended}}]})

    def note(self, title, kind, *members):
        texts = []
        for item in self.items(kind):
            meta = item["metadata"]
            if meta["name"] == "kubernetes":
                continue
            for hidden in HIDDEN + (("generation",) if kind == "endpointslices" else ()):
                meta.pop(hidden, None)
            notes = meta.get("annotations", {})
            for ours in ("endpoints.kubernetes.io/last-change-trigger-time", "kubernetes.io/description"):
                notes.pop(ours, None)
            if not notes:
                meta.pop("annotations", None)
            conditions = (item.get("status") or {}).get("conditions")
            if conditions:
                conditions.sort(key=lambda one: one["type"])
            text = json.dumps({member: item.get(member) or None for member in members}, sort_keys=True, indent=1)
            for pattern, name in RANDOM:
                text = re.sub(pattern, name, text)
            texts.append(text)
        self.record += [f"== {title}: {kind}", *"\n".join(sorted(texts)).split("\n")]

    def note_events(self, title):
        seen = {(event["involvedObject"]["kind"], event["type"], event["reason"], event["source"].get("component")) for event in self.items("events")}
        kinds = ("Deployment", "ReplicaSet", "Job")
        self.record += [f"== {title}: events", *sorted(" ".join(map(str, event)) for event in seen if event[0] in kinds)]


def rollouts(c):
    c.create(DEPLOYMENT, SERVICE)
    time.sleep(2)
    for kind, members in (("deployments", ("metadata", "status")), ("replicasets", ("metadata", "spec", "status")),
                          ("endpointslices", ("metadata", "addressType", "endpoints", "ports")), ("endpoints", ("metadata", "subsets"))):
        c.note("created", kind, *members)
    c.settle(6)
    for kind, members in (("deployments", ("metadata", "status")), ("pods", ("metadata",)),
                          ("endpointslices", ("metadata", "addressType", "ports")), ("replicasets", ("metadata", "status"))):
        c.note("ready", kind, *members)
    steps = [("second", ("set", "image", "deployment/web", "c=v2")), ("undone", ("rollout", "undo", "deployment/web")),
             ("paused", ("rollout", "pause", "deployment/web")), ("scaled", ("scale", "deployment/web", "--replicas=5")),
             ("resumed", ("rollout", "resume", "deployment/web")), ("third", ("set", "image", "deployment/web", "c=v3")),
             ("fourth", ("set", "image", "deployment/web", "c=v4")), ("fifth", ("set", "image", "deployment/web", "c=v5"))]
    for title, argv in steps:
        c.run(*argv)
        c.settle(14)
        c.note(title, "deployments", "metadata", "status")
        c.note(title, "replicasets", "metadata", "status")
        c.record.append(c.run("rollout", "history", "deployment/web"))
    c.run("delete", "deployment", "web", "--cascade=foreground", "--wait=false")
    c.settle(6)
    c.record.append(str([(kind, len(c.items(kind))) for kind in ("deployments", "replicasets", "pods")]))


def jobs(c):
    c.beat()
    c.create(*JOBS)
    time.sleep(2)
    c.note("created", "jobs", "metadata", "status")
    c.note("created", "pods", "metadata", "spec")
    for index in ("0", "2"):
        c.end_pods("idx", 1, "Succeeded", index=index)
    c.end_pods("idx", 1, "Failed", 3, "1")
    c.end_pods("work", 2, "Succeeded")
    time.sleep(3)
    c.end_pods("work", 2, "Succeeded")
    time.sleep(3)
    c.note("done", "jobs", "metadata", "status")
    c.note("done", "pods", "metadata")
    c.note_events("jobs")
    c.run("delete", "jobs", "--all", "--wait=false")
    time.sleep(3)
    c.record.append(str([(kind, len(c.items(kind))) for kind in ("jobs", "pods")]))


def namespaces_and_owners(c):
    c.beat()
    c.run("create", "namespace", "tmp")
    time.sleep(2)
    c.record.append(str([[item["metadata"]["name"] for item in c.items(kind, "tmp")] for kind in ("serviceaccounts", "configmaps")]))
    c.run("create", "configmap", "held", "-n", "tmp")
    c.run("patch", "configmap", "held", "-n", "tmp", "-p", '{"metadata":{"finalizers":["x/y"]}}')
    c.run("delete", "namespace", "tmp", "--wait=false")
    time.sleep(9)
    status = json.loads(c.run("get", "namespace", "tmp", "-o", "json"))["status"]
    c.record += sorted(f"{one['type']} {one['status']} {one['reason']}" for one in status["conditions"])
    c.run("patch", "configmap", "held", "-n", "tmp", "-p", '{"metadata":{"finalizers":null}}')
    time.sleep(10)
    c.record.append("namespace left: " + c.run("get", "namespace", "tmp", "--ignore-not-found", "-o", "name"))
    c.run("create", "configmap", "owner")
    uid = json.loads(c.run("get", "configmap", "owner", "-o", "json"))["metadata"]["uid"]
    for name in ("one", "two"):
        c.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}]}})
    time.sleep(1)
    c.run("delete", "configmap", "owner", "--cascade=orphan")
    time.sleep(2)
    c.note("orphans", "configmaps", "metadata")
    c.run("delete", "configmap", "one", "two")
    c.run("delete", "service", "web")
    time.sleep(2)
    c.record.append(str([[i["metadata"]["name"] for i in c.items(kind) if i["metadata"]["name"] != "kubernetes"] for kind in ("endpointslices", "endpoints")]))


def tell(kubectl, kubeconfig):
    c = Cluster(kubectl, kubeconfig)
    if not c.run("get", "node", "fake", "--ignore-not-found", "-o", "name"):
        c.create(NODE)
        c.run("patch", "node", "fake", "--subresource=status", "--type=merge", "-p",
              json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Fake", "message": ""}]}}))
    if not c.run("get", "namespace", "kube-node-lease", "--ignore-not-found", "-o", "name"):
        c.run("create", "namespace", "kube-node-lease")
    c.create({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "fake", "namespace": "kube-node-lease"}, "spec": {}})
    for _ in range(60):  # controllers of a fresh cluster take their time
        if c.run("get", "configmap", "kube-root-ca.crt", "--ignore-not-found", "-o", "name"):
            break
        time.sleep(0.5)
    rollouts(c)
    jobs(c)
    namespaces_and_owners(c)
    return [line for entry in c.record for line in entry.split("\n")]


def main():
    records = [tell(sys.argv[1], kubeconfig) for kubeconfig in sys.argv[2:]]
    if len(records) == 1:
        print("\n".join(records[0]))
        return 0
    difference = list(difflib.unified_diff(records[0], records[1], sys.argv[2], sys.argv[3], lineterm="", n=2))
    print("\n".join(difference) if difference else f"alike in {len(records[0])} lines")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
