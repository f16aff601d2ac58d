"""Two agents on one link: joining with a token, pods that reach each other across nodes, a Service over both."""
import re

NODES = 2


def test_both_nodes_are_ready(lab):
    out = lab.cox("get", "nodes", "-o", "wide").stdout
    assert len(re.findall(r"^n[12] +Ready ", out, re.M)) == 2, out
    ranges = {n["spec"]["podCIDR"] for n in lab.get("nodes")["items"]}
    assert ranges == {"10.244.0.0/24", "10.244.1.0/24"}


def test_a_token_works_once(lab):
    import lab as labs
    token = lab.cox("token", "create").stdout.strip()
    base = ["agent", "--join", token, "--netns", lab.nodes[1].netns, "--kubelet-port", "10333"]
    d = f"{lab.dir}/third"
    flags = ["--data-dir", f"{d}/data", "--config-dir", f"{d}/config", "--run-dir", f"{d}/run", "--root-dir", f"{d}/root"]
    bad = token[:-1] + ("0" if token[-1] != "0" else "1")
    run = labs.sh(lab.cox_path, "agent", "--join", bad, *base[3:], *flags, "--node-name", "n3", check=False)
    assert run.returncode == 1 and "has another CA than the token names" in run.stderr, run.stderr


def test_pods_reach_each_other_across_nodes(lab):
    for n in (1, 2):
        lab.apply(f"""
apiVersion: v1
kind: Pod
metadata: {{name: web{n}, labels: {{app: web}}}}
spec:
  nodeName: n{n}
  terminationGracePeriodSeconds: 0
  containers: [{{name: c, image: "cox.local/hello:1"}}]
""")
    lab.apply("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}")
    for n in (1, 2):
        lab.cox("wait", f"pod/web{n}", "--for", "condition=Ready", "--timeout", "30s")
    for a, b in ((1, 2), (2, 1)):
        ip = lab.get("pod", f"web{b}")["status"]["podIP"]
        out = lab.cox("exec", f"web{a}", "--", "wget", "-q", "-O", "-", f"http://{ip}:8080/").stdout
        assert f"Hello from web{b}" in out
    address = lab.get("service", "web")["spec"]["clusterIP"]
    for n in (1, 2):
        seen = lab.until(lambda: {lab.cox("exec", f"web{n}", "--", "wget", "-q", "-O", "-", f"http://{address}/").stdout.split()[2] for _ in range(20)} == {"web1,", "web2,"}, what=f"both answers from n{n}")
        assert seen
