"""The official Python client: typed objects, watch, exec over a WebSocket, the dynamic client, patches, tokens."""
import threading
import time

import pytest

client = pytest.importorskip("kubernetes.client")
from kubernetes import config, dynamic, stream, watch  # noqa: E402


@pytest.fixture(scope="module")
def api(lab):
    return config.new_client_from_config(lab.kubeconfig)


@pytest.fixture(scope="module")
def core(api):
    return client.CoreV1Api(api)


def pod(name, command):
    return client.V1Pod(metadata=client.V1ObjectMeta(name=name, labels={"by": "python"}), spec=client.V1PodSpec(
        termination_grace_period_seconds=0, containers=[client.V1Container(name="c", image="cox.local/busybox:1", command=command)]))


def test_versions_and_nodes(api, core):
    assert client.VersionApi(api).get_code().minor == "37"
    nodes = core.list_node().items
    assert [n.metadata.name for n in nodes] == ["n1"]
    assert nodes[0].status.node_info.architecture == "amd64"


def test_a_pod_s_life_seen_by_a_watch(core):
    seen = []

    def follow():
        for event in watch.Watch().stream(core.list_namespaced_pod, "default", label_selector="by=python", timeout_seconds=30):
            seen.append((event["type"], event["object"].status.phase))
            if event["type"] == "DELETED":
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    time.sleep(0.3)
    core.create_namespaced_pod("default", pod("py", ["sleep", "3600"]))
    for _ in range(200):
        if core.read_namespaced_pod("py", "default").status.phase == "Running":
            break
        time.sleep(0.05)
    out = stream.stream(core.connect_get_namespaced_pod_exec, "py", "default", command=["sh", "-c", "echo out; echo err >&2"], stderr=True, stdin=False, stdout=True, tty=False)
    assert "out" in out and "err" in out
    core.delete_namespaced_pod("py", "default", grace_period_seconds=0)
    thread.join(30)
    assert seen[0][0] == "ADDED" and seen[-1][0] == "DELETED"
    assert ("MODIFIED", "Running") in seen


def test_conflicts_and_patches(core):
    made = core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="py"), data={"a": "1"}))
    core.patch_namespaced_config_map("py", "default", {"data": {"b": "2"}})
    made.data = {"a": "3"}
    with pytest.raises(client.ApiException) as caught:
        core.replace_namespaced_config_map("py", "default", made)
    assert caught.value.status == 409 and "the object has been modified" in caught.value.body
    assert core.read_namespaced_config_map("py", "default").data == {"a": "1", "b": "2"}
    with pytest.raises(client.ApiException) as caught:
        core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="py")))
    assert caught.value.status == 409
    core.delete_namespaced_config_map("py", "default")


def test_pages(core):
    for i in range(25):
        core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name=f"page-{i:02}", labels={"page": "yes"})))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map("default", label_selector="page=yes", limit=10, _continue=token)
        names += [m.metadata.name for m in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"page-{i:02}" for i in range(25)]
    core.delete_collection_namespaced_config_map("default", label_selector="page=yes")
    assert core.list_namespaced_config_map("default", label_selector="page=yes").items == []


def test_the_dynamic_client(api):
    deployments = dynamic.DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment")
    deployments.create(namespace="default", body={"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "dyn"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": "dyn"}}, "template": {"metadata": {"labels": {"app": "dyn"}}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "cox.local/busybox:1", "command": ["sleep", "3600"]}]}}}})
    for _ in range(200):
        if deployments.get(name="dyn", namespace="default").status.readyReplicas == 1:
            break
        time.sleep(0.05)
    assert deployments.get(name="dyn", namespace="default").status.readyReplicas == 1
    deployments.delete(name="dyn", namespace="default")


def test_a_service_account_sees_what_it_may(api, core, lab):
    core.create_namespaced_service_account("default", client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="reader")))
    rbac = client.RbacAuthorizationV1Api(api)
    rbac.create_namespaced_role("default", client.V1Role(metadata=client.V1ObjectMeta(name="reader"), rules=[client.V1PolicyRule(api_groups=[""], resources=["configmaps"], verbs=["list"])]))
    lab.apply("{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: reader}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}, subjects: [{kind: ServiceAccount, name: reader}]}")
    token = core.create_namespaced_service_account_token("reader", "default", client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))).status.token
    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert, settings.api_key = api.configuration.host, api.configuration.ssl_ca_cert, {"authorization": "Bearer " + token}
    as_reader = client.CoreV1Api(client.ApiClient(settings))
    as_reader.list_namespaced_config_map("default")
    for attempt in (lambda: as_reader.list_namespaced_secret("default"), lambda: as_reader.list_namespaced_config_map("kube-system")):
        with pytest.raises(client.ApiException) as caught:
            attempt()
        assert caught.value.status == 403 and 'User "system:serviceaccount:default:reader" cannot list' in caught.value.body.replace('\\"', '"')
