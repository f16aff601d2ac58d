"""pods/proxy, services/proxy and nodes/proxy go through the agent of the node that runs the pod: the server needs no way to it."""
import concurrent.futures
import subprocess

import pytest

NODES = 2
IMAGES = ("busybox", "hello", "python")
TLS = r"""
import http.server, ssl, subprocess
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.headers.get("upgrade") == "echo":
            self.send_response(101); self.send_header("Connection", "Upgrade"); self.send_header("Upgrade", "echo"); self.end_headers()
            self.wfile.write(self.rfile.readline().upper()); self.wfile.flush(); self.close_connection = True
            return
        body = ("%s %s" % (self.path, self.headers.get("authorization"))).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    do_POST = lambda self: (self.send_response(200), self.end_headers(), self.wfile.write(self.rfile.read(int(self.headers["content-length"]))), setattr(self, "close_connection", True))
plain = http.server.ThreadingHTTPServer(("", 8000), H)
import threading
threading.Thread(target=plain.serve_forever, daemon=True).start()
server = http.server.ThreadingHTTPServer(("", 8443), H)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def pods(lab, tmp_path_factory):
    """web1 and web2 behind the Service web, one a node; `tls` on node 2; and node 1 (where the server is) cannot send to the pods of node 2."""
    d = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=nobody", "-keyout", d / "tls.key", "-out", d / "tls.crt"], check=True, capture_output=True)
    for n in (1, 2):
        lab.apply(f'{{apiVersion: v1, kind: Pod, metadata: {{name: web{n}, labels: {{app: web}}}}, spec: {{nodeName: n{n}, terminationGracePeriodSeconds: 0, containers: [{{name: c, image: "cox.local/hello:1"}}]}}}}')
    lab.apply("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}}")
    import json
    lab.apply(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tls"},
                          "data": {"tls.crt": (d / "tls.crt").read_text(), "tls.key": (d / "tls.key").read_text(), "serve.py": TLS}}))
    lab.apply("""
apiVersion: v1
kind: Pod
metadata: {name: tls, labels: {app: tls}}
spec:
  nodeName: n2
  terminationGracePeriodSeconds: 0
  volumes: [{name: tls, configMap: {name: tls}}]
  containers:
  - {name: c, image: "cox.local/python:1", args: [/tls/serve.py], volumeMounts: [{name: tls, mountPath: /tls}], readinessProbe: {tcpSocket: {port: 8443}, periodSeconds: 1}, ports: [{containerPort: 8000}]}
""")
    lab.apply("{apiVersion: v1, kind: Service, metadata: {name: tls}, spec: {selector: {app: tls}, ports: [{name: https, port: 443, targetPort: 8443}]}}")
    for name in ("web1", "web2", "tls"):
        lab.cox("wait", f"pod/{name}", "--for", "condition=Ready", "--timeout", "30s")
    lab.inside("nft", "add table ip labblock; add chain ip labblock out { type filter hook output priority 0; }; add rule ip labblock out ip daddr 10.244.1.0/24 drop")
    yield "/api/v1/namespaces/default"
    lab.inside("nft", "delete table ip labblock")


def raw(lab, path, **kwargs):
    return lab.cox("get", "--raw", path, **kwargs)


def test_pods(lab, pods):
    for n in (1, 2):
        for name in (f"web{n}:8080", f"http:web{n}:8080"):
            assert f"Hello from web{n}" in raw(lab, f"{pods}/pods/{name}/proxy/").stdout
    assert raw(lab, f"{pods}/pods/tls/proxy/a/b?c=d%20e").stdout == "/a/b?c=d%20e None", "the first port of the first container, and no credentials"
    assert raw(lab, f"{pods}/pods/https:tls:8443/proxy/x").stdout == "/x None"
    run = raw(lab, f"{pods}/pods/web2:1/proxy/", check=False)
    assert "error trying to reach service" in run.stderr and "refused" in run.stderr, run.stderr


def test_services(lab, pods):
    seen = {raw(lab, f"{pods}/services/web:http/proxy/").stdout.split()[2] for _ in range(25)}
    assert seen == {"web1,", "web2,"}
    assert raw(lab, f"{pods}/services/https:tls:https/proxy/y").stdout == "/y None"
    assert raw(lab, f"{pods}/services/https:tls:443/proxy/y").stdout == "/y None"


def test_nodes(lab, pods):
    assert raw(lab, "/api/v1/nodes/n2/proxy/healthz").stdout == "ok"
    assert raw(lab, "/api/v1/nodes/n2:10250/proxy/healthz").stdout == "ok"


def test_many_at_once(lab, pods):
    """More than an agent keeps idle connections: the rest wait for the next ones."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: raw(lab, f"{pods}/pods/web2:8080/proxy/", check=False), range(32)))
    assert all("Hello from web2" in a.stdout for a in answers), [a.stderr for a in answers if a.returncode]


def curl(lab, *argv):
    certificate, key = lab.admin_files()
    server = f"https://127.0.0.1:{lab.nodes[0].port}"
    run = subprocess.run(["curl", "-ksS", "--http1.1", "--max-time", "10", "--cert", certificate, "--key", key, *[a.replace("API", server) for a in argv]], capture_output=True, text=True)
    return run.stderr + run.stdout


def test_bodies_and_upgrades(lab, pods):
    body = "z" * 100000
    assert curl(lab, "-d", body, f"API{pods}/pods/tls:8000/proxy/").endswith(body)
    for name in ("tls:8000", "https:tls:8443"):
        out = subprocess.run(["python3", "-c", UPGRADE, lab.kubeconfig, f"{pods}/pods/{name}/proxy/"], capture_output=True, text=True, timeout=20)
        assert out.stdout == "101 HELLO\n", out


UPGRADE = r"""
import base64, socket, ssl, sys, tempfile, yaml
config = yaml.safe_load(open(sys.argv[1]))
user, server = config["users"][0]["user"], config["clusters"][0]["cluster"]["server"]
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
with tempfile.NamedTemporaryFile() as f:
    f.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"])); f.flush()
    context.load_cert_chain(f.name)
host, port = server.split("//")[1].split(":")
s = context.wrap_socket(socket.create_connection((host, int(port))))
s.sendall(f"GET {sys.argv[2]} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n".encode())
f = s.makefile("rb")
status = f.readline().split()[1].decode()
while f.readline().strip(): pass
s.sendall(b"hello\n")
print(status, f.readline().decode(), end="")
"""


def test_nobody_else_gets_at_the_dialler(lab, pods):
    ip = lab.get("pod", "web2")["status"]["podIP"]
    out = curl(lab, "-H", "Connection: Upgrade", "-H", "Upgrade: cox-dial", f"API/api/v1/nodes/n2/proxy/cox/v1/dial?ip={ip}&port=8080")
    assert "the server's own" in out, out
    out = curl(lab, f"API/api/v1/nodes/n2/proxy/cox/v1/dial?ip={ip}&port=8080")
    assert "ask for an upgrade to cox-dial" in out, out
    # the administrator's certificate opens 10250, but not this
    run = lab.inside("curl", "-ksS", "--http1.1", "--cert", f"{lab.dir}/client-certificate-data", "--key", f"{lab.dir}/client-key-data",
                     "-H", "Connection: Upgrade", "-H", "Upgrade: cox-dial", f"https://{lab.nodes[0].ip}:10250/cox/v1/dial?ip={ip}&port=8080")
    assert "Forbidden" in run.stdout, run.stdout
