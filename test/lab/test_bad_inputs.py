"""Bad inputs: each answers with a clear error and loses nothing."""
import http.client
import json
import os
import re
import ssl
import subprocess

import pytest

import lab as labs


@pytest.fixture(scope="module")
def api(lab):
    """request(method, path, body, type) -> (status, parsed answer) over HTTP/1.1 with the admin's certificate."""
    import base64
    text = open(lab.kubeconfig).read()
    context = ssl._create_unverified_context()
    for key, name in (("client-certificate-data", "crt"), ("client-key-data", "key")):
        with open(f"{lab.dir}/admin.{name}", "wb") as f:
            f.write(base64.b64decode(re.search(key + r":\s*(\S+)", text).group(1)))
    context.load_cert_chain(f"{lab.dir}/admin.crt", f"{lab.dir}/admin.key")

    def request(method, path, body=None, kind="application/json"):
        c = http.client.HTTPSConnection("127.0.0.1", lab.nodes[0].port, context=context, timeout=30)
        c.request(method, path, body, {"Content-Type": kind} if body is not None else {})
        answer = c.getresponse()
        data = answer.read()
        try:
            return answer.status, json.loads(data)
        except ValueError:
            return answer.status, data

    return request


PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


def pod(**spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": {"containers": [{"name": "c", "image": "x"}], **spec}}


def configmap(name="bad", **more):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


CASES = [
    ("malformed JSON", "POST", MAPS, "{", 400, "BadRequest", None),
    ("nothing in it", "POST", MAPS, "{}", 422, "Invalid", "name or generateName is required"),
    ("another kind", "POST", MAPS, json.dumps(pod()), 400, "BadRequest", None),
    ("unknown field, strict", "POST", MAPS + "?fieldValidation=Strict", json.dumps(configmap(dta={})), 400, "BadRequest", 'unknown field "dta"'),
    ("duplicate key, strict", "POST", MAPS + "?fieldValidation=Strict", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","name":"b"}}', 400, "BadRequest", "duplicate field"),
    ("wrong type", "POST", PODS, json.dumps(pod(terminationGracePeriodSeconds="x")), 400, "BadRequest", "terminationGracePeriodSeconds"),
    ("bad quantity", "POST", PODS, json.dumps(pod(containers=[{"name": "c", "image": "x", "resources": {"requests": {"cpu": "abc"}}}])), 400, "BadRequest", "quantit"),
    ("bad name", "POST", MAPS, json.dumps(configmap("Bad_Name")), 422, "Invalid", "metadata.name"),
    ("no containers", "POST", PODS, json.dumps(pod(containers=[])), 422, "Invalid", "spec.containers"),
    ("missing namespace", "POST", MAPS.replace("default", "nowhere"), json.dumps(configmap()), 404, "NotFound", 'namespaces "nowhere" not found'),
    ("name in the URL differs", "PUT", MAPS + "/other", json.dumps(configmap()), 400, "BadRequest", None),
    ("deep nesting", "POST", MAPS, '{"a":' * 5000 + "1" + "}" * 5000, 400, "BadRequest", None),
    ("unsupported media type", "POST", MAPS, "x", 415, "UnsupportedMediaType", None),
    ("unknown resource", "GET", "/api/v1/namespaces/default/nonsense", None, 404, "NotFound", None),
    ("unknown method", "PUT", MAPS, json.dumps(configmap()), 405, "MethodNotAllowed", None),
    ("bad selector", "GET", PODS + "?labelSelector=a%3D%3D%3Db", None, 400, "BadRequest", None),
    ("bad field selector", "GET", PODS + "?fieldSelector=spec.nothing%3Db", None, 400, "BadRequest", None),
    ("revision from the future", "GET", MAPS + "?resourceVersion=999999999", None, 504, "Timeout", "Too large resource version"),
    ("patch of nothing", "PATCH", MAPS + "/nothing", "{}", 404, "NotFound", None),
]


@pytest.mark.parametrize("case", CASES, ids=[c[0].replace(" ", "-") for c in CASES])
def test_refused(api, case):
    name, method, path, body, status, reason, part = case
    kind = {"PATCH": "application/merge-patch+json"}.get(method, "text/x-nothing" if status == 415 else "application/json")
    got, answer = api(method, path, body, kind)
    assert got == status, answer
    assert answer["kind"] == "Status" and answer["status"] == "Failure" and answer["code"] == status
    assert answer["reason"] == reason, answer
    if part:
        assert part in json.dumps(answer).replace("\\\"", '"'), answer


def test_a_body_over_the_limit(api):
    status, answer = api("POST", MAPS, json.dumps(configmap(data={"x": "y" * (4 << 20)})))
    assert status == 413, answer
    assert api("GET", "/version")[0] == 200


def test_alias_bombs(api):
    text = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))
    status, answer = api("POST", MAPS, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n" + text, "application/yaml")
    assert status == 400, answer


def test_a_stale_revision_conflicts(api):
    status, first = api("POST", MAPS, json.dumps(configmap("stale", data={"a": "1"})))
    assert status == 201
    status, second = api("PUT", MAPS + "/stale", json.dumps({**first, "data": {"a": "2"}}))
    assert status == 200
    status, answer = api("PUT", MAPS + "/stale", json.dumps({**first, "data": {"a": "3"}}))
    assert status == 409 and answer["reason"] == "Conflict"
    assert api("GET", MAPS + "/stale")[1]["data"] == {"a": "2"}


def test_immutable_fields(api):
    api("POST", MAPS, json.dumps(configmap("fixed", data={"a": "1"}, immutable=True)))
    status, answer = api("PATCH", MAPS + "/fixed", '{"data":{"a":"2"}}', "application/merge-patch+json")
    assert status == 422 and "immutable" in json.dumps(answer)


def test_an_image_that_does_not_exist(lab):
    lab.apply('{apiVersion: v1, kind: Pod, metadata: {name: noimage}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "cox.local/nothing:1", imagePullPolicy: Never}]}}')
    lab.until(lambda: lab.get("pod", "noimage")["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImageNeverPull", what="ErrImageNeverPull")
    lab.cox("delete", "pod", "noimage")


def test_a_command_that_does_not_exist(lab):
    lab.apply('{apiVersion: v1, kind: Pod, metadata: {name: nocommand}, spec: {terminationGracePeriodSeconds: 0, restartPolicy: Never, containers: [{name: c, image: "cox.local/busybox:1", command: [/no/such]}]}}')
    state = lab.until(lambda: lab.get("pod", "nocommand")["status"]["containerStatuses"][0]["state"].get("terminated"), what="a terminated container")
    assert state["exitCode"] != 0 and "/no/such" in state["message"]
    lab.cox("delete", "pod", "nocommand")


def test_a_taken_host_port(lab):
    text = '{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "cox.local/busybox:1", command: [sleep, "3600"], ports: [{containerPort: 80, hostPort: 8081}]}]}}'
    lab.apply(text % "port-a")
    lab.cox("wait", "pod/port-a", "--for", "condition=Ready")
    lab.apply(text % "port-b")
    message = lab.until(lambda: next(c["message"] for c in lab.get("pod", "port-b")["status"]["conditions"] if c["type"] == "PodScheduled" and c["status"] == "False"), what="the reason why it is pending")
    assert "0/1 nodes are available" in message and "free ports" in message
    lab.cox("delete", "pod", "port-a", "port-b")


def test_a_second_cox_up(lab):
    node = lab.nodes[0]
    run = labs.sh(lab.cox_path, "up", "--api-port", str(labs.free_port()), *node.flags(), "--netns", node.netns, check=False)
    assert run.returncode == 1
    assert re.search(r"is in use by another cox \(pid \d+\)", run.stderr), run.stderr


def test_a_port_in_use(lab):
    other = f"{lab.dir}/other"
    run = labs.sh(lab.cox_path, "up", "--api-port", str(lab.nodes[0].port), "--data-dir", f"{other}/data", "--config-dir", f"{other}/config", "--run-dir", f"{other}/run",
                  "--netns", lab.nodes[0].netns, check=False)
    assert run.returncode == 1
    assert "is in use: stop what listens there, or give another --api-port" in run.stderr


@pytest.mark.parametrize("flags, part", [
    (["--nonsense"], "is not an option of cox up"),
    (["--api-port", "x"], "is no number"),
    (["--pod-cidr", "10.0.0.0/33"], "must be an IPv4 range"),
    (["pods"], "is not an option of cox up"),
])
def test_bad_options(lab, flags, part):
    run = labs.sh(lab.cox_path, "up", "--data-dir", f"{lab.dir}/never", *flags, check=False)
    assert run.returncode in (1, 2) and part in run.stderr, run.stderr
    assert len(run.stderr.strip().split("\n")) == 1
