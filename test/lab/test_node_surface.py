"""10250: who may ask it (client certificates and bearer tokens, decided by the API server), and what it answers."""
import json
import os

import pytest

IMAGES = ("busybox", "hello")


@pytest.fixture(scope="module")
def ask(lab):
    """ask(path, token=None | "admin" | a token, method="GET") -> (status, body) of the agent's port."""
    certificate, key = lab.admin_files()
    lab.apply("""{apiVersion: v1, kind: Pod, metadata: {name: box, labels: {app: box}}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: "cox.local/busybox:1",
      command: [sh, -c, "sleep 3600"], resources: {limits: {memory: 64Mi, cpu: 200m}}, readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1}}]}}""")
    lab.cox("wait", "pod/box", "--for", "condition=Ready")
    port = lab.get("node", "n1")["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]

    def ask(path, token="admin", method="GET"):
        who = ["--cert", certificate, "--key", key] if token == "admin" else ["-H", f"Authorization: Bearer {token}"] if token else []
        out = lab.inside("curl", "-ksS", "--path-as-is", "--max-time", "20", "-X", method, "-w", "\n%{http_code}", *who, f"https://{lab.nodes[0].ip}:{port}{path}").stdout
        body, _, status = out.rpartition("\n")
        return int(status), body

    return ask


def token_of(lab, name, rules):
    """A service account with a ClusterRole of these (resource, verb)s."""
    lab.apply(f"{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: {name}}}}}")
    lab.apply(json.dumps({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
                          "rules": [{"apiGroups": [""], "resources": [r], "verbs": [v]} for r, v in rules]}))
    lab.apply(json.dumps({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
                          "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
                          "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": name}]}))
    status, answer = lab.api("POST", f"/api/v1/namespaces/default/serviceaccounts/{name}/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    assert status == 201, answer
    return answer["status"]["token"]


def test_without_credentials(ask):
    assert ask("/pods", token=None) == (401, "Unauthorized\n")
    assert ask("/pods", token="made.up.token") == (401, "Unauthorized\n")
    assert ask("/nothing", token=None)[0] == 401


def test_administrators_certificate(ask):
    assert ask("/healthz") == (200, "ok")
    assert ask("/nothing")[0] == 404
    assert ask("/pods", method="POST")[0] == 405


def test_fine_grained_tokens(lab, ask):
    cases = {"stats": ["/stats/summary"], "metrics": ["/metrics", "/metrics/resource", "/metrics/cadvisor", "/metrics/probes"], "log": ["/logs/"], "pods": ["/pods", "/runningpods/"],
             "healthz": ["/healthz"], "configz": ["/configz"]}
    tokens = {name: token_of(lab, f"only-{name}", [(f"nodes/{name}", "get")]) for name in cases}
    for name, token in tokens.items():
        for other, paths in cases.items():
            for path in paths:
                status, body = ask(path, token=token)
                assert status == (200 if name == other else 403), (name, path, body)
    status, body = ask("/pods", token=tokens["stats"])
    assert body == "Forbidden (user=system:serviceaccount:default:only-stats, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"


def test_proxy_covers_the_fine_ones_but_not_the_others(lab, ask):
    token = token_of(lab, "proxy", [("nodes/proxy", "get")])
    for path in ("/pods", "/healthz", "/configz", "/containerLogs/default/box/c"):
        assert ask(path, token=token)[0] == 200, path
    for path in ("/stats/summary", "/metrics", "/logs/"):
        assert ask(path, token=token)[0] == 403, path
    assert ask("/run/default/box/c?cmd=id", token=token, method="POST")[0] == 403, "get is not create"
    assert ask("/cox/v1/dial?ip=10.244.0.2&port=1", token=token)[0] == 403


def test_another_nodes_certificate_opens_nothing(lab, ask):
    """A node's own certificate is not enough for the surface."""
    key, crt = f"{lab.nodes[0].dir}/config/ca.key", f"{lab.nodes[0].dir}/config/ca.crt"
    lab.inside("sh", "-c", f"cd {lab.dir} && openssl req -newkey rsa:2048 -nodes -keyout n9.key -subj /O=system:nodes/CN=system:node:n9 -out n9.csr 2>/dev/null && "
                           f"openssl x509 -req -in n9.csr -CA {crt} -CAkey {key} -days 1 -out n9.crt 2>/dev/null")
    port = 10250
    out = lab.inside("curl", "-ksS", "--cert", f"{lab.dir}/n9.crt", "--key", f"{lab.dir}/n9.key", f"https://{lab.nodes[0].ip}:{port}/pods").stdout
    assert "Forbidden (user=system:node:n9" in out, out


def test_answers(lab, ask):
    running = json.loads(ask("/runningpods/")[1])
    assert [p["metadata"]["name"] for p in running["items"]] == ["box"]
    assert json.loads(ask("/configz")[1])["kubeletconfig"]["kind"] == "KubeletConfiguration"
    assert ask("/run/default/box/c?cmd=echo%20hello%20there", method="POST") == (200, "hello there\n")
    assert ask("/run/default/box/c?cmd=false", method="POST")[0] == 500
    assert ask("/run/default/none/c?cmd=id", method="POST")[0] == 404
    assert ask("/checkpoint/default/box/c", method="POST")[0] == 404
    status, body = ask("/metrics/cadvisor")
    for name in ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_memory_rss", "container_spec_memory_limit_bytes", "container_start_time_seconds"):
        assert any(line.startswith(name + "{") and 'container="c"' in line and 'pod="box"' in line for line in body.split("\n")), name
    assert 'container_network_receive_bytes_total{container="",' in body and 'interface="eth0"' in body
    limit = next(line for line in body.split("\n") if line.startswith("container_spec_memory_limit_bytes{"))
    assert limit.endswith(f" {64 << 20}")
    lab.until(lambda: 'probe_type="Readiness",result="successful"' in ask("/metrics/probes")[1], what="probe totals")


def test_system_logs(ask):
    name = "cox-lab-surface.log"
    path = f"/var/log/{name}"
    link = "/var/log/cox-lab-link"
    with open(path, "w") as f:
        f.write("a line\n")
    os.symlink("/etc/passwd", link)
    try:
        assert ask(f"/logs/{name}") == (200, "a line\n")
        assert f'<a href="{name}">' in ask("/logs/")[1]
        assert ask("/logs/../../etc/passwd")[0] == 404
        assert ask("/logs/%2e%2e/%2e%2e/etc/passwd")[0] == 404
        assert ask("/logs/cox-lab-link")[0] == 404, "links stay inside"
    finally:
        os.remove(path)
        os.remove(link)
