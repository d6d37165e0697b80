"""A relay in front of a node that cuts a connection when a test says so, as networks do at any time.

It passes bytes on both ways. `cut_after` tells after how much of the answers each connection is ended: nothing of the
client or the node is replaced, so what is seen is what a real cut does.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Relay:
    """Passes on to `port`. The answers of the n-th connection end with the n-th text of `cut_after`: what comes after
    it is not passed on. When there is none left, connections are left alone."""

    def __init__(self, port: int, cut_after: list[bytes]) -> None:
        self._target = port
        self._cut_after = list(cut_after)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.cuts = 0

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                caller, _ = self._listener.accept()
                self.connections += 1
                node = socket.create_connection(("127.0.0.1", self._target))
                self._open += [caller, node]
                mark = self._cut_after.pop(0) if self._cut_after else b""
                for source, goal, ends_at in ((caller, node, b""), (node, caller, mark)):
                    self._start(threading.Thread(target=self._pass_on, args=(source, goal, ends_at)))

    def _start(self, thread: threading.Thread) -> None:
        self._threads.append(thread)
        thread.start()

    def _pass_on(self, source: socket.socket, goal: socket.socket, ends_at: bytes) -> None:
        seen = b""
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                passed, seen = len(seen), seen + content
                if ends_at and ends_at in seen:
                    goal.sendall(seen[passed : seen.index(ends_at) + len(ends_at)])
                    self.cuts += 1
                    break
                goal.sendall(content)
        for one in (source, goal):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def running(self) -> Iterator["Relay"]:
        self._start(threading.Thread(target=self._accept))
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            for thread in self._threads:
                thread.join(60)
            for one in self._open:
                one.close()
