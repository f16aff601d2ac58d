"""A guestbook: GET / lists the entries, POST / adds one. Entries live in Redis, reached by its Service name."""
import http.server
import os
import socket

# not REDIS_PORT: a Service named redis puts that name into the environment, as tcp://ADDRESS:PORT
REDIS = (os.environ.get("REDIS_HOST", "redis"), 6379)


def redis(*words):
    """One Redis command (RESP2); returns text, an integer, None or a list."""
    request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (str(word).encode() for word in words))
    with socket.create_connection(REDIS, timeout=3) as connection:
        connection.sendall(request)
        reader = connection.makefile("rb")

        def reply():
            kind, rest = (line := reader.readline().rstrip(b"\r\n"))[:1], line[1:]
            if kind == b"-":
                raise OSError(rest.decode())
            if kind == b":":
                return int(rest)
            if kind == b"$":
                return None if rest == b"-1" else reader.read(int(rest) + 2)[:-2].decode()
            if kind == b"*":
                return [reply() for _ in range(int(rest))]
            return rest.decode()

        return reply()


class Guestbook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/healthz":
            return self.answer(200, "ok\n")
        try:
            entries = redis("LRANGE", "guestbook", 0, 99)
            self.answer(200, f"{len(entries)} entries, read by {socket.gethostname()}\n" + "".join(f"- {e}\n" for e in entries))
        except OSError as error:
            self.answer(503, f"redis at {REDIS[0]}:{REDIS[1]}: {error}\n")

    def do_POST(self):
        text = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 1000)).decode(errors="replace").strip()
        try:
            self.answer(200, f"{redis('LPUSH', 'guestbook', text)} entries\n")
        except OSError as error:
            self.answer(503, f"redis at {REDIS[0]}:{REDIS[1]}: {error}\n")


http.server.ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Guestbook).serve_forever()
