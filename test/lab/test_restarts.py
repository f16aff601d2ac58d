"""Server and agent killed with -9 and started again: same container processes, no restart counted, no request lost."""
import os
import random
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
    lab.until(lambda: lab.get("deployment", "steady")["status"].get("readyReplicas") == 5, seconds=60, what="five ready pods")
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
    """200 requests a second, each over a new connection, from a pod to a Service, while server and agent are killed: none fails.
    Tier C: 60 s and ten kills of each; tier P: 12 s and four."""
    seconds, kills = (60, 10) if os.environ.get("COX_TIER") == "C" else (12, 4)
    labs.sh("gcc", "-O2", "-static", "-o", f"{lab.dir}/load", f"{labs.TOP}/test/lab/load.c")
    lab.cox("apply", "-f", f"{labs.TOP}/examples/hello")
    lab.cox("wait", "deployment/hello", "--for", "condition=Available", "--timeout", "60s")
    address = lab.get("service", "hello")["spec"]["clusterIP"]
    lab.apply(f"""
apiVersion: v1
kind: Pod
metadata: {{name: client}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  volumes: [{{name: load, hostPath: {{path: {lab.dir}/load, type: File}}}}]
  containers: [{{name: c, image: "cox.local/busybox:1", command: [/load, "{address}", "80", "200", "{seconds}"], volumeMounts: [{{name: load, mountPath: /load}}]}}]
""")
    lab.until(lambda: "begins" in lab.cox("logs", "client", check=False).stdout, what="the load")
    began = time.monotonic()
    pause = (seconds - 2) / (2 * kills)
    for i in range(2 * kills):
        time.sleep(max(0, began + pause * (i + 0.5) - time.monotonic()))
        lab.nodes[0].kill(("agent-process", "server-process")[i % 2])
    out = lab.until(lambda: "asked" in lab.cox("logs", "client", check=False).stdout and lab.cox("logs", "client").stdout, seconds=40, what="the client's count")
    print(out)
    words = out.split("\n")[-2].split()
    assert words[1] == str(200 * seconds) and words[3] == "0", out
