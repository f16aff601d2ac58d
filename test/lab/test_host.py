"""`./dev up --host`: a cluster on the host's own network. The host is played by a network namespace, and a mount namespace in which cox's folders are our own."""
import contextlib
import os
import subprocess
import tempfile

import pytest

import lab as labs

FOLDERS = ["/etc/cox", "/var/lib/cox", "/run/cox", "/var/lib/kubelet", "/var/log/pods"]


@pytest.fixture(scope="module")
def host():
    """host(argv...) runs a program on that host."""
    before = labs.snapshot()
    tag = f"coxlab{os.getpid()}h"
    made = [d for d in FOLDERS if not os.path.exists(d)]
    with tempfile.TemporaryDirectory(prefix=tag) as tmp:
        os.chmod(tmp, 0o755)
        mounted = labs.netns_folder_mounted()
        labs.sh("ip", "netns", "add", tag)
        labs.sh("ip", "-n", tag, "link", "set", "lo", "up")
        labs.sh("ip", "-n", tag, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
        labs.sh("ip", "-n", tag, "addr", "add", "192.168.78.1/24", "dev", "eth0")
        for link in ("eth0", "eth1"):
            labs.sh("ip", "-n", tag, "link", "set", link, "up")
        labs.sh("ip", "-n", tag, "route", "add", "default", "via", "192.168.78.254")
        script = "".join(f"mkdir -p {d} {tmp}{d} && mount --bind {tmp}{d} {d} && " for d in FOLDERS) + "echo ready && exec sleep 1000"
        keeper = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert keeper.stdout.readline() == "ready\n"
        enter = ["nsenter", "-t", str(keeper.pid), "-m", f"--net=/run/netns/{tag}"]  # `ip netns exec` would hide the control groups

        def run(*argv, **kwargs):
            return labs.sh(*enter, *argv, **{"timeout": 180, **kwargs})

        run.options = ["--cgroup-root", tag]
        try:
            yield run
        finally:
            run(f"{labs.TOP}/tools/down", labs.COX, "--host", *run.options, check=False)
            keeper.kill()
            keeper.wait()
            labs.sh("ip", "netns", "delete", tag)
            if not mounted and labs.netns_folder_mounted() and not os.listdir("/run/netns"):
                labs.sh("umount", "/run/netns")
            for d in made:
                with contextlib.suppress(FileNotFoundError):  # `cox reset` removes what is empty
                    os.rmdir(d)
    assert labs.more_than(labs.snapshot(), before) == {}


def test_up_says_what_the_service_answers(host):
    out = host(f"{labs.TOP}/tools/up", labs.COX, "--host", *host.options).stdout
    assert out.count("Hello from hello-") == 2, out
    again = host(f"{labs.TOP}/tools/up", labs.COX, "--host", *host.options).stdout
    assert "deployment.apps/hello unchanged" in again and again.count("Hello from hello-") == 2, again


def test_the_cluster_is_on_the_hosts_network(host):
    assert "cox0" in host("ip", "link").stdout
    assert "table ip cox" in host("nft", "list", "tables").stdout
    cox = lambda *argv: host("env", "KUBECONFIG=/etc/cox/admin.kubeconfig", labs.COX, *argv).stdout  # noqa: E731
    assert "Ready" in cox("get", "nodes")
    address = cox("get", "service", "hello", "-o", "wide").split("\n")[1].split()[2]
    assert "Hello from" in host("curl", "-sS", "--max-time", "5", f"http://{address}/").stdout


def test_down_leaves_nothing(host):
    out = host(f"{labs.TOP}/tools/down", labs.COX, "--host", *host.options).stdout
    print(out)
    assert "cox0" not in host("ip", "link").stdout
    assert "cox" not in host("nft", "list", "tables").stdout
    assert host("ls", "/etc/cox", check=False).stdout == ""
