#!/usr/bin/python3
"""Takes one mail or one web request and writes it down.

listener.py (smtp|http) PORT_FILE OUTPUT_FILE
"""

import http.server
import pathlib
import socket
import sys


def take_mail(port_file, output):
    listener = socket.create_server(("127.0.0.1", 0))
    port_file.write_text(str(listener.getsockname()[1]))
    peer = listener.accept()[0].makefile("rwb")
    in_text = False
    peer.write(b"220 here\r\n")
    peer.flush()
    for line in peer:
        output.write(line.decode())
        if in_text and line != b".\r\n":
            continue
        in_text = line.startswith(b"DATA")
        peer.write(b"354 go on\r\n" if in_text else b"250 ok\r\n")
        peer.flush()


def take_request(port_file, output):
    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            output.write(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

    server = http.server.HTTPServer(("127.0.0.1", 0), Taker)
    port_file.write_text(str(server.server_port))
    server.handle_request()


if __name__ == "__main__":
    with open(sys.argv[3], "w", encoding="utf-8") as out:
        take = {"smtp": take_mail, "http": take_request}[sys.argv[1]]
        take(pathlib.Path(sys.argv[2]), out)
