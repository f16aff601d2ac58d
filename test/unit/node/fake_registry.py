#!/usr/bin/env python3
"""fake_registry.py ARCHIVE: an OCI registry on loopback that serves the image of a Docker archive as test/box:1. Prints its port.

Under /v2/ it asks for a bearer token (user "u", password "p" for private/box, anybody for test/box), answers Range requests, and cuts the first
download of each blob of test/flaky in the middle. test/wrong has a layer that does not match its digest.
"""
import base64
import gzip
import hashlib
import json
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with tarfile.open(sys.argv[1]) as tar:
    entry = json.load(tar.extractfile("manifest.json"))[0]
    config = tar.extractfile(entry["Config"]).read()
    layers = [gzip.compress(tar.extractfile(name).read(), 1, mtime=0) for name in entry["Layers"]]


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


blobs = {digest(x): x for x in [config] + layers}
manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"digest": digest(config), "size": len(config)},
                       "layers": [{"digest": digest(x), "size": len(x)} for x in layers]}).encode()
index = json.dumps({"schemaVersion": 2, "manifests": [
    {"digest": "sha256:" + "0" * 64, "size": 1, "platform": {"os": "linux", "architecture": "s390x"}},
    {"digest": digest(manifest), "size": len(manifest), "platform": {"os": "linux", "architecture": "amd64"}},
    {"digest": digest(manifest), "size": len(manifest), "platform": {"os": "linux", "architecture": "arm64"}}]}).encode()
cut = set()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        port = self.server.server_address[1]
        path, _, query = self.path.partition("?")
        if path == "/token":
            private = "private" in query
            good = self.headers.get("Authorization") == "Basic " + base64.b64encode(b"u:p").decode()
            if private and not good:
                return self.answer(401, b"{}")
            return self.answer(200, json.dumps({"token": "private" if private else "public"}).encode())
        parts = path.split("/")
        if len(parts) != 6 or parts[1] != "v2":
            return self.answer(404, b"{}")
        name, kind, what = parts[2] + "/" + parts[3], parts[4], parts[5]
        want = "private" if parts[2] == "private" else "public"
        if self.headers.get("Authorization") != "Bearer " + want:
            challenge = f'Bearer realm="http://127.0.0.1:{port}/token",service="test",scope="repository:{name}:pull"'
            return self.answer(401, b"{}", [("WWW-Authenticate", challenge)])
        if name not in ("test/box", "private/box", "test/flaky", "test/wrong"):
            return self.answer(404, b"{}")
        if kind == "manifests":
            body = {"1": index, digest(manifest): manifest}.get(what)
            return self.answer(200, body) if body else self.answer(404, b"{}")
        body = blobs.get(what)
        if body is None:
            return self.answer(404, b"{}")
        if name == "test/wrong" and body in layers:
            return self.answer(200, b"x" * len(body))
        start = 0
        if self.headers.get("Range"):
            start = int(self.headers["Range"].split("=")[1].split("-")[0])
        if name == "test/flaky" and what not in cut:
            cut.add(what)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            self.connection.close()
            return None
        return self.answer(206 if start else 200, body[start:])


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
