"""What a node does with pods beyond running them: admission of pods bound by hand, ephemeral containers, policies of containers, runtimes, sysctls."""
import json
import os
import subprocess

import pytest

import lab as labs

IMAGES = ("busybox",)
OPTIONS = ["--sim-gpu", "t4", "--allowed-unsafe-sysctls", "net.core.somaxconn,kernel.msg*", "--runtime-handlers", "other=/usr/bin/crun,broken=/bin/false"]


def pod(lab, name, spec="", container="", command="sleep 3600", wait=None, node=True):
    lab.apply(f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 0
  {"nodeName: n1" if node else ""}
  {spec}
  containers: [{{name: c, image: "cox.local/busybox:1", command: [sh, -c, '{command}'] {"," if container else ""} {container}}}]
""")
    if wait:
        lab.cox("wait", f"pod/{name}", "--for", wait, "--timeout", "30s")


def status(lab, name):
    return lab.get("pod", name)["status"]


def rejected(lab, name, reason, message):
    lab.until(lambda: status(lab, name)["phase"] == "Failed", what=f"{name} is rejected")
    s = status(lab, name)
    assert s["reason"] == reason and s["message"].startswith("Pod was rejected: " + message), s
    assert reason in lab.cox("get", "events").stdout
    lab.cox("delete", "pod", name)


def test_admission_of_pods_bound_by_hand(lab):
    cpus = os.sysconf("SC_NPROCESSORS_ONLN")
    pod(lab, "cpu", container=f"resources: {{requests: {{cpu: {cpus + 1}}}}}")
    rejected(lab, "cpu", "OutOfcpu", f"Node didn't have enough resource: cpu, requested: {(cpus + 1) * 1000}, used: ")
    pod(lab, "memory", container="resources: {requests: {memory: 100Ti}}")
    rejected(lab, "memory", "OutOfmemory", "Node didn't have enough resource: memory, requested: 109951162777600, used: 0, capacity: ")
    pod(lab, "gpu", container="resources: {limits: {nvidia.com/gpu: 99}}")
    rejected(lab, "gpu", "OutOfnvidia.com/gpu", "Node didn't have enough resource: nvidia.com/gpu, requested: 99, used: 0, capacity: 1")
    pod(lab, "selector", spec="nodeSelector: {kubernetes.io/hostname: elsewhere}")
    rejected(lab, "selector", "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")
    pod(lab, "fits", spec="nodeSelector: {kubernetes.io/hostname: n1}", container="ports: [{containerPort: 80, hostPort: 8099}]", wait="condition=Ready")
    pod(lab, "port", container="ports: [{containerPort: 80, hostPort: 8099}]")
    rejected(lab, "port", "NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports")
    lab.nodes[0].kill("agent-process")  # what was taken stays taken
    lab.until(lambda: "agent-process" in lab.nodes[0].children(), what="a new agent")
    pod(lab, "after", wait="condition=Ready")
    assert status(lab, "fits")["phase"] == "Running"
    lab.cox("delete", "pod", "fits", "after")


def test_sysctls(lab):
    pod(lab, "safe", spec="securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: \"7\"}, {name: net.core.somaxconn, value: \"77\"}, {name: kernel.msgmax, value: \"9000\"}]}",
        wait="condition=Ready")
    out = lab.cox("exec", "safe", "--", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/net/core/somaxconn", "/proc/sys/kernel/msgmax").stdout
    assert out.split() == ["7", "77", "9000"]
    pod(lab, "unsafe", spec="securityContext: {sysctls: [{name: net.ipv4.ip_forward, value: \"1\"}]}")
    rejected(lab, "unsafe", "SysctlForbidden", 'forbidden sysctl: "net.ipv4.ip_forward" not allowlisted')
    lab.cox("delete", "pod", "safe")


def test_runtime_classes(lab):
    for name in ("crun", "other", "broken", "unknown"):
        lab.apply(f"{{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {{name: {name}}}, handler: {name}}}")
    for name in ("crun", "other"):
        pod(lab, f"by-{name}", spec=f"runtimeClassName: {name}", wait="condition=Ready")
        assert lab.cox("exec", f"by-{name}", "--", "echo", "inside").stdout == "inside\n"
    lab.nodes[0].kill("agent-process")
    lab.until(lambda: lab.cox("exec", "by-other", "--", "echo", "again", check=False).stdout == "again\n", what="exec through the same program")
    pod(lab, "by-unknown", spec="runtimeClassName: unknown")
    lab.until(lambda: 'no runtime for "unknown" is configured' in lab.cox("get", "events").stdout, what="the event")
    assert "FailedCreatePodSandBox" in lab.cox("get", "events").stdout
    s = status(lab, "by-unknown")
    assert s["phase"] == "Pending" and s["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating", s
    pod(lab, "by-broken", spec="runtimeClassName: broken")
    lab.until(lambda: any("waiting" in c["state"] and c["restartCount"] >= 0 or "terminated" in c["state"] for c in status(lab, "by-broken")["containerStatuses"]), what="a failure")
    lab.cox("delete", "pod", "by-crun", "by-other", "by-unknown", "by-broken")


def test_hostname_override_and_policies(lab):
    pod(lab, "named", spec="hostnameOverride: other.name", wait="condition=Ready")
    assert lab.cox("exec", "named", "--", "hostname").stdout == "other.name\n"
    pod(lab, "again", spec="restartPolicy: Never", command="exit 42", container="restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]")
    lab.until(lambda: status(lab, "again")["containerStatuses"][0]["restartCount"] >= 1, what="a restart by the rule")
    pod(lab, "once", command="exit 41", container="restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]")
    lab.until(lambda: status(lab, "once")["phase"] == "Failed", what="the container's own policy")
    lab.cox("delete", "pod", "named", "again", "once")


def test_read_only_with_all_below(lab):
    """recursiveReadOnly IfPossible and Enabled: a mount inside the mount is read-only as well."""
    d = f"{lab.dir}/tree"
    os.makedirs(f"{d}/below")
    subprocess.run(["mount", "-t", "tmpfs", "t", f"{d}/below"], check=True)
    try:
        for mode, word in (("IfPossible", "no"), ("Enabled", "no"), ("Disabled", "yes")):
            name = mode.lower()
            pod(lab, name, spec=f"volumes: [{{name: v, hostPath: {{path: {d}}}}}]", container=f"volumeMounts: [{{name: v, mountPath: /v, readOnly: true, recursiveReadOnly: {mode}}}]", wait="condition=Ready")
            assert lab.cox("exec", name, "--", "sh", "-c", "touch /v/below/f 2>/dev/null && echo yes || echo no").stdout.strip() == word, mode
            lab.cox("delete", "pod", name)
    finally:
        subprocess.run(["umount", f"{d}/below"], check=True)


@pytest.mark.skipif(not labs.kubectls(), reason="no kubectl 1.24 or newer on this machine (and no peers built)")
def test_kubectl_debug(lab):
    pod(lab, "target", spec="restartPolicy: Never", command="exec sleep 3599", wait="condition=Ready")
    out = lab.kubectl("debug", "target", "--image=cox.local/busybox:1", "--target=c", "-c", "dbg", "--profile=general", "--attach=false", "--", "sh", "-c", "ps; echo done; sleep 3600").stdout
    print(out)
    lab.until(lambda: "done" in lab.cox("logs", "target", "-c", "dbg", check=False).stdout, what="the debugger's output")
    assert "sleep 3599" in lab.cox("logs", "target", "-c", "dbg").stdout, "it sees the target's processes"
    s = status(lab, "target")
    assert s["phase"] == "Running" and "running" in s["ephemeralContainerStatuses"][0]["state"], s
    assert lab.cox("exec", "target", "-c", "dbg", "--", "echo", "in the debugger").stdout == "in the debugger\n"
    before = s["ephemeralContainerStatuses"][0]["containerID"]
    lab.nodes[0].kill("agent-process")
    lab.until(lambda: lab.cox("exec", "target", "-c", "dbg", "--", "true", check=False).returncode == 0, what="the new agent finds it")
    assert status(lab, "target")["ephemeralContainerStatuses"][0]["containerID"] == before
    # a second one, that ends; and one with a terminal that is attached to
    lab.kubectl("debug", "target", "--image=cox.local/busybox:1", "-c", "brief", "--attach=false", "--", "sh", "-c", "exit 3")
    lab.until(lambda: {c["name"]: c["state"] for c in status(lab, "target")["ephemeralContainerStatuses"]}["brief"]["terminated"]["exitCode"] == 3, what="it ended, once")
    path = next(iter(labs.kubectls().values()))
    argv = [path, "--kubeconfig", lab.kubeconfig, "debug", "-it", "target", "--image=cox.local/busybox:1", "-c", "tty", "--", "sh", "-c", "'test -t 0 && echo terminal'"]
    out = subprocess.run(["script", "-qec", " ".join(argv), "/dev/null"], capture_output=True, text=True, timeout=60)
    assert "terminal" in out.stdout or "terminal" in lab.cox("logs", "target", "-c", "tty").stdout, out
    lab.cox("delete", "pod", "target")
    lab.until(lambda: not lab.get("pods")["items"], what="all is gone")


def resize(lab, name, **lists):
    """As `kubectl patch --subresource resize` does it."""
    body = {"spec": {"containers": [{"name": "c", "resources": lists}]}}
    code, answer = lab.api("PATCH", f"/api/v1/namespaces/default/pods/{name}/resize", body, "application/strategic-merge-patch+json")
    assert code == 200, answer


def limits(lab, name):
    """(memory limit, CPU quota) of the container, from its own control group."""
    text = lab.cox("exec", name, "--", "sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max").stdout.split()
    return int(text[0]), int(text[1])


def condition(lab, name, kind):
    return next((c for c in status(lab, name)["conditions"] if c["type"] == kind), None)


def test_resize_in_place(lab):
    before = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    pod(lab, "sized", container=f"resources: {json.dumps(before)}", wait="condition=Ready")
    assert limits(lab, "sized") == (64 << 20, 20000)
    first = status(lab, "sized")["containerStatuses"][0]
    after = {"requests": {"cpu": "150m", "memory": "48Mi"}, "limits": {"cpu": "300m", "memory": "96Mi"}}
    resize(lab, "sized", **after)
    lab.until(lambda: status(lab, "sized")["containerStatuses"][0]["resources"] == after, what="the status says so")
    assert limits(lab, "sized") == (96 << 20, 30000)
    now = status(lab, "sized")["containerStatuses"][0]
    assert now["containerID"] == first["containerID"] and now["restartCount"] == 0
    assert now["allocatedResources"] == after["requests"]
    lab.nodes[0].kill("agent-process")  # what is applied is known again
    lab.until(lambda: "agent-process" in lab.nodes[0].children(), what="a new agent")
    resize(lab, "sized", **before)
    lab.until(lambda: status(lab, "sized")["containerStatuses"][0]["resources"] == before, what="and back")
    assert limits(lab, "sized") == (64 << 20, 20000)
    # beyond the node; then something that fits again
    resize(lab, "sized", requests={"cpu": "150m", "memory": "100Ti"}, limits={"cpu": "300m", "memory": "100Ti"})
    c = lab.until(lambda: condition(lab, "sized", "PodResizePending"), what="it is pending")
    assert c["reason"] == "Infeasible" and c["message"].startswith("Node didn't have enough capacity: memory, requested: 109951162777600, capacity: "), c
    assert limits(lab, "sized") == (64 << 20, 20000)
    resize(lab, "sized", **after)
    lab.until(lambda: status(lab, "sized")["containerStatuses"][0]["resources"] == after and not condition(lab, "sized", "PodResizePending"), what="it is done, and the condition is gone")
    lab.cox("delete", "pod", "sized")


def test_resize_that_restarts(lab):
    pod(lab, "again", container="resources: {limits: {memory: 64Mi, cpu: 100m}}, resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]", wait="condition=Ready")
    first = status(lab, "again")["containerStatuses"][0]
    new = {"requests": {"cpu": "100m", "memory": "80Mi"}, "limits": {"cpu": "100m", "memory": "80Mi"}}
    resize(lab, "again", **new)
    s = lab.until(lambda: (lambda c: c["restartCount"] == 1 and c["ready"] and c)(status(lab, "again")["containerStatuses"][0]), what="another run")
    assert s["containerID"] != first["containerID"] and s["resources"] == new
    assert limits(lab, "again")[0] == 80 << 20
    lab.cox("delete", "pod", "again")
