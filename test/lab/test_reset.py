"""`cox reset` after everything of cox was killed: nothing is left, and it says so."""
import re
import time

IMAGES = ("busybox",)

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: shares}
spec:
  shareProcessNamespace: true
  containers:
  - {name: a, image: "cox.local/busybox:1", command: [sleep, "3600"]}
  - {name: b, image: "cox.local/busybox:1", command: [sleep, "3600"]}
---
apiVersion: v1
kind: Pod
metadata: {name: mounts}
spec:
  volumes:
  - {name: m, emptyDir: {medium: Memory}}
  - {name: d, emptyDir: {}}
  containers:
  - name: c
    image: cox.local/busybox:1
    command: [sleep, "3600"]
    volumeMounts: [{name: m, mountPath: /m}, {name: d, mountPath: /d, subPath: inner}]
    ports: [{containerPort: 80, hostPort: 8088}]
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {a: b}, ports: [{port: 80}]}
"""


def test_nothing_is_left(lab):
    lab.apply(PODS)
    for pod in ("shares", "mounts"):
        lab.cox("wait", f"pod/{pod}", "--for", "condition=Ready", "--timeout", "30s")
    node = lab.nodes[0]
    children = node.children()
    node.process.kill()
    node.process.wait()
    for role in children:  # they end with their parent
        for _ in range(200):
            if role not in node.children():
                break
            time.sleep(0.01)
    out = node.reset()
    assert out.returncode == 0, out.stdout + out.stderr
    counts = re.findall(r"^  (\S.*?) +(\d+) left$", out.stdout, re.M)
    assert len(counts) == 6 and all(n == "0" for _, n in counts), out.stdout
