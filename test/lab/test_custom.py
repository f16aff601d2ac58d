"""Custom kinds with an unmodified kubectl: defined, used, explained, applied, killed with the server, and gone again."""
import json
import time

import pytest

import lab as labs

IMAGES = ("busybox",)
KUBECTLS = labs.kubectls()
pytestmark = pytest.mark.skipif(not KUBECTLS, reason="no kubectl 1.24 or newer on this machine (and no peers built)")

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: trains.rail.example.com}
spec:
  group: rail.example.com
  scope: Namespaced
  names: {plural: trains, singular: train, kind: Train, shortNames: [tr], categories: [rail]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.cars, statusReplicasPath: .status.cars}}
    additionalPrinterColumns:
    - {name: Line, type: string, jsonPath: .spec.line}
    - {name: Cars, type: integer, jsonPath: .spec.cars}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: A train on a line.
        properties:
          spec:
            type: object
            required: [line]
            properties:
              line: {type: string, description: Where it goes., pattern: '^[A-Z][0-9]+$'}
              cars: {type: integer, minimum: 1, default: 4}
              stops:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, minutes: {type: integer}}}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
TRAIN = """
apiVersion: rail.example.com/v1
kind: Train
metadata: {name: morning}
spec: {line: S1, stops: [{name: west, minutes: 2}]}
"""


@pytest.fixture(scope="module")
def kubectl(lab):
    path = KUBECTLS[sorted(KUBECTLS)[-1]]

    def k(*argv, **kwargs):
        return lab.kubectl(*argv, path=path, **kwargs).stdout

    k.run = lambda *argv, **kwargs: lab.kubectl(*argv, path=path, check=False, **kwargs)
    k("apply", "-f", "-", input=CRD)
    k("wait", "--for=condition=Established", "crd/trains.rail.example.com", "--timeout=10s")
    return k


def test_it_is_a_kind_like_others(kubectl):
    assert "train.rail.example.com/morning created" in kubectl("apply", "-f", "-", input=TRAIN)
    out = kubectl("get", "tr")
    assert out.split("\n")[0].split() == ["NAME", "LINE", "CARS", "READY", "AGE"]
    assert out.split("\n")[1].split()[:3] == ["morning", "S1", "4"]
    assert "trains" in kubectl("api-resources", "--categories=rail")
    assert "Where it goes." in kubectl("explain", "train.spec.line")
    assert "A train on a line." in kubectl("explain", "trains", "--recursive")
    assert "Line:" in kubectl("describe", "train", "morning")
    assert "unchanged" in kubectl("apply", "-f", "-", input=TRAIN)
    assert "scaled" in kubectl("scale", "train", "morning", "--replicas=7")
    assert kubectl("get", "train", "morning", "-o", "jsonpath={.spec.cars}") == "7"
    kubectl("patch", "train", "morning", "--type=merge", "--subresource=status", "-p", '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}')
    assert kubectl("get", "tr", "--no-headers").split()[3] == "True"


def test_what_it_refuses(kubectl):
    bad = kubectl.run("apply", "-f", "-", input=TRAIN.replace("S1", "slow").replace("morning", "bad"))
    assert bad.returncode and "spec.line" in bad.stderr
    bad = kubectl.run("apply", "-f", "-", input=TRAIN.replace("stops:", "stop:").replace("morning", "bad"))
    assert bad.returncode and 'unknown field "spec.stop"' in bad.stderr, bad.stderr
    bad = kubectl.run("apply", "-f", "-", input=CRD.replace("type: integer, minimum", "type: int, minimum"))
    assert bad.returncode and "properties[spec].properties[cars].type" in bad.stderr, bad.stderr
    assert "deprecated" in kubectl.run("get", "trains.v1beta1.rail.example.com").stderr


def test_apply_by_its_schema(kubectl):
    """Two managers share a list that is keyed by name."""
    one = TRAIN.replace("morning", "shared")
    two = one.replace("line: S1, ", "").replace("west, minutes: 2", "east, minutes: 9")
    kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", input=one)
    kubectl("apply", "--server-side", "--field-manager=two", "-f", "-", input=two)
    spec = json.loads(kubectl("get", "train", "shared", "-o", "json"))["spec"]
    assert [s["name"] for s in spec["stops"]] == ["west", "east"], spec
    clash = kubectl.run("apply", "--server-side", "--field-manager=two", "-f", "-", input=two.replace("stops:", "line: S2, stops:"))
    assert clash.returncode and '"one"' in clash.stderr, clash.stderr
    kubectl("apply", "--server-side", "--field-manager=one", "-f", "-", input=one.replace("{name: west, minutes: 2}", ""))
    spec = json.loads(kubectl("get", "train", "shared", "-o", "json"))["spec"]
    assert [s["name"] for s in spec["stops"]] == ["east"], spec


def test_kinds_and_objects_outlive_the_server(lab, kubectl):
    before = kubectl("get", "train", "morning", "-o", "json")
    for _ in range(3):
        lab.nodes[0].kill("server-process")
        lab.until(lambda: kubectl.run("get", "--raw", "/readyz").stdout == "ok", what="the server is ready")
        assert kubectl("get", "train", "morning", "-o", "json") == before  # at once, not after a while
    assert "Where it goes." in kubectl("explain", "train.spec.line")


def test_owners_and_namespaces(lab, kubectl):
    """Objects of the kind own, are owned, and go with their namespace."""
    uid = json.loads(kubectl("get", "train", "morning", "-o", "json"))["metadata"]["uid"]
    kubectl("apply", "-f", "-", input=f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: timetable, ownerReferences: [{{apiVersion: rail.example.com/v1, kind: Train, name: morning, uid: {uid}}}]}}\n")
    kubectl("create", "namespace", "depot")
    kubectl("-n", "depot", "apply", "-f", "-", input=TRAIN)
    time.sleep(0.5)
    assert kubectl("get", "configmap", "timetable", "-o", "name")
    kubectl("delete", "train", "morning")
    lab.until(lambda: kubectl.run("get", "configmap", "timetable").returncode != 0, what="the owned ConfigMap is gone")
    kubectl("delete", "namespace", "depot", "--timeout=30s")


def test_the_end_of_a_kind(kubectl):
    kubectl("apply", "-f", "-", input=TRAIN)
    kubectl("delete", "crd", "trains.rail.example.com", "--timeout=30s")
    assert kubectl.run("get", "trains").returncode != 0
    assert "rail.example.com" not in kubectl("api-versions")
    kubectl("apply", "-f", "-", input=CRD)
    kubectl("wait", "--for=condition=Established", "crd/trains.rail.example.com", "--timeout=10s")
    assert "No resources found" in kubectl.run("get", "trains").stderr
