#!/usr/bin/env python3
"""A gift service such as Vouch has never heard of: the other side of downstream.json.

    service.py --secret-file FILE [--port N] [--port-file FILE] [--journal FILE]
               [--error-percent P] [--lose-percent P]

PUT /v2/orders/NUMBER with a JSON body.  Every answer is a 200 whose envelope says how it went:

    {"code": 0, "message": "ok", "trace": "..", "data": {"gift_no": "..", "order_no": "..", ..}}

A call is signed: X-Signature is KEY:HEX, HMAC-SHA-256 under the shared secret over method, path,
X-Timestamp, X-Nonce and the SHA-256 of the body in hex, a line each.  A timestamp is good for five
minutes, a nonce once.  An order is executed once: the same call again is answered with the same
gift.  Customers whose number ends in "-blocked" get none.

--error-percent   so many of a hundred calls are answered with code 5000 or 3001; half of those with
                  5000 have been executed
--lose-percent    so many are executed, and the connection ends without an answer
--journal         a line of JSON for each gift that was made, written before it is answered

Only for trying things out: it keeps everything in memory.
"""

import argparse
import hashlib
import hmac
import http.server
import json
import pathlib
import random
import re
import threading
import time

CLOCK_OFF_MAX = 300
OK, NOT_ENTITLED, BAD_SIGNATURE, BAD_FORM, NOT_NOW, OTHER_BYTES, SYSTEM_ERROR = (
    0, 1001, 2001, 2002, 3001, 4009, 5000
)  # fmt: skip


class Gifts:
    """What was made, and the journal of it."""

    def __init__(self, journal):
        self.lock = threading.Lock()
        self.orders = {}  # number: (digest of the body, data of the answer)
        self.nonces = set()
        self.journal = open(journal, "a", encoding="utf-8") if journal else None

    def is_new_nonce(self, nonce):
        with self.lock:
            is_new = nonce not in self.nonces
            self.nonces.add(nonce)
            return is_new

    def execute(self, number, body):
        """The code and the data of the answer."""
        digest = hashlib.sha256(body).hexdigest()
        with self.lock:
            if number in self.orders:
                before, data = self.orders[number]
                return (OK, data) if before == digest else (OTHER_BYTES, None)
            order = json.loads(body)
            gift = order["gift"]
            data = {
                "gift_no": f"G-{len(self.orders) + 1:06d}",
                "order_no": number,
                "value": gift["value"],
                "currency": gift["currency"],
            }
            self.orders[number] = digest, data
            if self.journal:
                line = {**data, "customer": order["customer"]["no"], "options": order["options"]}
                self.journal.write(json.dumps(line) + "\n")
                self.journal.flush()
            return OK, data


def is_understood(body):
    try:
        order = json.loads(body)
        return (
            isinstance(order["customer"]["no"], str)
            and re.fullmatch(r"[0-9]+\.[0-9]{2}", order["gift"]["value"]) is not None
            and isinstance(order["options"], dict)
        )
    except (ValueError, KeyError, TypeError):
        return False


class Call(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "gifts/1"

    def is_signed(self, body):
        sent = {name: self.headers.get("X-" + name, "") for name in
                ("Timestamp", "Nonce", "Signature")}  # fmt: skip
        canonical = "\n".join(
            [self.command, self.path, sent["Timestamp"], sent["Nonce"],
             hashlib.sha256(body).hexdigest()]
        )  # fmt: skip
        want = hmac.new(self.server.secret, canonical.encode(), hashlib.sha256).hexdigest()
        at = sent["Timestamp"]
        is_fresh = at.isdigit() and abs(time.time() - int(at)) < CLOCK_OFF_MAX
        return (
            hmac.compare_digest(sent["Signature"], "shop-1:" + want)
            and is_fresh
            and self.server.gifts.is_new_nonce(sent["Nonce"])
        )

    def answer(self, code, data=None):
        envelope = {"code": code, "message": "ok" if code == OK else "no",
                    "trace": f"{random.getrandbits(64):016x}", "data": data}  # fmt: skip
        body = json.dumps(envelope).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        number = re.fullmatch(r"/v2/orders/([A-Za-z0-9_-]+)", self.path)
        if not self.is_signed(body):
            return self.answer(BAD_SIGNATURE)
        if number is None or self.headers.get("X-Shop") != "main" or not is_understood(body):
            return self.answer(BAD_FORM)
        if json.loads(body)["customer"]["no"].endswith("-blocked"):
            return self.answer(NOT_ENTITLED)
        dice = random.uniform(0, 100)
        if dice < self.server.error_percent / 2:
            return self.answer(NOT_NOW)
        if dice < self.server.error_percent:
            if random.random() < 0.5:
                self.server.gifts.execute(number[1], body)
            return self.answer(SYSTEM_ERROR)
        code, data = self.server.gifts.execute(number[1], body)
        if dice > 100 - self.server.lose_percent:
            self.close_connection = True  # executed, and nobody is told
            return None
        return self.answer(code, data)

    def do_GET(self):  # `vouchctl downstream test`
        self.answer(OK if self.is_signed(b"") else BAD_SIGNATURE)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description="A gift service for trying things out.")
    parser.add_argument("--secret-file", type=pathlib.Path, required=True)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--port-file", type=pathlib.Path)
    parser.add_argument("--journal")
    parser.add_argument("--error-percent", type=float, default=0)
    parser.add_argument("--lose-percent", type=float, default=0)
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Call)
    server.daemon_threads = True
    server.secret = options.secret_file.read_bytes().strip()
    server.gifts = Gifts(options.journal)
    server.error_percent = options.error_percent
    server.lose_percent = options.lose_percent
    if options.port_file:
        options.port_file.write_text(f"{server.server_port}\n")
    server.serve_forever()


if __name__ == "__main__":
    main()
