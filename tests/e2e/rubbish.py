#!/usr/bin/python3
"""Stands where a Redis should, and answers everything with something else.

rubbish.py SOCKET
"""

import itertools
import socket
import sys

ANSWERS = itertools.cycle((
    b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n" * 9, b"\xff" * 4096, b"$99999999999\r\n",
    b"-ERR no\r\n", b":1\r\n" * 9, b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n:0\r\n", b"",
))

listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    peer = listener.accept()[0]
    try:
        peer.recv(65536)
        peer.sendall(next(ANSWERS))
    except OSError:
        pass
    peer.close()
