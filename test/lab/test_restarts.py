"""Server and agent killed with -9 and started again: same container processes, no restart counted, no request lost."""
import random
import signal
import subprocess
import threading
import time

import lab as labs


def containers(lab):
    """{container id: (pid, start time)} of all running containers of the lab's first node, from /proc."""
    out = {}
    for pod in lab.get("pods", "-A")["items"]:
        for status in pod["status"].get("containerStatuses", []):
            assert status["restartCount"] == 0, (pod["metadata"]["name"], status)
            out[status["containerID"]] = status["state"].get("running", {}).get("startedAt")
    return out


def test_kills_of_agent_and_server(lab):
    """N1 at tier P: 20 kills of the agent among them."""
    lab.apply("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: steady}
spec:
  replicas: 5
  selector: {matchLabels: {app: steady}}
  template:
    metadata: {labels: {app: steady}}
    spec:
      containers:
      - name: c
        image: cox.local/busybox:1
        command: [sh, -c, 'i=0; while true; do i=$((i+1)); echo $i; sleep 0.2; done']
        readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1}
""")
    lab.cox("wait", "deployment/steady", "--for", "condition=Available", "--timeout", "60s")
    before = containers(lab)
    flips = []
    stop = threading.Event()

    def watch_ready():
        """Any Ready=False of a pod that was ready is a flip."""
        while not stop.is_set():
            try:
                for pod in lab.get("pods", "-l", "app=steady")["items"]:
                    ready = next((c["status"] for c in pod["status"].get("conditions", []) if c["type"] == "Ready"), None)
                    if ready != "True":
                        flips.append((pod["metadata"]["name"], ready))
            except (AssertionError, ValueError):
                pass  # the server is being killed
            time.sleep(0.05)

    thread = threading.Thread(target=watch_ready, daemon=True)
    thread.start()
    rng = random.Random(1)
    for i in range(20):
        lab.until(lambda: "agent-process" in lab.nodes[0].children() and "server-process" in lab.nodes[0].children(), what="both children run")
        lab.nodes[0].kill("agent-process")
        if i % 4 == 3:
            lab.nodes[0].kill("server-process")
        time.sleep(rng.uniform(0.3, 1.2))
    lab.wait_ready()
    time.sleep(3)
    stop.set()
    thread.join()
    assert containers(lab) == before
    assert not flips, flips
    for pod in lab.get("pods", "-l", "app=steady")["items"]:
        lines = lab.cox("logs", pod["metadata"]["name"]).stdout.split()
        assert [int(x) for x in lines] == list(range(1, len(lines) + 1)), "no log line lost or doubled"


def test_stop_and_start_again(lab):
    before = containers(lab)
    lab.nodes[0].stop()
    lab.nodes[0].start()
    lab.wait_ready()
    lab.until(lambda: len(lab.get("nodes")["items"]) == 1, what="the node")
    time.sleep(2)
    assert containers(lab) == before


def test_requests_during_kills(lab):
    """New connections from a pod to a Service while server and agent are killed: none fails."""
    lab.cox("apply", "-f", f"{labs.TOP}/examples/hello")
    lab.cox("wait", "deployment/hello", "--for", "condition=Available", "--timeout", "60s")
    address = lab.get("service", "hello")["spec"]["clusterIP"]
    seconds = 15
    script = f"end=$(($(date +%s) + {seconds})); n=0; f=0; while [ $(date +%s) -lt $end ]; do n=$((n+1)); wget -q -O /dev/null http://{address}/ || f=$((f+1)); done; echo asked $n failed $f"
    lab.apply('{apiVersion: v1, kind: Pod, metadata: {name: client}, spec: {restartPolicy: Never, terminationGracePeriodSeconds: 0, containers: [{name: c, image: "cox.local/busybox:1", command: [sh, -c, "%s"]}]}}' % script)
    lab.cox("wait", "pod/client", "--for", "condition=Ready")
    for i in range(6):
        time.sleep(1)
        children = lab.nodes[0].children()
        for role in ("agent-process", "server-process"):
            if role in children and (role == "agent-process" or i % 2 == 0):
                lab.nodes[0].kill(role)
    out = lab.until(lambda: "asked" in lab.cox("logs", "client", check=False).stdout and lab.cox("logs", "client").stdout, seconds=40, what="the client's count")
    words = out.split()
    assert int(words[1]) > 100 and words[3] == "0", out
