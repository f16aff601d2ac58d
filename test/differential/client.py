"""client.py: a small HTTP/1.1 client that keeps one connection open, and long answers (watches) on connections of their own.

Python's http.client costs more than either server: with some ten thousand requests a run, that is minutes.
"""
import base64
import os
import re
import select
import socket
import ssl
import tempfile
import time

KEPT = ("content-type", "warning", "retry-after", "location", "www-authenticate", "allow")  # headers that matter to clients


class Answer:
    __slots__ = ("status", "headers", "body")

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def store(self):
        return [self.status, [[k, v] for k, v in self.headers if k in KEPT], base64.b64encode(self.body).decode() if b"\0" in self.body else self.body.decode("utf-8", "replace"), b"\0" in self.body]

    @staticmethod
    def load(kept):
        return Answer(kept[0], [tuple(h) for h in kept[1]], base64.b64decode(kept[2]) if kept[3] else kept[2].encode())


def context_of(kubeconfig):
    text = open(kubeconfig).read()
    context = ssl._create_unverified_context()
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for key in ("client-certificate", "client-key"):
            data, path = re.search(key + r"-data:\s*(\S+)", text), re.search(key + r":\s*([^\s,}]+)", text)
            if data:
                paths.append(os.path.join(folder, key))
                with open(paths[-1], "wb") as f:
                    f.write(base64.b64decode(data.group(1)))
            else:
                paths.append(path.group(1))
        context.load_cert_chain(*paths)
    return context


class Connection:
    def __init__(self, port, context):
        self.port, self.context, self.socket, self.rest = port, context, None, b""

    def open(self):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket, self.rest = self.context.wrap_socket(plain), b""

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def more(self):
        data = self.socket.recv(262144)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.rest += data

    def line(self):
        while b"\r\n" not in self.rest:
            self.more()
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def exactly(self, count):
        while len(self.rest) < count:
            self.more()
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    def head(self):
        while True:
            while b"\r\n\r\n" not in self.rest:
                self.more()
            head, self.rest = self.rest.split(b"\r\n\r\n", 1)
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ", 2)[1])
            if status != 100:
                return status, [(k.lower(), v.strip()) for k, v in (line.split(":", 1) for line in lines[1:])]

    def body(self, headers, status, method):
        found = dict(headers)
        if method == "HEAD" or status in (204, 304):
            return b""
        if "chunked" in found.get("transfer-encoding", ""):
            parts = []
            while True:
                size = int(self.line().split(b";")[0], 16)
                parts.append(self.exactly(size))
                self.exactly(2)
                if size == 0:
                    return b"".join(parts)
        return self.exactly(int(found.get("content-length", 0)))

    def send(self, method, path, headers, body):
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{self.port}", "user-agent: differential/1"]
        lines += [f"{k}: {v}" for k, v in headers]
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))

    def request(self, method, path, headers=(), body=None):
        for attempt in (0, 1):
            fresh = self.socket is None
            try:
                if fresh:
                    self.open()
                self.send(method, path, headers, body)
                status, found = self.head()
                answer = Answer(status, found, self.body(found, status, method))
                if dict(found).get("connection", "").lower() == "close":
                    self.close()
                return answer
            except OSError as error:
                self.close()
                if fresh or attempt:
                    return Answer(0, [], f"no answer: {type(error).__name__}: {error}".encode())


class Stream:
    """A watch: its answer's head at once, its lines as they come."""

    def __init__(self, port, context, path, headers):
        self.connection = Connection(port, context)
        self.connection.open()
        self.connection.send("GET", path, headers, None)
        self.status, self.headers = self.connection.head()
        self.chunked = "chunked" in dict(self.headers).get("transfer-encoding", "")
        self.text, self.ended = b"", False
        if not self.chunked:
            self.text, self.ended = self.connection.body(self.headers, self.status, "GET"), True

    def pull(self, seconds):
        """Waits so long for more bytes; False when none came."""
        c = self.connection
        if self.ended or not (c.socket.pending() or select.select([c.socket], [], [], seconds)[0]):
            return False
        try:
            c.more()
        except OSError:
            self.ended = True
            return False
        while (match := re.match(rb"([0-9a-fA-F]+)[^\r]*\r\n", c.rest)) is not None:
            size, start = int(match.group(1), 16), match.end()
            if len(c.rest) < start + size + 2:
                break
            self.text += c.rest[start:start + size]
            c.rest = c.rest[start + size + 2:]
            self.ended = self.ended or size == 0
        return True

    def lines(self, count, quiet=0.15, limit=3.0):
        """The next `count` lines; with count None all that come until it is quiet."""
        end, out = time.monotonic() + limit, []
        while True:
            while b"\n" in self.text and (count is None or len(out) < count):
                line, self.text = self.text.split(b"\n", 1)
                out.append(line.decode("utf-8", "replace"))
            left = end - time.monotonic()
            if count is not None and len(out) >= count or left <= 0 or not self.pull(min(left, quiet if count is None else left)):
                break
        if self.ended and self.text:
            out.append(self.text.decode("utf-8", "replace"))
            self.text = b""
        return out

    def close(self):
        self.connection.close()
