"""generate.py: mutations of every field of every kind, from the reference's own OpenAPI and one valid object of each kind (objects.yaml).

Each field is made absent, null, empty, of the wrong type, out of range, too long, a bad enum value, a duplicate of a list's key, and given to a create and, where it stays valid, to an update; always with
dryRun=All, so that nothing is stored. A definition is walked in full in the first kind that reaches it (PodSpec in Pod); where it comes back, only its own fields are, briefly.
"""
import copy
import json

import protobuf
import script

TEXTS = {"image": "registry.example/x:1", "path": "/p", "mountPath": "/m", "devicePath": "/d", "kind": "Thing", "apiVersion": "v1", "apiGroup": "x.example", "namespace": "other", "key": "k", "ip": "10.1.2.9",
         "driver": "d.example.com", "host": "h.example", "cidr": "10.0.0.0/8", "topologyKey": "zone", "fieldPath": "metadata.name", "signerName": "example.com/s", "schedule": "0 * * * *", "url": "https://x.example/",
         "protocol": "TCP", "nodeName": "n9", "mode": "0644", "clusterIP": "None", "timeZone": "Etc/UTC", "expression": "true", "controller": "example.com/c"}
# Of these only one member may be there: setting one takes the others out.
EXCLUSIVE = {
    "io.k8s.api.core.v1.Volume": "* -name", "io.k8s.api.core.v1.VolumeProjection": "*", "io.k8s.api.core.v1.LifecycleHandler": "*", "io.k8s.api.core.v1.EnvVarSource": "*",
    "io.k8s.api.core.v1.EnvFromSource": "configMapRef secretRef", "io.k8s.api.core.v1.EnvVar": "value valueFrom", "io.k8s.api.core.v1.Probe": "exec httpGet tcpSocket grpc",
    "io.k8s.api.core.v1.PersistentVolumeSpec": ("hostPath nfs iscsi fc csi local awsElasticBlockStore azureDisk azureFile cephfs cinder flexVolume flocker gcePersistentDisk glusterfs photonPersistentDisk portworxVolume "
                                                "quobyte rbd scaleIO storageos vsphereVolume"),
    "io.k8s.api.networking.v1.IngressBackend": "resource service", "io.k8s.api.networking.v1.NetworkPolicyPeer": "ipBlock podSelector", "io.k8s.api.networking.v1.ServiceBackendPort": "name number",
    "io.k8s.api.policy.v1.PodDisruptionBudgetSpec": "minAvailable maxUnavailable", "io.k8s.api.resource.v1.DeviceRequest": "exactly firstAvailable", "io.k8s.api.resource.v1.DeviceAttribute": "*",
    "io.k8s.api.resource.v1.ResourceSliceSpec": "nodeName allNodes nodeSelector perDeviceNodeSelection", "io.k8s.api.admissionregistration.v1.WebhookClientConfig": "url service",
    "io.k8s.api.authorization.v1.SubjectAccessReviewSpec": "resourceAttributes nonResourceAttributes", "io.k8s.api.authorization.v1.SelfSubjectAccessReviewSpec": "resourceAttributes nonResourceAttributes",
    "io.k8s.api.discovery.v1.EndpointSlice": "", "io.k8s.api.storage.v1.VolumeAttachmentSource": "*",
}
SKIPPED = {"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "io.k8s.apimachinery.pkg.runtime.RawExtension"}
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
NAMES = ["", "A", "a.b", "a_b", "a b", "a/b", "..", "a%b", "1a", "a:b", "-a", "a-", "a..b", "x" * 63, "x" * 64, "x" * 253, "x" * 254, "\u00e9"]
LONG = "x" * 300


class Document:
    def __init__(self, openapi):
        self.definitions = openapi["definitions"]
        self.by_kind = {}
        for name, d in self.definitions.items():
            for gvk in d.get("x-kubernetes-group-version-kind", []):
                self.by_kind.setdefault((gvk["group"], gvk["version"], gvk["kind"]), name)

    def of(self, prop):
        """(definition name or None, what describes the value)"""
        if "allOf" in prop and len(prop["allOf"]) == 1:
            prop = {**prop, **prop["allOf"][0]}
        if "$ref" in prop:
            name = prop["$ref"].split("/")[-1]
            return name, self.definitions[name]
        return None, prop

    def type_of(self, prop):
        name, d = self.of(prop)
        short = (name or "").split(".")[-1]
        if short in ("Quantity", "IntOrString", "Time", "MicroTime", "Duration"):
            return short
        if d.get("format") == "int-or-string":
            return "IntOrString"
        if d.get("type") == "object" or "properties" in d:
            return "map" if "additionalProperties" in d else "object"
        if d.get("type") == "string" and d.get("format") == "date-time":
            return "Time"
        return d.get("type", "any")

    def filler(self, name, prop, depth=0, other=False):
        kind = self.type_of(prop)
        _, d = self.of(prop)
        if d.get("enum"):
            return d["enum"][1 if other and len(d["enum"]) > 1 else 0]
        if kind == "string":
            return "dg==" if d.get("format") == "byte" else ("y" if other else TEXTS.get(name, "x"))
        if kind in ("integer", "number"):
            return 2 if other else 1
        if kind == "boolean":
            return not other
        if kind == "Quantity":
            return "2" if other else "1"
        if kind == "IntOrString":
            return 2 if other else 1
        if kind == "Time":
            return "2021-02-03T04:05:06Z"
        if kind == "MicroTime":
            return "2021-02-03T04:05:06.000000Z"
        if kind == "Duration":
            return "1s"
        if kind == "array":
            return [self.filler(name, d["items"], depth + 1, other)]
        if kind == "map":
            return {"k": self.filler("", d["additionalProperties"], depth + 1, other)}
        if kind == "object" and depth < 8:
            return {r: self.filler(r, d["properties"][r], depth + 1, other) for r in d.get("required", []) if r in d.get("properties", {})}
        return {}


def exclusive(definition, field, fields):
    words = EXCLUSIVE.get(definition, "").split()
    group = set(fields) if "*" in words else {w for w in words if w[0] != "-"}
    group -= {w[1:] for w in words if w[0] == "-"}
    return group - {field} if field in group else set()


class Walk:
    """All fields that a kind reaches, as paths, with what describes them."""

    def __init__(self, document, owned):
        self.document, self.owned, self.paths = document, owned, []

    def definition(self, name, path, stack, brief):
        d = self.document.definitions[name]
        for field, prop in sorted(d.get("properties", {}).items()):
            if not path and field in ("apiVersion", "kind", "status"):
                continue
            if path == [] and field == "metadata":
                self.meta(path + [(field, name)], prop)
                continue
            self.field(path + [(field, name)], prop, stack, brief)

    def meta(self, path, prop):
        brief = META in self.owned
        self.owned.add(META)
        self.paths.append((path, prop, brief))
        self.definition(META, path, {META}, brief)

    def field(self, path, prop, stack, brief):
        self.paths.append((path, prop, brief))
        name, d = self.document.of(prop)
        while d.get("type") == "array" or "additionalProperties" in d and isinstance(d["additionalProperties"], dict):
            step = 0 if d.get("type") == "array" else "k"
            inner = d["items"] if step == 0 else d["additionalProperties"]
            path = path + [(step, None)]
            name, d = self.document.of(inner)
        if name is None or "properties" not in d or name in stack or name in SKIPPED or brief:
            return
        again = name in self.owned and len(d["properties"]) > 5
        self.owned.add(name)
        self.definition(name, path, stack | {name}, again)


ABSENT = object()


def put(document, base, path, value):
    """A copy of the base with the value there; parents that are missing are made valid."""
    out = copy.deepcopy(base)
    here = out
    for i, (key, definition) in enumerate(path):
        last = i == len(path) - 1
        if definition is not None and isinstance(here, dict):
            fields = document.definitions[definition]["properties"]
            if value is not ABSENT:
                for other in exclusive(definition, key, fields):
                    here.pop(other, None)
        if last:
            if value is ABSENT:
                if isinstance(here, dict):
                    here.pop(key, None)
                elif isinstance(here, list) and key < len(here):
                    del here[key]
            elif isinstance(here, list):
                here[:] = [value] + here[1:]
            else:
                here[key] = value
            return out
        missing = key >= len(here) if isinstance(here, list) else key not in here or here[key] is None
        if missing:
            made = parent_filler(document, path, i)
            if isinstance(here, list):
                here.append(made)
            else:
                here[key] = made
        here = here[key]
        if not isinstance(here, (dict, list)):
            return None
    return out


def parent_filler(document, path, i):
    """What stands at path[i], so that path[i + 1] can go into it."""
    following = path[i + 1]
    if following[1] is None:
        return [] if following[0] == 0 else {}
    d = document.definitions[following[1]]
    return {r: document.filler(r, d["properties"][r], 1) for r in d.get("required", []) if r in d.get("properties", {}) and r != following[0]}


def there(base, path):
    here = base
    for key, _ in path:
        try:
            here = here[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


WRONG = {"string": [7, {}], "integer": ["1", 1.5], "number": ["x"], "boolean": ["true"], "Quantity": [True, {}], "IntOrString": [True, {}], "Time": [7], "MicroTime": [7], "Duration": [7], "array": [{}, "x"], "map": [[], "x"],
         "object": [[], "x"]}


def values(document, name, prop):
    """(label, value) for one field, from what describes it."""
    kind = document.type_of(prop)
    _, d = document.of(prop)
    yield "null", None
    for wrong in WRONG.get(kind, []):
        yield "wrong type", wrong
    if d.get("enum"):
        for value in d["enum"]:
            yield "enum", value
        yield "bad enum", "Bogus"
        yield "empty", ""
    elif kind == "string":
        for label, value in (("empty", ""), ("long", LONG), ("characters", "Not Valid_/!"), ("plain", "x"), ("padded", " x ")) if d.get("format") != "byte" else (("not base64", "!"), ("empty", "")):
            yield label, value
    elif kind in ("integer", "number"):
        for value in (-1, 0, 1, 65536, 2147483647, 2147483648, 1 << 63):
            yield "number", value
    elif kind == "boolean":
        yield "true", True
        yield "false", False
    elif kind == "Quantity":
        for value in ("0", "-1", "1x", 0.5, "1e3", "1500m", "", "1Ei", "0.0001"):
            yield "quantity", value
    elif kind == "IntOrString":
        for value in (-1, 0, 1, "50%", "150%", "-1%", "abc", "", 70000):
            yield "int or string", value
    elif kind in ("Time", "MicroTime"):
        for value in ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5Z", "2020-01-01T01:00:00+01:00", "bogus", "2020-01-01", ""):
            yield "time", value
    elif kind == "Duration":
        for value in ("1s", "1h2m3.5s", "-1s", "bogus", ""):
            yield "duration", value
    elif kind == "array":
        one = document.filler(name, d["items"])
        for label, value in (("empty", []), ("null member", [None]), ("one", [one]), ("duplicate", [one, one])):
            yield label, value
        if document.type_of(d["items"]) == "object":
            yield "empty member", [{}]
    elif kind == "map":
        one = document.filler("", d["additionalProperties"]) if isinstance(d.get("additionalProperties"), dict) else "v"
        for label, value in (("empty", {}), ("one", {"k": one}), ("bad key", {"Not Valid/!": one}), ("empty key", {"": one}), ("null value", {"k": None}), ("long key", {LONG: one})):
            yield label, value
    elif kind == "object":
        yield "empty", {}
        yield "unknown field", {**document.filler(name, prop), "bogus": 1}
        yield "required only", document.filler(name, prop)


BRIEF = {"null", "empty", "one", "plain", "required only", "bad enum"}


def text_of(path):
    return ".".join(str(key) for key, _ in path)


def steps_of(document, kind, base, owned, url, item, updates):
    walk = Walk(document, owned)
    name = document.by_kind[kind]
    walk.definition(name, [], {name}, False)
    creates, puts = [], []

    def step(verb, label, value, into):
        if value is not None:
            into.append(script.Step(verb, (url if verb == "POST" else item) + "?dryRun=All&fieldValidation=Strict", body=json.dumps(value), label=label))

    def as_update(value):
        if isinstance(value, dict) and isinstance(value.get("metadata"), dict):
            value["metadata"].pop("resourceVersion", None)
        return value

    step("POST", "base", base, creates)
    for path, prop, brief in walk.paths:
        where = text_of(path)
        field = next((k for k, _ in reversed(path) if isinstance(k, str)), "")
        named = len(path) == 2 and where == "metadata.name"
        if there(base, path):
            step("POST", f"{where} absent", put(document, base, path, ABSENT), creates)
            step("PUT", f"{where} absent", as_update(put(document, base, path, ABSENT)), puts)
        for label, value in ((("name", n) for n in NAMES) if named else values(document, field, prop)):
            if not brief or label in BRIEF or label == "name":
                shown = json.dumps(value) if len(json.dumps(value)) < 60 else json.dumps(value)[:40] + "..."
                step("POST", f"{where} = {shown}", put(document, base, path, value), creates)
        if not named and updates:
            for other in (False, True):
                value = document.filler(field, prop, 0, other)
                step("PUT", f"{where} -> {json.dumps(value)[:60]}", as_update(put(document, base, path, value)), puts)
    return creates, puts


def protobuf_steps(document, kind, base, owned, url):
    """Every field once, there and back in protobuf."""
    walk, name, out = Walk(document, owned), document.by_kind[kind], []
    walk.definition(name, [], {name}, False)
    for path, prop, brief in walk.paths:
        field = next((k for k, _ in reversed(path) if isinstance(k, str)), "")
        value = put(document, base, path, document.filler(field, prop))
        if not brief and value is not None:
            out.append(script.Step("POST", url + "?dryRun=All", [["content-type", protobuf.TYPE], ["accept", protobuf.TYPE]], json.dumps(value), label=f"{text_of(path)} in protobuf"))
    return out


def status_steps(document, kind, base, owned, item):
    name = document.by_kind[kind]
    prop = document.definitions[name].get("properties", {}).get("status")
    if prop is None:
        return []
    walk, out = Walk(document, owned), []
    walk.field([("status", name)], prop, {name}, False)
    for path, prop, brief in walk.paths:
        field = next((k for k, _ in reversed(path) if isinstance(k, str)), "")
        for label, value in values(document, field, prop):
            if not brief or label in BRIEF:
                body = put(document, base, path, value)
                if body is not None:
                    out.append(script.Step("PUT", item + "/status?dryRun=All&fieldValidation=Strict", body=json.dumps(body), label=f"{text_of(path)} = {json.dumps(value)[:60]}"))
    return out
