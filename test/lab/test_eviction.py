"""Pods that go: over a limit of local storage, and because the node runs short (the threshold is set beyond what the machine has)."""
import lab as labs


def pod(lab, name, command, container="", spec=""):
    lab.apply(f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  nodeName: n1
  terminationGracePeriodSeconds: 0
  {spec}
  containers: [{{name: c, image: "cox.local/busybox:1", command: [sh, -c, '{command}; sleep 3600'] {"," if container else ""} {container}}}]
""")


def evicted(lab, name, message, seconds=30):
    s = lab.until(lambda: (lambda s: s["phase"] == "Failed" and s)(lab.get("pod", name)["status"]), seconds=seconds, what=f"{name} is evicted")
    assert s["reason"] == "Evicted" and message in s["message"], s
    return s


def write(path, mib):
    return f"dd if=/dev/zero of={path} bs=1M count={mib} 2>/dev/null"


def test_local_storage():
    with labs.Lab(images=("busybox",)) as lab:
        volume, mount = "volumes: [{name: v, emptyDir: {sizeLimit: 4Mi}}]", "volumeMounts: [{name: v, mountPath: /v}]"
        pod(lab, "volume", write("/v/f", 8), mount, volume)
        pod(lab, "modest", write("/v/f", 2), mount, volume)
        pod(lab, "layer", write("/f", 8), "resources: {limits: {ephemeral-storage: 4Mi}}")
        pod(lab, "total", write("/v/f", 6), mount + ", resources: {limits: {ephemeral-storage: 4Mi}}", "volumes: [{name: v, emptyDir: {}}]")
        s = evicted(lab, "volume", 'Usage of EmptyDir volume "v" exceeds the limit "4Mi". ')
        disrupted = next(c for c in s["conditions"] if c["type"] == "DisruptionTarget")
        assert disrupted["status"] == "True" and disrupted["reason"] == "TerminationByKubelet", s
        evicted(lab, "layer", 'Container c exceeded its local ephemeral storage limit "4Mi". ')
        evicted(lab, "total", "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ")
        assert lab.get("pod", "modest")["status"]["phase"] == "Running"
        assert "Evicted" in lab.cox("get", "events").stdout
        lab.nodes[0].stop()
        lab.nodes[0].start(extra=["--eviction-hard", "memory.available<lots"])
        assert lab.nodes[0].process.wait(20) == 1
        assert '"memory.available<lots" is no threshold' in lab.nodes[0].log()


def condition(lab, name):
    return next(c for c in lab.get("node", "n1")["status"]["conditions"] if c["type"] == name)


def test_the_node_runs_short_of_memory():
    with labs.Lab(images=("busybox",), options=["--eviction-hard", "memory.available<1000Ti", "--eviction-transition-seconds", "5"]) as lab:
        pod(lab, "small", "true", "resources: {requests: {memory: 100Mi}}")
        pod(lab, "hog", write("/dev/shm/f", 40), "resources: {requests: {memory: 1Mi}}")
        pod(lab, "critical", "true", spec="priorityClassName: system-node-critical")
        for name in ("small", "hog", "critical"):
            lab.cox("wait", f"pod/{name}", "--for", "condition=Ready")
        s = evicted(lab, "hog", "The node was low on resource: memory. Threshold quantity: 1000Ti, available: ")
        assert "Container c was using" in s["message"] and "request is 1Mi, has larger consumption of memory. " in s["message"], s
        assert lab.get("pod", "small")["status"]["phase"] == "Running", "the one that uses more than it asked for goes first"
        lab.until(lambda: condition(lab, "MemoryPressure")["status"] == "True", what="the condition")
        assert condition(lab, "MemoryPressure")["reason"] == "KubeletHasInsufficientMemory" and condition(lab, "Ready")["status"] == "True"
        lab.until(lambda: any(t["key"] == "node.kubernetes.io/memory-pressure" for t in lab.get("node", "n1")["spec"].get("taints", [])), what="the taint")
        pod(lab, "late", "true")
        s = evicted(lab, "late", "Pod was rejected: The node had condition: [MemoryPressure]. ")
        evicted(lab, "small", "The node was low on resource: memory.")
        assert lab.get("pod", "critical")["status"]["phase"] == "Running"
        lab.nodes[0].stop()
        lab.options[1] = "memory.available<1Mi"
        lab.nodes[0].start()
        lab.wait_ready()
        lab.until(lambda: condition(lab, "MemoryPressure")["status"] == "False", seconds=30, what="it is over")
