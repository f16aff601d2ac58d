"""An unmodified kubectl, each version that is found: what a user does in a first week."""
import os
import re
import subprocess
import time

import pytest

import lab as labs

IMAGES = ("busybox", "hello", "redis", "guestbook")
OPTIONS = ["--sim-gpu", "t4"]
KUBECTLS = labs.kubectls()
EXAMPLES = os.path.join(labs.TOP, "examples")

pytestmark = pytest.mark.skipif(not KUBECTLS, reason="no kubectl 1.24 or newer on this machine (and no peers built)")


@pytest.fixture(scope="module", params=sorted(KUBECTLS) or ["none"])
def kubectl(request, lab):
    """k("get", "pods") -> stdout; k.run(...) -> the whole result. Each version starts on an empty namespace of its own name."""
    path = KUBECTLS[request.param]
    ns = "v" + request.param.replace(".", "-")
    lab.kubectl("create", "namespace", ns, path=path)
    lab.until(lambda: lab.kubectl("get", "serviceaccount", "default", "-n", ns, path=path, check=False).returncode == 0, what="the default service account")

    def k(*argv, **kwargs):
        return lab.kubectl("-n", ns, *argv, path=path, **kwargs).stdout

    k.run = lambda *argv, **kwargs: lab.kubectl("-n", ns, *argv, path=path, check=False, **kwargs)
    k.argv = lambda *argv: [path, "--kubeconfig", lab.kubeconfig, "-n", ns, *argv]
    yield k
    k("delete", "namespace", ns, "--timeout=60s")


def test_apply_everything(kubectl):
    out = kubectl("apply", "-R", "-f", EXAMPLES)
    assert "deployment.apps/hello created" in out and "job.batch/gpu created" in out
    for name in ("hello", "redis", "guestbook"):
        assert f'deployment "{name}" successfully rolled out' in kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
    kubectl("wait", "job/squares", "--for=condition=Complete", "--timeout=60s")
    kubectl("wait", "job/gpu", "--for=condition=Complete", "--timeout=60s")
    assert "NVIDIA_VISIBLE_DEVICES=GPU-" in kubectl("logs", "job/gpu")
    assert "unchanged" in kubectl("apply", "-R", "-f", EXAMPLES)
    assert kubectl.run("diff", "-R", "-f", EXAMPLES).returncode == 0


def test_diff(kubectl):
    """What would change, and that nothing did."""
    text = open(os.path.join(EXAMPLES, "hello", "hello.yaml")).read().replace("replicas: 2", "replicas: 3")
    run = kubectl.run("diff", "-f", "-", input=text)
    assert run.returncode == 1 and "-  replicas: 2" in run.stdout and "+  replicas: 3" in run.stdout, run
    assert kubectl("get", "deployment", "hello", "-o", "jsonpath={.spec.replicas}") == "2"


def test_get_wide_and_describe(kubectl):
    for kind in ("deployments", "pods", "services", "jobs", "replicasets", "endpointslices", "events", "nodes", "configmaps", "serviceaccounts"):
        out = kubectl("get", kind, "-o", "wide")
        assert len(out.strip().split("\n")) > 1 and out.split()[0] in ("NAME", "LAST"), (kind, out)
    out = kubectl("describe", "deployment", "hello")
    assert "NewReplicaSet:" in out and "ScalingReplicaSet" in out
    pod = kubectl("get", "pods", "-l", "app=hello", "-o", "name").split()[0]
    out = kubectl("describe", pod)
    for word in ("Container ID:  ", "Ready             True", "Successfully assigned", "QoS Class:                   Burstable", "Started"):
        assert word in out, (word, out)
    assert "Allocatable:" in kubectl("describe", "node", "n1")
    assert "Endpoints:" in kubectl("describe", "service", "hello")


def test_explain(kubectl):
    out = kubectl("explain", "deployment.spec.strategy")
    assert "FIELD: strategy <DeploymentStrategy>" in out and "rollingUpdate" in out
    out = kubectl("explain", "pod", "--recursive")
    assert "containers" in out and "livenessProbe" in out and "terminationGracePeriodSeconds" in out


def test_the_guestbook_keeps_what_it_is_told(kubectl, lab):
    address = kubectl("get", "service", "guestbook", "-o", "jsonpath={.spec.clusterIP}")
    assert "1 entries" in lab.inside("curl", "-sS", "--max-time", "10", "-d", "a good start", f"http://{address}/").stdout
    out = lab.inside("curl", "-sS", "--max-time", "10", f"http://{address}/").stdout
    assert "- a good start" in out


def test_logs_follow(kubectl):
    kubectl("run", "talker", "--image=cox.local/busybox:1", "--restart=Never", "--command", "--", "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done")
    kubectl("wait", "pod/talker", "--for=jsonpath={.status.phase}=Running", "--timeout=20s")
    assert kubectl("logs", "-f", "talker", timeout=20) == "".join(f"line {i}\n" for i in range(1, 6))
    assert kubectl("logs", "talker", "--tail=1") == "line 5\n"
    kubectl("delete", "pod", "talker")


def test_exec_and_cp(kubectl, tmp_path):
    pod = kubectl("get", "pods", "-l", "app=hello", "-o", "jsonpath={.items[0].metadata.name}")
    assert kubectl("exec", pod, "--", "hostname").strip() == pod
    assert kubectl("exec", "-i", pod, "--", "cat", input="through\n") == "through\n"
    run = kubectl.run("exec", pod, "--", "sh", "-c", "exit 5")
    assert run.returncode == 5
    # a terminal: script(1) gives kubectl one
    out = subprocess.run(["script", "-qec", " ".join(kubectl.argv("exec", "-it", pod, "--", "sh", "-c", "'test -t 0 && echo terminal'")), "/dev/null"], capture_output=True, text=True, timeout=30)
    assert "terminal" in out.stdout, out
    (tmp_path / "there").write_text("x" * 100000)
    kubectl("cp", str(tmp_path / "there"), f"{pod}:/tmp/there")
    kubectl("cp", f"{pod}:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "x" * 100000


def test_port_forward(kubectl):
    port = labs.free_port()
    process = subprocess.Popen(kubectl.argv("port-forward", "service/hello", f"{port}:80"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert "Forwarding from 127.0.0.1" in process.stdout.readline()
        for _ in range(3):
            out = labs.sh("curl", "-sS", "--max-time", "5", f"http://127.0.0.1:{port}/").stdout
            assert out.startswith("Hello from hello-")
    finally:
        process.terminate()
        process.wait(10)


def test_scale_set_image_and_undo(kubectl):
    kubectl("scale", "deployment/hello", "--replicas=3")
    kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
    kubectl("set", "image", "deployment/hello", "hello=cox.local/no-such:1")
    pod = None
    for _ in range(100):
        waiting = [line.split() for line in kubectl("get", "pods", "-l", "app=hello", "--no-headers").strip().split("\n")]
        pod = next((w for w in waiting if w[2] in ("ErrImagePull", "ImagePullBackOff")), None)
        if pod:
            break
        time.sleep(0.2)
    assert pod, waiting
    assert sum(w[1] == "1/1" for w in waiting) >= 2, "the old pods go on serving"
    assert len(re.findall(r"^\d+ ", kubectl("rollout", "history", "deployment/hello"), re.M)) == 2
    kubectl("rollout", "undo", "deployment/hello")
    kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
    assert kubectl("get", "deployment", "hello", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == "cox.local/hello:1"
    kubectl("set", "image", "deployment/hello", "hello=cox.local/no-such:2")
    kubectl("set", "image", "deployment/hello", "hello=cox.local/hello:1")
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
    kubectl("rollout", "restart", "deployment/hello")
    kubectl("rollout", "status", "deployment/hello", "--timeout=60s")


def test_create_and_edit_by_words(kubectl):
    kubectl("create", "configmap", "words", "--from-literal=a=b")
    kubectl("create", "secret", "generic", "hidden", "--from-literal=password=x")
    kubectl("label", "configmap", "words", "kind=test")
    kubectl("annotate", "configmap", "words", "why=because")
    kubectl("patch", "configmap", "words", "--type=merge", "-p", '{"data":{"c":"d"}}')
    assert kubectl("get", "configmap", "words", "-o", "jsonpath={.data.a}{.data.c}{.metadata.labels.kind}") == "bdtest"
    assert kubectl("get", "secret", "hidden", "-o", "jsonpath={.data.password}") == "eA=="
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert kubectl("create", "token", "default").count(".") == 2
    assert "Kubernetes control plane" in kubectl("cluster-info")
    assert "apps/v1" in kubectl("api-versions")


def test_delete(kubectl):
    kubectl("delete", "-R", "-f", EXAMPLES, "--timeout=60s")
    assert "No resources found" in kubectl.run("get", "deployments,services,jobs").stderr
