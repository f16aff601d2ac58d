"""script.py: scripts of requests: reading them from files, and running one on a server.

A unit is a named list of steps that needs nothing of another unit: it has a namespace of its own ($ns) and prefixes names of cluster-scoped objects with it. The language is in README.md.
"""
import hashlib
import json
import os
import re
import time

import client
import protobuf


class Step:
    __slots__ = ("verb", "path", "headers", "body", "expect", "saves", "stream", "count", "masks", "label")

    def __init__(self, verb, path="", headers=(), body=None, expect=None, saves=(), stream=None, count=None, masks=(), label=None):
        self.verb, self.path, self.headers, self.body, self.expect = verb, path, list(headers), body, expect
        self.saves, self.stream, self.count, self.masks, self.label = list(saves), stream, count, list(masks), label

    def key(self):
        return [self.verb, self.path, self.headers, self.body if not isinstance(self.body, bytes) else self.body.hex(), self.saves, self.stream, self.count]


class Unit:
    def __init__(self, name, steps, kind=None, beta=False, resource=None):
        self.name, self.steps, self.kind, self.beta, self.resource = name, steps, kind or name, beta, resource

    def namespace(self):
        return "d-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:40].strip("-")

    def digest(self, salt):
        text = json.dumps([salt, self.name, self.beta, [s.key() for s in self.steps]], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


class ScriptError(Exception):
    pass


VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def parse_block(lines, where):
    head = lines.pop(0).split()
    if head[0] == "read":
        return Step("read", stream=head[1], count=int(head[2]) if len(head) > 2 else None)
    if head[0] in ("as", "advance", "failpoint"):  # words of test/case/api
        return Step(head[0], path=" ".join(head[1:]))
    if head[0] not in VERBS or len(head) < 2:
        raise ScriptError(f"{where}: a request expected: {' '.join(head)}")
    step = Step(head[0], head[1])
    while lines and lines[0] and not lines[0].startswith("=>"):
        name, value = lines.pop(0).split(":", 1)
        step.headers.append([name.strip().lower(), value.strip()])
    body = []
    while lines and not lines[0].startswith("=>"):
        body.append(lines.pop(0))
    text = "\n".join(body).strip("\n")
    step.body = text if text else None
    for line in lines:
        word = line.split()
        if line.startswith("=>"):
            step.expect = int(word[1]) if len(word) > 1 else None
        elif word[:1] == ["save"]:
            step.saves.append([word[1], word[2]])
        elif word[:1] == ["stream"]:
            step.stream = word[1]
        elif word[:1] == ["mask"]:
            step.masks.append(word[1])
    return step


def parse(text, where):
    steps, block = [], []
    for number, line in enumerate(text.split("\n") + ["---"], 1):
        if line.startswith("#"):
            continue
        if line.strip() != "---":
            if line.startswith(("read ", "as ", "advance ", "failpoint ")) and all(not b.strip() for b in block):
                steps.append(parse_block([line], f"{where}:{number}"))
            elif block or line.strip():
                block.append(line.rstrip())
            continue
        if any(b.strip() for b in block) and block[0].split()[0] in VERBS:
            steps.append(parse_block(block, f"{where}:{number}"))
        block = []
    return steps


def read_file(path):
    name = os.path.splitext(os.path.basename(path))[0]
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if path.endswith(".case"):  # the cases of our own server, told to both
        if re.search(r"^(failpoint|advance) ", text, re.M):
            return None
        text = text.replace("/namespaces/default/", "/namespaces/$ns/").replace('"namespace":"default"', '"namespace":"$ns"')
        return Unit("api-case/" + name, parse(text, path))
    first = re.match(r"#!\s*(.*)\n", text)
    return Unit("case/" + name, parse(text, path), beta=bool(first and "beta" in first.group(1)))


def lookup(value, path):
    for part in re.split(r"(?<!\\)\.", path):
        part = part.replace("\\.", ".")
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


class Run:
    """One unit on one server."""

    def __init__(self, port, context, unit):
        self.port, self.context, self.unit = port, context, unit
        self.connection = client.Connection(port, context)
        self.saved, self.streams, self.identity = {"ns": unit.namespace()}, {}, []

    def fill(self, text):
        text = re.sub(r"\$x(\d+)", lambda m: "x" * int(m.group(1)), text)
        return re.sub(r"\$(\w+)", lambda m: self.saved.get(m.group(1), m.group(0)), text) if "$" in text else text

    def prepare(self):
        """The unit's namespace with its service account, as the controllers would make them."""
        ns = self.saved["ns"]
        kind = [("content-type", "application/json")]
        self.connection.request("POST", "/api/v1/namespaces", kind, json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}}).encode())
        self.connection.request("POST", f"/api/v1/namespaces/{ns}/serviceaccounts", kind, b'{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}')

    def send(self, step):
        headers = [(k, self.fill(v)) for k, v in step.headers] + self.identity
        names = [k for k, _ in headers]
        path = self.fill(step.path)
        body = step.body
        if isinstance(body, str):
            body = self.fill(body)
            if protobuf.TYPE in dict(headers).get("content-type", ""):
                try:
                    body = protobuf.encode_json(body)
                except (AttributeError, KeyError, TypeError, ValueError):
                    return None  # what protobuf has no form for
            else:
                body = body.encode()
        if body is not None and "content-type" not in names:
            headers.append(("content-type", "application/json"))
        if step.stream:
            stream = self.streams[step.stream] = client.Stream(self.port, self.context, path, headers)
            return client.Answer(stream.status, stream.headers, stream.text if stream.ended else b"")
        return self.connection.request(step.verb, path, [(k, v) for k, v in headers if v != "-"], body)

    def step(self, step):
        if step.verb == "as":
            user, *groups = step.path.split()
            self.identity = [] if "system:masters" in groups else [("impersonate-user", user)] + [("impersonate-group", g) for g in groups]
            return None
        if step.verb == "read":
            stream = self.streams.get(step.stream)
            lines = stream.lines(step.count) if stream else ["no stream"]
            return client.Answer(200, [], "\n".join(lines).encode())
        answer = self.send(step)
        if answer is None:
            return None
        for name, path in step.saves:
            try:
                value = lookup(json.loads(answer.body), path)
                self.saved[name] = value if isinstance(value, str) else json.dumps(value)
            except (ValueError, KeyError, IndexError, TypeError):
                self.saved[name] = "unsaved-" + name
        return answer

    def all(self):
        self.prepare()
        answers = []
        try:
            for step in self.unit.steps:
                answers.append(self.step(step))
        finally:
            for stream in self.streams.values():
                stream.close()
            self.connection.close()
        return answers
