#!/usr/bin/python3
"""A gate in front of the rehearsal services: it asks for a token or a signature, and keeps a
journal of the calls as they come, a JSON object a line.  Methods, paths and bodies go through.

front.py PORT_FILE BACKEND_PORT JOURNAL
         [--tokens N]        Bearer "first" is good for N calls, then only "second" is
         [--secret-file F]   X-Signature must be the HMAC-SHA-256 of time, path and body's digest
         [--poison TEXT]     a body that holds TEXT is answered 500 and goes no further
         [--html N]          the first N answers, of calls that were executed, are a page with 200
"""

import argparse
import hashlib
import hmac
import http.client
import http.server
import json
import pathlib
import threading

PAGE = b"<html><body>The shop is closed for maintenance.</body></html>\n"


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    backend = None
    body = b""

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.note()
        status, kind, answer = self.answer()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST

    def answer(self):
        if not self.is_signed() or not self.has_token():
            return 401, "application/json", b'{"code":"UNAUTHORIZED"}'
        if OPTIONS.poison and OPTIONS.poison.encode() in self.body:
            return 500, "application/json", b'{"code":"INTERNAL"}'
        status, kind, answer = self.pass_on()
        if status < 300 and OPTIONS.take("html"):
            return 200, "text/html; charset=utf-8", PAGE
        return status, kind, answer

    def has_token(self):
        if OPTIONS.tokens is None:
            return True
        good = "first" if OPTIONS.take("tokens") else "second"
        return self.headers.get("Authorization") == f"Bearer {good}"

    def is_signed(self):
        if OPTIONS.secret_file is None:
            return True
        secret = pathlib.Path(OPTIONS.secret_file).read_bytes().strip()
        digest = hashlib.sha256(self.body).hexdigest()
        text = f"{self.headers.get('X-Timestamp')}\n{self.path}\n{digest}".encode()
        wanted = hmac.new(secret, text, hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted, self.headers.get("X-Signature", ""))

    def pass_on(self):
        if self.backend is None:
            self.backend = http.client.HTTPConnection("127.0.0.1", OPTIONS.backend)
        headers = {name: self.headers[name] for name in ("Content-Type", "Idempotency-Key")
                   if name in self.headers}
        self.backend.request(self.command, self.path, self.body or None, headers)
        reply = self.backend.getresponse()
        return reply.status, reply.getheader("Content-Type"), reply.read()

    def note(self):
        line = {"path": self.path, "key": self.headers.get("Idempotency-Key"),
                "body": self.body.decode(), "signature": self.headers.get("X-Signature")}
        with OPTIONS.lock, open(OPTIONS.journal, "a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")

    def log_message(self, *_):
        pass


class Options(argparse.Namespace):
    lock = threading.Lock()

    def take(self, name):
        """One of those that are left under this name; false when none is."""
        with self.lock:
            left = getattr(self, name)
            setattr(self, name, max(0, left - 1))
            return left > 0


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port_file")
    parser.add_argument("backend", type=int)
    parser.add_argument("journal")
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--secret-file")
    parser.add_argument("--poison")
    parser.add_argument("--html", type=int, default=0)
    OPTIONS = parser.parse_args(namespace=Options())
    with Server(("127.0.0.1", 0), Front) as front:
        pathlib.Path(OPTIONS.port_file).write_text(str(front.server_address[1]), encoding="utf-8")
        front.serve_forever()
