"""Server-side apply by an unmodified kubectl, each version that is found: after client-side apply, among managers, and taking over."""
import json
import os

import pytest

import lab as labs

IMAGES = ()
OPTIONS = []
KUBECTLS = labs.kubectls()
HELLO = os.path.join(labs.TOP, "examples", "hello", "hello.yaml")

pytestmark = pytest.mark.skipif(not KUBECTLS, reason="no kubectl 1.24 or newer on this machine (and no peers built)")


@pytest.fixture(scope="module", params=sorted(KUBECTLS) or ["none"])
def kubectl(request, lab):
    path = KUBECTLS[request.param]
    ns = "apply-" + request.param.replace(".", "-")
    lab.kubectl("create", "namespace", ns, path=path)
    yield lambda *argv, **kwargs: lab.kubectl("-n", ns, *argv, path=path, check=False, **kwargs)
    lab.kubectl("delete", "namespace", ns, "--timeout=60s", path=path)


def deployment(kubectl):
    return json.loads(kubectl("get", "deployment", "hello", "-o", "json", "--show-managed-fields").stdout)


def managers(kubectl):
    return {(e["manager"], e["operation"], e.get("subresource", "")): e for e in deployment(kubectl)["metadata"]["managedFields"]}


def text_with(replicas):
    return open(HELLO).read().replace("replicas: 2", f"replicas: {replicas}")


def test_after_client_side(kubectl):
    """kubectl takes its own fields over; afterwards the same file changes nothing."""
    assert kubectl("apply", "-f", HELLO).returncode == 0
    assert ("kubectl-client-side-apply", "Update", "") in managers(kubectl)
    run = kubectl("apply", "--server-side", "-f", HELLO)
    assert run.returncode == 0 and "deployment.apps/hello serverside-applied" in run.stdout, run
    own = managers(kubectl)["kubectl", "Apply", ""]
    assert "f:replicas" in own["fieldsV1"]["f:spec"]
    before = deployment(kubectl)["metadata"]["generation"], managers(kubectl)["kubectl", "Apply", ""]
    assert kubectl("apply", "--server-side", "-f", HELLO).returncode == 0
    assert (deployment(kubectl)["metadata"]["generation"], managers(kubectl)["kubectl", "Apply", ""]) == before


def test_changes_and_removes(kubectl):
    assert kubectl("apply", "--server-side", "-f", "-", input=text_with(3)).returncode == 0
    assert deployment(kubectl)["spec"]["replicas"] == 3
    run = kubectl("diff", "--server-side", "-f", "-", input=text_with(4))
    assert run.returncode == 1 and "+  replicas: 4" in run.stdout, run
    without = "\n".join(line for line in text_with(3).split("\n") if "replicas:" not in line)
    assert kubectl("apply", "--server-side", "-f", "-", input=without).returncode == 0
    assert deployment(kubectl)["spec"]["replicas"] in (1, 3)  # 3 while client-side apply's entry is there


def test_conflicts(kubectl):
    assert kubectl("apply", "--server-side", "--force-conflicts", "-f", HELLO).returncode == 0
    run = kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", input=text_with(5))
    assert run.returncode == 1 and 'conflict with "kubectl": .spec.replicas' in run.stderr, run
    run = kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", input=text_with(5))
    assert run.returncode == 0 and deployment(kubectl)["spec"]["replicas"] == 5, run


def test_scale_takes_replicas(kubectl):
    assert kubectl("scale", "deployment/hello", "--replicas=1").returncode == 0
    run = kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", input=text_with(5))
    assert run.returncode == 1 and 'with subresource "scale" using apps/v1: .spec.replicas' in run.stderr, run
    assert ("kubectl", "Update", "scale") in managers(kubectl)


def test_refusals(kubectl):
    bad = text_with(2).replace("replicas: 2", "replicas: 2\n  nothing: here")
    run = kubectl("apply", "--server-side", "--validate=false", "-f", "-", input=bad)
    assert run.returncode == 1 and ".spec.nothing: field not declared in schema" in run.stderr, run
