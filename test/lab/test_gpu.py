"""Simulated GPUs: exactly the device that was asked for, none for anybody else, the ninth pod waits, allocation survives kills."""
import time

OPTIONS = ["--sim-gpu", "dgx-a100"]
IMAGES = ("busybox",)

POD = """{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "cox.local/busybox:1", command: [sleep, "3600"]%s}]}}"""
ASK = ', resources: {limits: {nvidia.com/gpu: "%d"}}'


def devices(lab, pod):
    out = lab.cox("exec", pod, "--", "sh", "-c", "ls /dev | grep -E '^nvidia[0-9]+$' | sort; echo $NVIDIA_VISIBLE_DEVICES").stdout.split("\n")
    return [x for x in out[:-2] if x], out[-2]


def test_capacity(lab):
    node = lab.until(lambda: lab.get("node", "n1")["status"]["capacity"].get("nvidia.com/gpu") == "8" and lab.get("node", "n1"), seconds=10, what="eight cards")
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"].startswith("NVIDIA-A100")


def test_one_and_none(lab):
    lab.apply(POD % ("one", ASK % 1))
    lab.apply(POD % ("none", ""))
    for pod in ("one", "none"):
        lab.cox("wait", f"pod/{pod}", "--for", "condition=Ready")
    found, visible = devices(lab, "one")
    assert len(found) == 1 and visible.startswith("GPU-"), (found, visible)
    assert devices(lab, "none") == ([], "")
    # the device cgroup as well as /dev: a node made by hand cannot be opened
    out = lab.cox("exec", "none", "--", "sh", "-c", "mknod /tmp/card c 240 0 && cat /tmp/card", check=False)
    assert out.returncode != 0 and "Operation not permitted" in out.stderr, out.stderr
    out = lab.cox("exec", "one", "--", "sh", "-c", f"cat /dev/{found[0]}", check=False)
    assert "No such device or address" in out.stderr, out.stderr


def test_the_ninth_waits(lab):
    for i in range(7):
        lab.apply(POD % (f"more{i}", ASK % 1))
    for i in range(7):
        lab.cox("wait", f"pod/more{i}", "--for", "condition=Ready", "--timeout", "30s")
    seen = {tuple(devices(lab, p)[0]) for p in ["one"] + [f"more{i}" for i in range(7)]}
    assert len(seen) == 8, seen
    lab.apply(POD % ("ninth", ASK % 1))
    message = lab.until(lambda: next(c["message"] for c in lab.get("pod", "ninth")["status"]["conditions"] if c["type"] == "PodScheduled" and c["status"] == "False"), what="why it is pending")
    assert "1 Insufficient nvidia.com/gpu" in message, message


def test_allocation_survives_kills(lab):
    before = {p: devices(lab, p) for p in ["one"] + [f"more{i}" for i in range(7)]}
    lab.nodes[0].kill("agent-process")
    lab.nodes[0].kill("server-process")
    lab.wait_ready()
    time.sleep(2)
    assert {p: devices(lab, p) for p in before} == before
    assert lab.get("pod", "ninth")["status"]["phase"] == "Pending"
    lab.cox("delete", "pod", "one", "--grace-period", "0")
    run = lab.cox("wait", "pod/ninth", "--for", "condition=Ready", "--timeout", "30s", check=False)
    assert run.returncode == 0, lab.cox("get", "pod", "ninth", "-o", "yaml").stdout + lab.cox("get", "events").stdout
    assert devices(lab, "ninth") == before["one"]
