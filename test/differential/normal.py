"""normal.py: what of an answer is compared, and the comparison.

Taken out: uids, times of now, resource versions, names drawn at random, addresses and ports that the server chose, tokens, ages in tables, and every sentence (message, descriptions): those are ours.
"""
import collections
import json
import re
import time

import protobuf

UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z$")
JWT = re.compile(r"^eyJ[\w-]+\.[\w-]+\.[\w-]+$")
AGE = re.compile(r"^(\d+[ydhms])+$")
TOKEN_VOLUME = re.compile(r"^kube-api-access-[a-z0-9]{5}$")
SENTENCES = {"message", "description", "compiler", "goVersion", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "serverAddress"}  # and what a build says of itself
CHOSEN = {"clusterIP": "CLUSTER-IP", "nodePort": "NODE-PORT", "healthCheckNodePort": "NODE-PORT"}


def is_now(text):
    match = TIME.match(text)
    if not match:
        return False
    try:
        then = time.mktime(time.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return False
    return abs(time.time() - then) < 14 * 30 * 86400  # answers of the reference are kept for a while


class Normal:
    def __init__(self, request_text):
        self.asked = request_text  # what a request says is not the server's choice

    def text(self, key, value):
        if UUID.match(value) and value not in self.asked:
            return "UID"
        if key == "resourceVersion" and value.isdigit() and value != "0":
            return "RV"
        if TIME.match(value) and value not in self.asked and is_now(value):
            return "MICRO-TIME" if "." in value else "TIME"
        if key in CHOSEN and re.match(r"^10\.\d+\.\d+\.\d+$", value) and value not in self.asked:
            return CHOSEN[key]
        if key == "continue":
            return "CONTINUE"
        if JWT.match(value):
            return "TOKEN"
        if TOKEN_VOLUME.match(value):
            return "kube-api-access-RANDOM"
        return value

    def walk(self, key, value):
        if isinstance(value, dict):
            out = {}
            for k, v in value.items():
                if k in SENTENCES and isinstance(v, str) and not (k == "message" and v in self.asked and v):
                    continue
                out[k] = self.walk(k, v)
            name = out.get("generateName")
            if name and isinstance(out.get("name"), str) and out["name"].startswith(name):
                out["name"] = name + "RANDOM"
            return out
        if isinstance(value, list):
            return [self.walk("clusterIP" if key == "clusterIPs" else key, v) for v in value]
        if isinstance(value, str):
            return self.text(key, value)
        if key in CHOSEN and isinstance(value, int) and 30000 <= value <= 32767 and str(value) not in self.asked:
            return CHOSEN[key]
        return value


def table(value):
    for row in value.get("rows") or []:
        row["cells"] = ["AGE" if isinstance(c, str) and AGE.match(c) else c for c in row.get("cells") or []]


def status(value):
    details = value.get("details")
    if isinstance(details, dict) and isinstance(details.get("causes"), list):
        # a list may stand in any order; the same field may fail for one reason twice
        details["causes"] = sorted(details["causes"], key=lambda c: (c.get("field", ""), c.get("reason", "")))


def managers(value):
    entries = (value.get("metadata") or {}).get("managedFields") if isinstance(value.get("metadata"), dict) else None
    if isinstance(entries, list):  # they stand in order of time, to the second
        entries.sort(key=lambda e: [str(e.get(k, "")) for k in ("operation", "manager", "apiVersion", "subresource", "fieldsV1")] if isinstance(e, dict) else [])


def normal_object(value, asked):
    value = Normal(asked).walk("", value)
    if isinstance(value, dict):
        managers(value)
        if value.get("kind") == "Table":
            table(value)
        if value.get("kind") == "Status":
            status(value)
    return value


def body_of(answer, asked):
    if answer.body.startswith(protobuf.MAGIC):
        try:
            return normal_object(protobuf.decode(answer.body), asked)
        except (ValueError, IndexError, AttributeError, TypeError) as error:
            return {"undecodable protobuf": str(error)}
    text = answer.body.decode("utf-8", "replace")
    content = dict(answer.headers).get("content-type", "")
    if "yaml" in content:
        import yaml
        try:
            return normal_object(json.loads(json.dumps(yaml.safe_load(text), default=lambda t: t.strftime("%Y-%m-%dT%H:%M:%SZ"))), asked)
        except yaml.YAMLError:
            return {"undecodable YAML": True}
    try:
        return normal_object(json.loads(text), asked)
    except ValueError:
        pass
    lines = [line for line in text.split("\n") if line]
    try:  # a watch
        return {"events": [normal_object(json.loads(line), asked) for line in lines]}
    except ValueError:
        return {"text": text[:200]} if answer.status < 300 else {}


def headers_of(answer):
    out, warnings = {}, 0
    for name, value in answer.headers:
        if name == "warning":
            warnings += 1
        elif name == "location":
            out[name] = re.sub(r"https?://[^/]+", "", value)
        elif name == "retry-after":
            out[name] = "SECONDS"
        elif name == "content-type":
            out[name] = re.sub(r"\s", "", value).lower()
        else:
            out[name] = value
    if warnings:
        out["warnings"] = warnings
    return out


def differences(path, ours, theirs, out):
    """Appends (path, ours, theirs); what is not there is None."""
    if type(ours) is type(theirs) and isinstance(ours, dict):
        for key in sorted(set(ours) | set(theirs), key=str):
            if key not in ours or key not in theirs or ours[key] != theirs[key]:
                differences(f"{path}.{key}" if path else str(key), ours.get(key, ABSENT), theirs.get(key, ABSENT), out)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (a, b) in enumerate(zip(ours, theirs)):
            if a != b:
                differences(f"{path}.{i}", a, b, out)
    elif ours != theirs or type(ours) is not type(theirs):
        out.append((path, ours, theirs))


class Absent:
    def __repr__(self):
        return "absent"


ABSENT = Absent()


def short(value):
    if value is ABSENT:
        return "absent"
    if isinstance(value, str) and re.match(r"^[\w./ :-]{1,60}$", value):
        return value
    text = json.dumps(value, sort_keys=True, default=repr)
    return text if len(text) <= 160 else text[:150] + "..."


def causes_of(body):
    details = body.get("details") if isinstance(body, dict) else None
    return [f"{c.get('field', '')} {c.get('reason', '')}" for c in (details or {}).get("causes") or []] if isinstance(details, dict) else []


def compare(asked, ours, theirs):
    """Differences between two answers to one request: a list of (path, ours, theirs) as texts."""
    if ours is None or theirs is None:
        return []
    a, b = body_of(ours, asked), body_of(theirs, asked)
    out = []
    if ours.status != theirs.status:
        # the one difference that says it all, with what the reference or we complain about
        def said(answer, body):
            reason = body.get("reason", "") if isinstance(body, dict) and answer.status >= 400 else ""
            causes = causes_of(body)
            return f"{answer.status} {reason}".strip() + (f" [{'; '.join(causes)}]" if causes else "")
        return [("code", said(ours, a), said(theirs, b))]
    ha, hb = headers_of(ours), headers_of(theirs)
    differences("header", ha, hb, out)
    if ours.status < 400 and isinstance(a, dict) and isinstance(b, dict) and a.get("kind") != b.get("kind"):
        return [("kind", short(a.get("kind", ABSENT)), short(b.get("kind", ABSENT)))]
    if ours.status >= 400 and isinstance(a, dict) and isinstance(b, dict):
        ca, cb = causes_of(a), causes_of(b)
        if ca != cb:
            extra, missing = [c for c in ca if c not in cb], [c for c in cb if c not in ca]
            out.append(("causes", "; ".join(extra) or ("fewer" if len(ca) < len(cb) else "nothing more"), "; ".join(missing) or ("fewer" if len(cb) < len(ca) else "nothing more")))
        for body in (a, b):
            if isinstance(body.get("details"), dict):
                body["details"].pop("causes", None)
    differences("", a, b, out)
    if len(out) > 40:  # documents: what is missing where, not every leaf
        counts = collections.Counter(".".join(path.split(".")[:3]) for path, _, _ in out)
        if len(counts) > 20:
            counts = collections.Counter(path.split(".")[0] for path, _, _ in out)
        return [(path, f"{n} differences", "in it") for path, n in counts.items()]
    return [(path, short(x), short(y)) for path, x, y in out]
