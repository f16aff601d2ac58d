"""Static pods: run from a folder of the node, shown in the API as mirrors."""
import os

import pytest

import lab as labs

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: static}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: c, image: "cox.local/busybox:1", command: [sh, -c, "echo {word}; sleep 3600"]}}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifests")
    (folder / "first.yaml").write_text(POD.format(name="first", word="one"))
    with labs.Lab(images=("busybox",), options=["--pod-manifest-path", str(folder)]) as running:
        running.folder = folder
        yield running


def running(lab, name):
    pod = lab.get("pod", name)
    return pod["status"].get("phase") == "Running" and pod


def test_a_mirror_shows_it(lab):
    pod = lab.until(lambda: running(lab, "first-n1"), what="the static pod runs")
    notes = pod["metadata"]["annotations"]
    assert notes["kubernetes.io/config.source"] == "file" and notes["kubernetes.io/config.mirror"] == notes["kubernetes.io/config.hash"]
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Node" and pod["spec"]["nodeName"] == "n1"
    assert lab.cox("logs", "first-n1").stdout == "one\n"
    assert lab.cox("exec", "first-n1", "--", "hostname").stdout == "first-n1\n"


def test_a_deleted_mirror_comes_back_and_the_pod_goes_on(lab):
    before = lab.get("pod", "first-n1")
    lab.cox("delete", "pod", "first-n1")
    after = lab.until(lambda: (lambda p: p and p["metadata"]["uid"] != before["metadata"]["uid"] and p)(running(lab, "first-n1")), what="a new mirror")
    assert after["status"]["containerStatuses"][0]["containerID"] == before["status"]["containerStatuses"][0]["containerID"]


def test_it_outlives_agent_and_server(lab):
    before = lab.get("pod", "first-n1")["status"]["containerStatuses"][0]
    lab.nodes[0].kill("agent-process")
    lab.nodes[0].kill("server-process")
    lab.wait_ready()
    lab.until(lambda: lab.cox("exec", "first-n1", "--", "true", check=False).returncode == 0, what="the new agent")
    assert lab.get("pod", "first-n1")["status"]["containerStatuses"][0] == before


def test_a_changed_file_is_another_pod(lab):
    (lab.folder / "first.yaml").write_text(POD.format(name="first", word="two"))
    lab.until(lambda: lab.cox("logs", "first-n1", check=False).stdout == "two\n", what="the second version")
    assert lab.get("pod", "first-n1")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_bad_files_cost_nothing(lab):
    (lab.folder / "bad.yaml").write_text("kind: [")
    (lab.folder / "secret.yaml").write_text(POD.format(name="secret", word="x") + "  volumes: [{name: v, secret: {secretName: s}}]\n")
    (lab.folder / "second.json").write_text('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "second"}, "spec": {"containers": [{"name": "c", "image": "cox.local/busybox:1", "command": ["sleep", "3600"]}]}}')
    lab.until(lambda: running(lab, "second-n1"), what="the good one")
    assert "a static pod may not have a secret volume" in lab.nodes[0].log() and "bad.yaml" in lab.nodes[0].log()
    assert len(lab.get("pods")["items"]) == 2


def test_a_removed_file_ends_it(lab):
    for name in os.listdir(lab.folder):
        os.remove(lab.folder / name)
    lab.until(lambda: not lab.get("pods")["items"], what="no pod is left")
