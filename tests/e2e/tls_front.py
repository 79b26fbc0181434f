#!/usr/bin/python3
"""Speaks TLS and hands what it reads to a server that does not.

tls_front.py PORT_FILE CERTIFICATE KEY BACKEND_PORT
"""

import pathlib
import socket
import socketserver
import ssl
import sys
import threading


class Front(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            with CONTEXT.wrap_socket(self.request, server_side=True) as client:
                with socket.create_connection(("127.0.0.1", BACKEND)) as backend:
                    threading.Thread(target=pour, args=(backend, client), daemon=True).start()
                    pour(client, backend)
        except OSError:  # the client found no proof, or is gone
            pass


def pour(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
    except OSError:  # one of them is gone
        pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CONTEXT.load_cert_chain(sys.argv[2], sys.argv[3])
    BACKEND = int(sys.argv[4])
    with Server(("127.0.0.1", 0), Front) as front:
        pathlib.Path(sys.argv[1]).write_text(str(front.server_address[1]), encoding="utf-8")
        front.serve_forever()
