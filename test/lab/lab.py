"""lab.py: a cluster for tests: nodes as network namespaces on a private switch with no route out.

    with Lab(nodes=2) as lab:
        lab.cox("apply", "-f", path)
        lab.kubectl("get", "pods")

Node 1 runs server and agent (`cox up`), the others join it. Everything of a lab is named after its tag (coxlab<pid>): namespaces, cgroup parent, folder, so that
`clean_all` finds what a killed run left. Addresses: 192.168.77.N inside the switch; the API on the host's loopback at a free port. Traffic never leaves these.
"""
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COX = os.environ.get("COX", os.path.join(TOP, "build", "test", "src", "cox"))
IMAGES = os.path.join(TOP, "tools", "images", "build")


def sh(*argv, check=True, timeout=60, **kwargs):
    run = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout, **kwargs)
    if check and run.returncode:
        raise AssertionError(f"{' '.join(str(a) for a in argv)} ended with {run.returncode}:\n{run.stdout}{run.stderr}")
    return run


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def image(name):
    """The archive of a test image, made on the spot when it is not there yet."""
    return sh(IMAGES, name, timeout=600).stdout.strip()


def kubectls():
    """kubectl programs to test with: the one on the path (1.24 or newer), and the reference's when it was built."""
    found = {}
    peers = os.environ.get("PEERS", "/var/cache/cox-peers")
    for path in (shutil.which("kubectl"), os.path.join(peers, "kubectl")):
        if path and os.access(path, os.X_OK):
            out = sh(path, "version", "--client", "-o", "json", check=False)
            with contextlib.suppress(ValueError, KeyError):
                version = json.loads(out.stdout)["clientVersion"]
                minor = re.match(r"\d+", version["minor"])
                if minor and int(minor.group()) >= 24:
                    found[f'{version["major"]}.{minor.group()}'] = path
    return found


def netns_folder_mounted():
    """`ip netns add` mounts this folder onto itself and never takes it away (os.path.ismount does not see such a mount)."""
    return " /run/netns " in open("/proc/mounts").read()


def snapshot():
    """What a lab must leave as it was: namespaces, mounts, links, cgroups, nftables tables, processes of ours."""
    mounts = open("/proc/self/mountinfo").read().split("\n")
    cgroups = sum(1 for root, dirs, _ in os.walk("/sys/fs/cgroup") for d in dirs if "coxlab" in os.path.join(root, d))
    processes = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            line = open(f"/proc/{pid}/cmdline", "rb").read()
            exe = os.path.basename(line.split(b"\0")[0])
            processes += exe in (b"conmon", b"cox") or line.startswith(b"/proc/self/exe\0") or b"coxlab" in line and exe != b"python3"
    return {
        "namespaces": len(sh("ip", "netns", "list", check=False).stdout.split("\n")) - 1,
        "mounts": len([m for m in mounts if "coxlab" in m or " /run/netns " in m]),
        "links": len(os.listdir("/sys/class/net")),
        "cgroups": cgroups,
        "nftables": sh("nft", "list", "tables", check=False).stdout.strip(),
        "processes": processes,
        "folders": len([d for d in os.listdir(tempfile.gettempdir()) if d.startswith("coxlab")]),
    }


def more_than(after, before):
    """What is there now and was not before. Fewer of something is the end of somebody else's."""
    return {k: (after[k], before[k]) for k in after if (after[k] > before[k] if isinstance(after[k], int) else after[k] != before[k])}


class Node:
    def __init__(self, lab, index):
        self.lab, self.index, self.name = lab, index, f"n{index}"
        self.netns, self.ip = f"{lab.tag}n{index}", f"192.168.77.{index}"
        self.dir = os.path.join(lab.dir, self.name)
        self.port = free_port() if index == 1 else lab.nodes[0].port
        self.process = None
        self.log_path = os.path.join(lab.dir, f"{self.name}.log")

    def make(self):
        switch = f"{self.lab.tag}sw"
        sh("ip", "netns", "add", self.netns)
        sh("ip", "-n", switch, "link", "add", f"p{self.index}", "type", "veth", "peer", "name", "eth0", "netns", self.netns)
        sh("ip", "-n", switch, "link", "set", f"p{self.index}", "master", "br0", "up")
        sh("ip", "-n", self.netns, "addr", "add", f"{self.ip}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            sh("ip", "-n", self.netns, "link", "set", link, "up")

    def flags(self):
        d = self.dir
        return ["--data-dir", f"{d}/data", "--config-dir", f"{d}/config", "--run-dir", f"{d}/run", "--root-dir", f"{d}/root", "--log-dir", f"{d}/logs",
                "--cgroup-root", f"{self.lab.tag}{self.name}"]

    def start(self, join=None, extra=()):
        common = self.flags() + ["--netns", self.netns, "--node-name", self.name, "--node-ip", self.ip, *self.lab.options, *extra]
        role = ["up", "--api-port", str(self.port)] if self.index == 1 else ["agent"] + (["--join", join] if join else [])
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.lab.cox_path, *role, *common], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                                            env={**os.environ, **self.lab.env})

    def children(self):
        """{"server-process": pid, "agent-process": pid} of this node's supervisor."""
        found = {}
        with contextlib.suppress(OSError):
            for child in open(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read().split():
                with contextlib.suppress(OSError, IndexError):  # IndexError: it just died, its command line is gone
                    role = open(f"/proc/{child}/cmdline", "rb").read().split(b"\0")[1].decode()
                    found[role] = int(child)
        return found

    def kill(self, role, sig=signal.SIGKILL, seconds=10):
        """Kills a child, as soon as there is one, and waits until it is gone."""
        end = time.monotonic() + seconds
        while role not in self.children():
            assert time.monotonic() < end, f"no {role} within {seconds} s: {self.log()[-2000:]}"
            time.sleep(0.005)
        pid = self.children()[role]
        os.kill(pid, sig)
        while self.children().get(role) == pid:
            time.sleep(0.002)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def log(self):
        with contextlib.suppress(OSError):
            return open(self.log_path, errors="replace").read()
        return ""

    def reset(self):
        keep = {"--data-dir", "--config-dir", "--run-dir", "--root-dir", "--log-dir", "--cgroup-root"}
        flags = self.flags()
        pairs = [w for i in range(0, len(flags), 2) if flags[i] in keep for w in flags[i:i + 2]]
        return sh(self.lab.cox_path, "reset", *pairs, "--netns", self.netns, check=False, timeout=120)


class Lab:
    def __init__(self, nodes=1, options=(), env=None, images=("busybox", "hello"), cox=COX):
        self.tag = f"coxlab{os.getpid()}"
        self.dir = tempfile.mkdtemp(prefix=self.tag)
        os.chmod(self.dir, 0o755)  # the server has a uid of its own
        self.options, self.env, self.images, self.cox_path = list(options), env or {}, images, cox
        self.netns_folder_mounted = netns_folder_mounted()
        self.nodes = []
        self.node_count = nodes
        self.kubeconfig = None

    def __enter__(self):
        self.before = snapshot()
        self.before["folders"] -= 1
        try:
            self.up()
        except BaseException:
            self.print_logs()
            self.down()
            raise
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            self.print_logs()
        left = self.down()
        if not kind:
            assert left == {}, f"the lab left something behind (now - before): {left}"

    def up(self):
        switch = f"{self.tag}sw"
        sh("ip", "netns", "add", switch)
        sh("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        sh("ip", "-n", switch, "link", "set", "br0", "up")
        for index in range(1, self.node_count + 1):
            node = Node(self, index)
            self.nodes.append(node)
            node.make()
        first = self.nodes[0]
        self.kubeconfig = f"{first.dir}/config/admin.kubeconfig"
        first.start()
        self.wait_ready()
        for node in self.nodes[1:]:
            token = self.cox("token", "create").stdout.strip()
            node.start(join=token)
        for node in self.nodes:
            for name in self.images:
                sh(self.cox_path, "image", "load", image(name), "--data-dir", f"{node.dir}/data", timeout=120)
        for node in self.nodes:
            self.cox("wait", f"node/{node.name}", "--for", "condition=Ready", "--timeout", "20s", retry=20)

    def wait_ready(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.nodes[0].process.poll() is not None:
                raise AssertionError("cox up ended: " + self.nodes[0].log()[-2000:])
            if os.path.exists(self.kubeconfig) and self.cox("get", "--raw", "/readyz", check=False).returncode == 0:
                return
            time.sleep(0.02)
        raise AssertionError("the API is not ready: " + self.nodes[0].log()[-2000:])

    def down(self):
        for node in reversed(self.nodes):
            with contextlib.suppress(Exception):
                node.stop()
            if node.process and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
            out = node.reset()
            if out.returncode:
                print(out.stdout, out.stderr, file=sys.stderr)
            sh("ip", "netns", "delete", node.netns, check=False)
        sh("ip", "netns", "delete", f"{self.tag}sw", check=False)
        if not self.netns_folder_mounted and netns_folder_mounted() and not os.listdir("/run/netns"):
            sh("umount", "/run/netns")
        shutil.rmtree(self.dir, ignore_errors=True)
        for _ in range(50):  # the kernel takes links of a dead namespace away a little later
            after = snapshot()
            left = more_than(after, self.before)
            if not left:
                break
            time.sleep(0.1)
        return left

    def print_logs(self):
        for node in self.nodes:
            print(f"---- {node.name}.log\n{node.log()[-6000:]}", file=sys.stderr)

    # ---- clients ----

    def cox(self, *argv, check=True, timeout=60, retry=0, **kwargs):
        env = {**os.environ, "KUBECONFIG": self.kubeconfig or ""}
        for attempt in range(retry + 1):
            run = sh(self.cox_path, *argv, check=check and attempt == retry, timeout=timeout, env=env, **kwargs)
            if run.returncode == 0:
                break
            time.sleep(0.5 if attempt < retry else 0)
        return run

    def kubectl(self, *argv, path=None, check=True, timeout=60, **kwargs):
        path = path or next(iter(kubectls().values()))
        cache = os.path.join(self.dir, "kubectl-cache")
        return sh(path, "--kubeconfig", self.kubeconfig, f"--cache-dir={cache}", *argv, check=check, timeout=timeout, **kwargs)

    def admin_files(self):
        """Paths of the administrator's certificate and key, for curl."""
        import yaml
        user = yaml.safe_load(open(self.kubeconfig))["users"][0]["user"]
        paths = []
        for name in ("client-certificate-data", "client-key-data"):
            paths.append(os.path.join(self.dir, name))
            with open(os.open(paths[-1], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as f:
                f.write(base64.b64decode(user[name]))
        return paths

    def api(self, method, path, body=None, content_type="application/json"):
        """A request as the administrator: (status, answer). For what no built-in verb does, where there may be no kubectl."""
        certificate, key = self.admin_files()
        data = ["-H", f"Content-Type: {content_type}", "-d", json.dumps(body)] if body is not None else []
        out = sh("curl", "-ksS", "--max-time", "30", "-X", method, "--cert", certificate, "--key", key, *data, "-w", "\n%{http_code}", f"https://127.0.0.1:{self.nodes[0].port}{path}").stdout
        text, _, status = out.rpartition("\n")
        return int(status), json.loads(text)

    def get(self, *argv):
        return json.loads(self.cox("get", *argv, "-o", "json").stdout)

    def inside(self, *argv, node=1, **kwargs):
        """Runs a program in a node's network namespace."""
        return sh("ip", "netns", "exec", self.nodes[node - 1].netns, *argv, **kwargs)

    def apply(self, text):
        return self.cox("apply", "-f", "-", input=text)

    def until(self, condition, seconds=20, what="condition"):
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(AssertionError, KeyError, IndexError, ValueError):
                value = condition()
                if value:
                    return value
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what}")
            time.sleep(0.05)


def clean_all():
    """Removes what labs of dead processes left."""
    for name in sh("ip", "netns", "list", check=False).stdout.split():
        match = re.match(r"coxlab(\d+)", name)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            sh("ip", "netns", "pids", name, check=False)
            for pid in sh("ip", "netns", "pids", name, check=False).stdout.split():
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)
            sh("ip", "netns", "delete", name, check=False)
    for folder in os.listdir(tempfile.gettempdir()):
        match = re.match(r"coxlab(\d+)", folder)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            path = os.path.join(tempfile.gettempdir(), folder)
            for node in os.listdir(path):
                d = os.path.join(path, node)
                if os.path.isdir(d) and os.path.exists(f"{d}/data"):
                    sh(COX, "reset", "--data-dir", f"{d}/data", "--config-dir", f"{d}/config", "--run-dir", f"{d}/run", "--root-dir", f"{d}/root", "--log-dir", f"{d}/logs",
                       "--cgroup-root", f"coxlab{match.group(1)}{node}", check=False)
            shutil.rmtree(path, ignore_errors=True)
