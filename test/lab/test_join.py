"""How nodes get into a cluster and stay there: tokens (single use, kept over a restart), names, renewal of certificates."""
import os
import time

import pytest

import lab as labs

LIFE = 20  # seconds that a node's certificate lasts: renewed after 14 to 18
OPTIONS = ()
IMAGES = ()


@pytest.fixture(scope="module")
def lab():
    with labs.Lab(images=IMAGES) as running:
        running.nodes[0].stop()
        running.nodes[0].start(extra=["--node-certificate-seconds", str(LIFE)])
        running.wait_ready()
        yield running


def add(lab, join, name=None):
    """One more node, which is started with this token."""
    node = labs.Node(lab, len(lab.nodes) + 1)
    node.name = name or node.name
    lab.nodes.append(node)
    node.make()
    node.start(join=join)
    return node


def token(lab):
    return lab.cox("token", "create").stdout.strip()


def ends_with(lab, node, text):
    assert node.process.wait(20) == 1
    assert text in node.log(), node.log()


def ready(lab, node, seconds=20):
    lab.until(lambda: any(c["type"] == "Ready" and c["status"] == "True" for c in lab.get("node", node.name)["status"]["conditions"]), seconds=seconds, what=f"{node.name} is Ready")


def test_a_token_outlives_the_server_and_works_once(lab):
    t = token(lab)
    secrets = lab.get("secrets", "-n", "kube-system")["items"]
    mine = [s for s in secrets if s["type"] == "cox/join-token"]
    assert len(mine) == 1 and t.split("#")[1].split(".")[1] not in str(mine), "the secret itself is kept nowhere"
    lab.nodes[0].kill("server-process")
    lab.wait_ready()
    second = add(lab, t)
    ready(lab, second)
    assert not [s for s in lab.get("secrets", "-n", "kube-system")["items"] if s["type"] == "cox/join-token"]
    ends_with(lab, add(lab, t), "the token is wrong, used or too old")


def test_two_at_once_with_one_token(lab):
    t = token(lab)
    a, b = add(lab, t), add(lab, t)
    lab.until(lambda: a.process.poll() is not None or b.process.poll() is not None, what="one of them is refused")
    loser, winner = (a, b) if a.process.poll() is not None else (b, a)
    ends_with(lab, loser, "the token is wrong, used or too old")
    ready(lab, winner)


def test_a_name_in_use_is_refused_and_costs_no_token(lab):
    t = token(lab)
    ends_with(lab, add(lab, t, name="n2"), "a node named n2 is in the cluster and Ready")
    ends_with(lab, add(lab, t, name="Bad_Name"), "cannot be a node's name")
    ready(lab, add(lab, t))


def serial(node):
    """Of the certificate that the node's port shows."""
    out = labs.sh("ip", "netns", "exec", node.netns, "python3", "-c",
                  "import ssl, sys; print(ssl.get_server_certificate((sys.argv[1], 10250)))", node.ip)
    return out.stdout


def test_certificates_are_renewed(lab):
    node = lab.nodes[1]
    path = f"{node.dir}/config/node.pem"
    before, shown = open(path).read(), serial(node)
    assert os.stat(path).st_mode & 0o777 == 0o600
    lab.until(lambda: open(path).read() != before, seconds=LIFE + 5, what="a new certificate")
    lab.until(lambda: serial(node) != shown, what="the port shows it")
    time.sleep(LIFE)  # the first one is over now
    renewed = lab.get("lease", "n2", "-n", "kube-node-lease")["spec"]["renewTime"]
    lab.until(lambda: lab.get("lease", "n2", "-n", "kube-node-lease")["spec"]["renewTime"] != renewed, seconds=20, what="the lease goes on")
    node.kill("agent-process")  # a new connection, with what was kept
    lab.until(lambda: lab.get("lease", "n2", "-n", "kube-node-lease")["spec"]["renewTime"] > renewed, seconds=20, what="the new agent's lease")
    lab.until(lambda: lab.cox("get", "--raw", "/api/v1/nodes/n2/proxy/healthz", check=False).stdout == "ok", what="the new agent's connections")


def test_one_that_was_off_for_too_long(lab):
    node = lab.nodes[1]
    node.stop()
    time.sleep(LIFE + 1)
    node.start()
    ends_with(lab, node, "is no longer valid (the node was off for too long to renew it): join again with --join")
    lab.until(lambda: any(c["type"] == "Ready" and c["status"] != "True" for c in lab.get("node", "n2")["status"]["conditions"]), seconds=90, what="n2 is NotReady")
    node.start(join=token(lab))
    ready(lab, node)
