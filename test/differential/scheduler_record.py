#!/usr/bin/env python3
"""Records what a real kube-scheduler does with random nodes and pods.

usage: scheduler_record.py URL CERT KEY SEED NODES PODS > record
One line each: `N JSON` a node, `S JSON` a service, `P NODE JSON` a pod and the node it got ("-": none), in order.
test/differential/scheduler_check.c replays the record against our plugins and the naive reference.
"""
import json
import random
import ssl
import sys
import time
import urllib.error
import urllib.request

url, cert, key, seed, nodes, pods = sys.argv[1:7]
rnd = random.Random(int(seed))
tls = ssl._create_unverified_context()
tls.load_cert_chain(cert, key)


def call(method, path, body=None, kind="application/json"):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, method=method, headers={"Content-Type": kind})
    with urllib.request.urlopen(request, context=tls) as answer:
        return json.load(answer)


def chance(percent):
    return rnd.randrange(100) < percent


def selector():
    return rnd.choice([
        {"matchLabels": {"app": rnd.choice("abc")}},
        {"matchExpressions": [{"key": "app", "operator": rnd.choice(["In", "NotIn"]), "values": ["a", rnd.choice("bc")]}]},
        {"matchExpressions": [{"key": "tier", "operator": rnd.choice(["Exists", "DoesNotExist"])}]},
    ])


def term():
    return {"topologyKey": rnd.choice(["kubernetes.io/hostname", "topology.kubernetes.io/zone", "disk"]), "labelSelector": selector()}


def node_term():
    return {"matchExpressions": [rnd.choice([
        {"key": "disk", "operator": "In", "values": [rnd.choice(["ssd", "hdd"])]},
        {"key": "n", "operator": rnd.choice(["Gt", "Lt"]), "values": [str(rnd.randrange(int(nodes)))]},
        {"key": "topology.kubernetes.io/zone", "operator": rnd.choice(["Exists", "DoesNotExist"])}])]}


REQUIRED, PREFERRED = ("%sDuringSchedulingIgnoredDuringExecution" % word for word in ("required", "preferred"))


def make_node(i):
    labels = {"n": str(i), "kubernetes.io/hostname": "n%d" % i, "disk": rnd.choice(["ssd", "hdd"])}
    if chance(80):
        labels["topology.kubernetes.io/zone"] = rnd.choice("abc")
    spec = {}
    if chance(8):
        spec["unschedulable"] = True
    taints = []
    if chance(25):
        taints.append({"key": rnd.choice("kl"), "value": "v", "effect": rnd.choice(["NoSchedule", "PreferNoSchedule"])})
        if chance(50):
            taints.append({"key": "m", "effect": "PreferNoSchedule"})
    allocatable = {"cpu": str(rnd.randrange(2, 12)), "memory": "%dGi" % rnd.randrange(2, 20), "pods": str(rnd.randrange(5, 40))}
    images = [{"names": ["big:1"], "sizeBytes": 300000000}] if chance(50) else []
    call("POST", "/api/v1/nodes", {"metadata": {"name": "n%d" % i, "labels": labels}, "spec": spec})
    call("PATCH", "/api/v1/nodes/n%d/status" % i, {"status": {"capacity": allocatable, "allocatable": allocatable, "images": images}},
         "application/merge-patch+json")
    return call("PATCH", "/api/v1/nodes/n%d" % i, {"spec": {"taints": taints or None}}, "application/merge-patch+json")


def make_pod(i):
    requests = {}
    if chance(70):
        requests["cpu"] = "%d00m" % rnd.randrange(1, 12)
    if chance(60):
        requests["memory"] = "%dMi" % (100 * rnd.randrange(1, 12))
    container = {"name": "c", "image": rnd.choice(["big:1", "small:1"]), "resources": {"requests": requests}}
    if chance(8):
        container["ports"] = [{"containerPort": 80, "hostPort": 80}]
    spec = {"automountServiceAccountToken": False, "containers": [container]}
    if chance(15):
        spec["nodeSelector"] = {"disk": rnd.choice(["ssd", "hdd"])}
    if chance(25):
        spec["tolerations"] = [{"key": rnd.choice("kl"), "operator": "Exists"}]
    affinity = {}
    if chance(25):
        affinity["nodeAffinity"] = {PREFERRED: [{"weight": rnd.randrange(1, 100), "preference": node_term()}]}
        if chance(40):
            affinity["nodeAffinity"][REQUIRED] = {"nodeSelectorTerms": [node_term(), node_term()]}
    for kind in "podAffinity", "podAntiAffinity":
        if chance(25):
            affinity[kind] = {PREFERRED: [{"weight": rnd.randrange(1, 100), "podAffinityTerm": term()}]}
            if chance(30):
                affinity[kind][REQUIRED] = [term()]
    if affinity:
        spec["affinity"] = affinity
    if chance(25):
        spec["topologySpreadConstraints"] = [
            {"maxSkew": rnd.randrange(1, 4), "topologyKey": which, "whenUnsatisfiable": rnd.choice(["DoNotSchedule", "ScheduleAnyway"]),
             "labelSelector": selector()} for which in ["topology.kubernetes.io/zone", "kubernetes.io/hostname"][:rnd.randrange(1, 3)]]
    labels = {"app": rnd.choice("abc")}
    if chance(50):
        labels["tier"] = "t"
    return call("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": "p%d" % i, "labels": labels}, "spec": spec})


def outcome(name):
    for _ in range(200):
        pod = call("GET", "/api/v1/namespaces/default/pods/" + name)
        if pod["spec"].get("nodeName"):
            return pod["spec"]["nodeName"], pod
        for condition in pod["status"].get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return "-", pod
        time.sleep(0.02)
    raise SystemExit("the scheduler does not answer")


try:
    call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
except urllib.error.HTTPError:
    pass
if chance(60):
    service = {"metadata": {"name": "s"}, "spec": {"selector": {"app": rnd.choice("ab")}, "ports": [{"port": 80}]}}
    print("S", json.dumps(call("POST", "/api/v1/namespaces/default/services", service)))
for i in range(int(nodes)):
    print("N", json.dumps(make_node(i)))
time.sleep(1)
for i in range(int(pods)):
    node, pod = outcome(make_pod(i)["metadata"]["name"])
    print("P", node, json.dumps(pod))
    if node == "-":  # it must not wait in the queue and come in between
        call("DELETE", "/api/v1/namespaces/default/pods/p%d?gracePeriodSeconds=0" % i)
