"""verbs.py: every kind walked through every verb, format and common mistake, from the reference's discovery and objects.yaml."""
import copy
import json

import generate
import protobuf
import script
from script import Step

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"
CREATED_ELSEWHERE = {"Namespace"}


def resources(discovery):
    """{(group, version, kind): resource} of aggregated discovery."""
    out = {}
    for group in discovery:
        name = group.get("metadata", {}).get("name", "")
        for version in group["versions"]:
            for r in version.get("resources", []):
                gvk = (name, version["version"], r["responseKind"]["kind"])
                out[gvk] = {"group": name, "version": version["version"], "kind": r["responseKind"]["kind"], "plural": r["resource"], "namespaced": r["scope"] == "Namespaced", "verbs": set(r["verbs"]),
                            "subresources": {s["subresource"]: set(s["verbs"]) for s in r.get("subresources", [])}}
    return out


def collection(r, ns="$ns"):
    root = f"/apis/{r['group']}/{r['version']}" if r["group"] else f"/api/{r['version']}"
    return f"{root}/namespaces/{ns}/{r['plural']}" if r["namespaced"] else f"{root}/{r['plural']}"


def body(base, **changes):
    value = copy.deepcopy(base)
    for path, change in changes.items():
        value["metadata"][path] = change
    return json.dumps(value)


def reads(r, url, item):
    mine = "?labelSelector=app%3Dbase" if not r["namespaced"] else ""
    more = "&" if mine else "?"
    if "get" in r["verbs"]:
        for accept in (None, TABLE, TABLE + ",application/json", PARTIAL.format(""), "application/yaml", "application/xml", "*/*", "application/json;as=Nothing;v=v1;g=meta.k8s.io", protobuf.TYPE,
                       "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", "application/json;q=0.1," + protobuf.TYPE):
            yield Step("GET", item, [["accept", accept]] if accept else [])
        for query in ("?resourceVersion=0", "?resourceVersion=bogus", "?resourceVersion=99999999", "?pretty=1", "?bogus=1"):
            yield Step("GET", item + query)
        yield Step("HEAD", item)
        yield Step("GET", item + "-none")
    if "list" in r["verbs"]:
        for accept in (None, TABLE, PARTIAL.format("List"), "application/yaml", protobuf.TYPE, "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"):
            yield Step("GET", url + mine, [["accept", accept]] if accept else [])
        for query in ("labelSelector=app%3Dbase", "labelSelector=app%3Dother", "labelSelector=app+in+(base,x)", "labelSelector=!app", "labelSelector=a%3D%3D%3Db", "labelSelector=app%3D" + "x" * 64,
                      "fieldSelector=metadata.name%3Dnone", "fieldSelector=bogus%3D1", "fieldSelector=metadata.name", "limit=1", "limit=-1", "limit=x", "continue=bogus", "timeoutSeconds=x", "resourceVersion=bogus",
                      "resourceVersionMatch=Exact", "resourceVersionMatch=Exact&resourceVersion=0", "resourceVersionMatch=NotOlderThan&resourceVersion=0", "resourceVersionMatch=Bogus&resourceVersion=1",
                      "sendInitialEvents=true", "allowWatchBookmarks=true", "limit=1&resourceVersion=0"):
            if query.startswith(("limit=1", "resourceVersionMatch=NotOlder", "allowWatch")) and mine:
                query += "&labelSelector=app%3Dbase"
            yield Step("GET", url + "?" + query if "labelSelector" in query or not mine else url + mine + more + query)
        yield Step("GET", url + "?watch=1&resourceVersion=bogus")
        yield Step("GET", url + "?watch=1&sendInitialEvents=true")
        yield Step("GET", url + "?watch=1&resourceVersion=0&timeoutSeconds=x")


def mistakes(r, url, item, base):
    """Bodies and paths that are wrong the same way for every kind."""
    dry = "?dryRun=All"
    if "create" in r["verbs"]:
        for text in ("", "{", "[]", "null", "7", '"x"', "{}", '{"apiVersion":"v1"}', '{"kind":"%s"}' % r["kind"]):
            yield Step("POST", url + dry, [["content-type", "application/json"]], text or None)
        wrong = [{**base, "kind": "Bogus"}, {**base, "apiVersion": "bogus/v1"}, {**base, "bogus": 1}, {**base, "metadata": {**base["metadata"], "bogus": 1}}, {**base, "metadata": "x"}, {**base, "metadata": None},
                 {**base, "metadata": {**base["metadata"], "namespace": "elsewhere"}}, {**base, "metadata": {**base["metadata"], "resourceVersion": "1"}}, {**base, "metadata": {**base["metadata"], "uid": "x"}},
                 {**base, "metadata": {**base["metadata"], "generateName": "gen-", "name": ""}}, {**base, "metadata": {**base["metadata"], "labels": {"a b": "c"}}},
                 {**base, "metadata": {**base["metadata"], "annotations": {"A/B/C": "c"}}}, {**base, "metadata": {**base["metadata"], "finalizers": ["bogus"]}},
                 {**base, "metadata": {**base["metadata"], "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}},
                 {**base, "metadata": {**base["metadata"], "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": ""}]}}]
        for value in wrong:
            for mode in ("", "&fieldValidation=Strict", "&fieldValidation=Ignore") if "bogus" in json.dumps(value) else ("",):
                yield Step("POST", url + dry + mode, body=json.dumps(value))
        text = json.dumps(base)
        yield Step("POST", url + dry + "&fieldValidation=Bogus", body=text)
        yield Step("POST", url + "?dryRun=Bogus", body=text)
        yield Step("POST", url + dry + "&fieldManager=" + "x" * 129, body=text)
        yield Step("POST", url + dry + "&fieldValidation=Strict", body=text[:-1] + ', "kind": "%s"}' % r["kind"])
        yield Step("POST", url + dry, body=text[:-1] + ', "kind": "%s"}' % r["kind"])
        for kind in ("text/plain", "application/xml", "application/json; charset=utf-8", "application/json-patch+json", protobuf.TYPE):
            yield Step("POST", url + dry, [["content-type", kind]], text)
        yield Step("POST", url + dry, [["content-type", "application/yaml"]], text)
        if r["namespaced"]:
            yield Step("POST", collection(r, "no-such-namespace") + dry, body=text)
    for verb in ("POST", "PUT", "PATCH", "DELETE"):
        yield Step(verb, item + "/bogus", body="{}")
    yield Step("POST", item, body="{}")
    yield Step("PUT", url, body="{}")
    yield Step("PATCH", url, [["content-type", "application/merge-patch+json"]], "{}")


def writes(r, url, item, base):
    text = json.dumps(base)
    yield Step("POST", url + "?dryRun=All", body=text, label="create, dry run")
    if "watch" in r["verbs"]:
        yield Step("GET", url + ("?watch=1" if r["namespaced"] else "?watch=1&labelSelector=app%3Dbase"), stream="w")
    yield Step("POST", url, body=text, saves=[["rv", "metadata.resourceVersion"], ["uid", "metadata.uid"]], label="create")
    yield Step("POST", url, body=text, label="create again")
    yield from reads(r, url, item)
    if "update" in r["verbs"]:
        yield Step("PUT", item, body=text, label="unchanged")
        yield Step("PUT", item, body=body(base, labels={"app": "base", "more": "1"}), label="label")
        yield Step("PUT", item, body=body(base, resourceVersion="1"), label="stale")
        yield Step("PUT", item, body=body(base, resourceVersion="bogus"), label="bogus version")
        yield Step("PUT", item, body=body(base, uid="bogus"), label="other uid")
        yield Step("PUT", item + "?dryRun=All", body=body(base, name=base["metadata"]["name"] + "-other"), label="other name")
        yield Step("PUT", item + "-none", body=body(base, name=base["metadata"]["name"] + "-none"), label="of none")
        yield Step("PUT", item + "?dryRun=All", body="{}", label="empty")
    if "patch" in r["verbs"]:
        for kind, patch in (("merge-patch", '{"metadata":{"labels":{"m":"1"}}}'), ("strategic-merge-patch", '{"metadata":{"labels":{"s":"1"}}}'), ("json-patch", '[{"op":"add","path":"/metadata/labels/j","value":"1"}]'),
                            ("merge-patch", '{"metadata":{"labels":{"m":null}}}'), ("json-patch", '[{"op":"test","path":"/metadata/name","value":"bogus"}]'), ("json-patch", '[{"op":"remove","path":"/bogus"}]'),
                            ("json-patch", '{}'), ("json-patch", '[]'), ("merge-patch", "[]"), ("merge-patch", "{"), ("strategic-merge-patch", "[]"), ("merge-patch", '{"bogus":1}'), ("strategic-merge-patch", '{"bogus":1}'),
                            ("merge-patch", '{"metadata":{"name":"other"}}'), ("merge-patch", '{"metadata":{"uid":"other"}}'), ("merge-patch", '{"kind":"Bogus"}'), ("merge-patch", '{"metadata":{"resourceVersion":"1"}}'),
                            ("merge-patch", '{"metadata":null}'), ("strategic-merge-patch", '{"metadata":{"labels":{"$patch":"replace","app":"base"}}}'), ("bogus-patch", "{}")):
            dry = "" if '"1"' in patch and "Version" not in patch else "?dryRun=All"  # what one server takes and the other does not must not change all that follows
            yield Step("PATCH", item + dry, [["content-type", f"application/{kind}+json"]], patch)
        yield Step("PATCH", item, body="{}", label="patch without a type")
        yield Step("PATCH", item + "-none", [["content-type", "application/merge-patch+json"]], "{}")
        yield Step("PATCH", item + "?force=true", [["content-type", "application/merge-patch+json"]], "{}")
        apply = [["content-type", "application/apply-patch+yaml"]]
        yield Step("PATCH", item + "?fieldManager=one", apply, text, label="apply")
        yield Step("PATCH", item, apply, text, label="apply without manager")
        yield Step("PATCH", item + "?fieldManager=one&force=true", apply, text, label="apply, forced")
        yield Step("PATCH", item + "?fieldManager=two", apply, body(base, labels={"app": "other"}), label="apply, conflict")
        yield Step("PATCH", item + "?fieldManager=one&force=true&dryRun=All", apply, body(base, labels={"two": "2"}), label="apply, a label less")
    yield from subresources(r, item, base)
    if "watch" in r["verbs"]:
        yield Step("read", stream="w")
    if "delete" in r["verbs"]:
        yield Step("DELETE", item, body='{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"bogus"}}')
        yield Step("DELETE", item, body='{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"resourceVersion":"1"}}')
        yield Step("DELETE", item, body='{"propagationPolicy":"Bogus"}')
        yield Step("DELETE", item, body='{"gracePeriodSeconds":-1,"dryRun":["All"]}')
        yield Step("DELETE", item + "?dryRun=All")
        yield Step("DELETE", item + "?dryRun=All&propagationPolicy=Foreground")
        yield Step("DELETE", item + "?dryRun=All&propagationPolicy=Foreground&orphanDependents=true")
        yield Step("PATCH", item, [["content-type", "application/merge-patch+json"]], '{"metadata":{"finalizers":["example.com/f"]}}')
        yield Step("DELETE", item, label="with a finalizer")
        yield Step("DELETE", item, label="with a finalizer, again")
        yield Step("PATCH", item, [["content-type", "application/merge-patch+json"]], '{"metadata":{"finalizers":["example.com/f","example.com/g"]}}')
        yield Step("PATCH", item, [["content-type", "application/merge-patch+json"]], '{"metadata":{"finalizers":null}}')
        yield Step("DELETE", item + "?gracePeriodSeconds=0", label="the last")
        yield Step("DELETE", item, label="of none")
        yield Step("GET", item)
        if "watch" in r["verbs"]:
            yield Step("read", stream="w")
        yield Step("POST", url, body=text, label="anew")
    if "deletecollection" in r["verbs"]:
        yield Step("DELETE", url + "?labelSelector=app%3Dnone")
        yield Step("DELETE", url + "?labelSelector=app%3Dbase&dryRun=All")
        yield Step("DELETE", url + "?fieldSelector=bogus%3D1")
    if "delete" in r["verbs"]:
        yield Step("DELETE", item + "?gracePeriodSeconds=0", label="cleanup")
        yield Step("PATCH", item, [["content-type", "application/merge-patch+json"]], '{"metadata":{"finalizers":null}}', label="cleanup")


def subresources(r, item, base):
    text = json.dumps(base)
    for name, verbs in sorted(r["subresources"].items()):
        if name in ("proxy", "exec", "attach", "portforward", "log"):
            continue
        if "get" in verbs:
            yield Step("GET", f"{item}/{name}")
            yield Step("GET", f"{item}-none/{name}")
            yield Step("GET", f"{item}/{name}", [["accept", TABLE]])
        if "update" in verbs:
            yield Step("PUT", f"{item}/{name}", body=text)
            yield Step("PUT", f"{item}/{name}?dryRun=All", body="{}")
        if "patch" in verbs:
            yield Step("PATCH", f"{item}/{name}", [["content-type", "application/merge-patch+json"]], '{"metadata":{"labels":{"sub":"1"}}}')
            yield Step("PATCH", f"{item}/{name}", [["content-type", "application/merge-patch+json"]], '{"spec":{"replicas":2}}' if name == "scale" else "{}")
        if "create" in verbs:
            yield Step("POST", f"{item}/{name}?dryRun=All", body="{}")
        yield Step("DELETE", f"{item}/{name}")


def cleanup(r, url, item):
    return [Step("DELETE", item + "?gracePeriodSeconds=0"), Step("PATCH", item, [["content-type", "application/merge-patch+json"]], '{"metadata":{"finalizers":null}}')] if "delete" in r["verbs"] else []


def unit_namespace(name):
    return script.Unit(name, []).namespace()


def fill(value, ns):
    return json.loads(json.dumps(value).replace("$ns", ns))


def units(objects, discovery, openapi, beta=False):
    """The generated units: for each kind of the objects that the reference serves, its verbs and its mutations."""
    known, document, owned, owned_by_protobuf = resources(discovery), generate.Document(openapi), set(), set()
    for value in objects:
        group, version = value["apiVersion"].rsplit("/", 1) if "/" in value["apiVersion"] else ("", value["apiVersion"])
        kind = value["kind"]
        r = known.get((group, version, kind))
        if r is None or (group, version, kind) not in document.by_kind:
            continue
        label = f"{kind}.{version}.{group}" if group else kind
        for family, make in (("verbs", verb_steps), ("mutate", mutate_steps)):
            name = f"{family}/{label}"
            base = fill(value, unit_namespace(name))
            steps = make(r, base, document, owned, (group, version, kind))
            yield script.Unit(name, steps, kind=label, beta=beta, resource=r)
        base = fill(value, unit_namespace("protobuf/" + label))
        yield script.Unit("protobuf/" + label, generate.protobuf_steps(document, (group, version, kind), base, owned_by_protobuf, collection(r)), kind=label, beta=beta, resource=r)


def verb_steps(r, base, document, owned, gvk):
    url = collection(r)
    item = url + "/" + base["metadata"].get("name", "base")
    steps = list(mistakes(r, url, item, base))
    if "get" in r["verbs"]:
        return steps + list(writes(r, url, item, base))
    text = json.dumps(base)
    return steps + [Step("POST", url, body=text), Step("POST", url, [["accept", TABLE]], text), Step("POST", url, [["accept", protobuf.TYPE]], text), Step("POST", url, [["content-type", protobuf.TYPE]], text),
                    Step("POST", url, [["accept", "application/yaml"]], text), Step("GET", url), Step("DELETE", url)]


def mutate_steps(r, base, document, owned, gvk):
    url = collection(r)
    item = url + "/" + base["metadata"].get("name", "base")
    creates, puts = generate.steps_of(document, gvk, base, owned, url, item, "update" in r["verbs"])
    if "get" not in r["verbs"]:
        return creates
    store = [Step("POST", url, body=json.dumps(base), label="store the base")]
    status = generate.status_steps(document, gvk, base, owned, item) if "update" in r["subresources"].get("status", ()) else []
    return creates + store + puts + status + cleanup(r, url, item)
