"""A reverse proxy that puts a path in front of a node, as small as it can be: one request for each connection.

It passes bytes on as they come, so streams stay streams, and notes each request outside of its prefix.
"""

import contextlib
import socket
import threading
from urllib.parse import urlsplit

PREFIX = "/ops/pilothouse/"
CHUNK = 65_536


class Prefixed:
    """`strays`: the paths that were asked for outside of the prefix. The browser's own wish for an icon is none."""

    def __init__(self, url: str) -> None:
        self._to = (urlsplit(url).hostname, urlsplit(url).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}{PREFIX}"
        self.strays: list[str] = []
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Prefixed":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, act, *values) -> None:
        thread = threading.Thread(target=act, args=values, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                more = client.recv(CHUNK)
                if not more:
                    return
                head += more
            method, path, rest = head.split(b" ", 2)
            if not path.startswith(PREFIX.encode()):
                self.strays.append(path.decode())
                client.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                return
            first, _, fields = rest.partition(b"\r\n")
            kept = [one for one in fields.split(b"\r\n") if not one.lower().startswith(b"connection:")]
            inner = b"/" + path[len(PREFIX) :]
            with socket.create_connection(self._to) as node:
                self._open.add(node)
                node.sendall(b"%b %b %b\r\nconnection: close\r\n%b" % (method, inner, first, b"\r\n".join(kept)))
                while data := node.recv(CHUNK):
                    client.sendall(data)
                self._open.discard(node)
        self._open.discard(client)
