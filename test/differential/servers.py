"""servers.py: the two servers side by side on loopback: ours (a test build without controllers and scheduler) and the reference's API server with etcd."""
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

import client

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COX = os.environ.get("COX", os.path.join(TOP, "build", "test", "src", "cox"))
PEERS = os.environ.get("PEERS", "/var/cache/cox-peers")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Ours:
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="cox-differential")
        os.chmod(self.dir, 0o755)  # the server has a uid of its own
        self.port = free_port()
        folders = [w for d in ("data", "config", "run") for w in (f"--{d}-dir", f"{self.dir}/{d}")]
        self.log = open(f"{self.dir}/log", "wb")
        env = {**os.environ, "COX_FAILPOINTS": "role.controllers=error:EIO;role.scheduler=error:EIO"}
        self.process = subprocess.Popen([COX, "server", *folders, "--bind-address", "127.0.0.1", "--api-port", str(self.port)], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, env=env)
        self.context = None
        end = time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.context = client.context_of(f"{self.dir}/config/admin.kubeconfig")
                if client.Connection(self.port, self.context).request("GET", "/readyz").status == 200:
                    return self
            except (OSError, AttributeError):
                pass
            time.sleep(0.05)
        text = open(f"{self.dir}/log").read()
        self.__exit__()
        raise SystemExit("our server does not start: " + text[-2000:])

    def __exit__(self, *error):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        with open(f"{self.dir}/log", errors="replace") as f:
            for line in f:
                if re.search(r"assert|Sanitizer|ended by signal|killed by", line):
                    print("our server says: " + line.rstrip())
        shutil.rmtree(self.dir, ignore_errors=True)


class Reference:
    tool = os.path.join(TOP, "test", "peers", "reference")

    def __init__(self, beta=False):
        self.options = ["--beta"] if beta else []

    @staticmethod
    def there():
        return all(os.access(os.path.join(PEERS, p), os.X_OK) for p in ("kube-apiserver", "etcd", "kubectl"))

    def __enter__(self):
        if not self.there():
            raise SystemExit("the reference is not built and its answers are not kept: ./dev peers etcd control-plane (needs Go)")
        self.dir = tempfile.mkdtemp(prefix="cox-reference")
        self.env = {**os.environ, "REFERENCE": self.dir, "PEERS": PEERS}
        run = subprocess.run([self.tool, "up", *self.options], capture_output=True, text=True, env=self.env)
        found = dict(re.findall(r"(\w+)=(\S+)", run.stdout))
        if run.returncode or "KUBECONFIG" not in found:
            self.__exit__()
            raise SystemExit(f"the reference does not start: {run.stdout}{run.stderr}")
        self.port, self.context = 16443, client.context_of(found["KUBECONFIG"])
        return self

    def __exit__(self, *error):
        subprocess.run([self.tool, "down"], env=self.env, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)


class Kept:
    """Answers of the reference on the disk, so that one who mends a kind need not start it: by a digest of the unit's requests."""

    def __init__(self):
        stamp = os.stat(os.path.join(PEERS, "kube-apiserver")) if Reference.there() else None
        self.folder = os.environ.get("COX_DIFFERENTIAL_CACHE", os.path.join(PEERS, "differential"))
        self.salt = f"2 {stamp.st_size}" if stamp else "2"
        if stamp is None and os.path.isdir(self.folder):
            with open(f"{self.folder}/salt") as f:
                self.salt = f.read()
        elif stamp:
            os.makedirs(self.folder, exist_ok=True)
            with open(f"{self.folder}/salt", "w") as f:
                f.write(self.salt)

    def path(self, name):
        return os.path.join(self.folder, name + ".json.gz")

    def get(self, name):
        try:
            with gzip.open(self.path(name), "rt") as f:
                return json.load(f)
        except (OSError, ValueError, EOFError):
            return None

    def put(self, name, value):
        os.makedirs(self.folder, exist_ok=True)
        temporary = f"{self.path(name)}.{os.getpid()}"
        with gzip.open(temporary, "wt", compresslevel=1) as f:
            json.dump(value, f)
        os.rename(temporary, self.path(name))

    def answers(self, unit):
        found = self.get(unit.digest(self.salt))
        return found and [a and client.Answer.load(a) for a in found]

    def keep(self, unit, answers):
        self.put(unit.digest(self.salt), [a and a.store() for a in answers])
