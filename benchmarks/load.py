"""A lean HTTP/1.1 client: keep-alive connections in a closed loop, each sends its next request when it has its answer.

Only what the servers here send is understood: Content-Length or chunked bodies. A wrong status or a lost connection
ends the sample with its text, so that no figure is made of refusals. All of it is bounded in time: a sample stops its
connections at the end of its window, lets open answers end for a while, and then cuts them.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.plan import percentile

CONNECT_WITHIN = 5.0
END_WITHIN = 3.0
HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"
LENGTH = b"content-length: "

Script = Callable[[int], Callable[[bytes], bytes]]
"""Gives, for the number of a connection, what it asks next after an answer (the first time after an empty one)."""


class LoadFailed(Exception):
    """The server answered something else than work done."""


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def repeat(request: bytes) -> Script:
    """The same request again and again."""
    return lambda number: lambda answer: request


@dataclass
class Counted:
    """What the connections of one sample saw inside the window."""

    is_open: bool = False
    units: int = 0
    spans: list[float] = field(default_factory=list)
    first_spans: list[float] = field(default_factory=list)
    fault: str = ""
    takes_refusals: bool = False
    refused: int = 0
    """Answers with another status than 200 or 202 and lost connections, where those do not end the sample."""


class Connection(asyncio.Protocol):
    """A unit is an answer to the last of `exchanges` requests; with `marks`, each occurrence of it in a body."""

    def __init__(
        self, counted: Counted, ask: Callable[[bytes], bytes], exchanges: int, marks: bytes,
        when_lost: Callable[[], None],
    ) -> None:  # fmt: skip
        self._counted = counted
        self._when_lost = when_lost
        self._ask = ask
        self._exchanges = exchanges
        self._marks = marks
        self._buffer = bytearray()
        self._body_at = -1
        self._length = -1
        self._done = 0
        self._told = 0
        self._is_refused = False
        self._began_at = 0.0
        self.is_last = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._send(b"")

    def _send(self, answer: bytes) -> None:
        if self._done % self._exchanges == 0:
            self._began_at = time.perf_counter()
        self._body_at, self._length, self._told = -1, -1, 0
        self._buffer.clear()
        self.transport.write(self._ask(answer))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if self._body_at < 0 and not self._read_head():
            return
        if self._marks:
            self._count_marks()
        if self._length >= 0:
            if len(buffer) - self._body_at >= self._length:
                self._answered()
        elif buffer.endswith(LAST_CHUNK):
            self._answered()

    def _read_head(self) -> bool:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return False
        head = bytes(self._buffer[:end]).lower()
        self._is_refused = not head.startswith((b"http/1.1 200", b"http/1.1 202"))
        if self._is_refused and not self._counted.takes_refusals:
            self._fail(bytes(self._buffer[:600]).decode(errors="replace"))
            return False
        self._body_at = end + 4
        at = head.find(LENGTH)
        if at >= 0:
            self._length = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0])
        return True

    def _count_marks(self) -> None:
        """Counts from behind the last mark on, so that one which lies across two arrivals counts once."""
        start = max(self._told, self._body_at)
        fresh = self._buffer.count(self._marks, start)
        if not fresh:
            return
        counted = self._counted
        if counted.is_open:
            counted.units += fresh
            if not self._told:
                counted.first_spans.append(time.perf_counter() - self._began_at)
        self._told = self._buffer.rfind(self._marks) + len(self._marks)

    def _answered(self) -> None:
        self._done += 1
        counted = self._counted
        if self._done % self._exchanges == 0:
            if self._is_refused:
                counted.refused += counted.is_open
            elif counted.is_open:
                counted.units += not self._marks
                counted.spans.append(time.perf_counter() - self._began_at)
            if self.is_last:
                self.transport.close()
                return
        self._send(bytes(self._buffer[self._body_at :]))

    def _fail(self, text: str) -> None:
        self._counted.fault = self._counted.fault or text
        self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_last and self._counted.takes_refusals:
            self._counted.refused += self._counted.is_open and not self._is_refused
            self._when_lost()
        elif not self.is_last:
            self._counted.fault = self._counted.fault or f"the server closed a connection: {error}"
        if not self.closed.done():
            self.closed.set_result(None)


async def sample(port: int, script: Script, connections: int, seconds: float, warm: float, exchanges: int = 1,
                 marks: bytes = b"", at_edges: Callable[[], None] = lambda: None,
                 takes_refusals: bool = False) -> tuple[Counted, float]:  # fmt: skip
    """What happened in a window of `seconds`, and how long it really was. `at_edges` is called at both of its ends.
    Raises `LoadFailed` for a lost connection and for an answer of another status, unless `takes_refusals`: then these
    are counted apart, and a connection that was lost is made again."""
    loop = asyncio.get_running_loop()
    counted = Counted(takes_refusals=takes_refusals)
    made: list[Connection] = []
    again: set[asyncio.Task[None]] = set()

    def made_again(task: asyncio.Task[None]) -> None:
        again.discard(task)
        if not task.cancelled() and (error := task.exception()):
            counted.fault = counted.fault or f"it takes no connections any more: {error}"

    async def begin(number: int) -> None:
        def lost() -> None:
            again.add(task := asyncio.create_task(begin(number)))
            task.add_done_callback(made_again)

        def build() -> Connection:
            return Connection(counted, script(number), exchanges, marks, lost)

        async with asyncio.timeout(CONNECT_WITHIN):
            made.append((await loop.create_connection(build, "127.0.0.1", port))[1])

    try:
        for number in range(connections):
            await begin(number)
        await asyncio.sleep(warm)
        at_edges()
        counted.is_open, began_at = True, time.perf_counter()
        await asyncio.sleep(seconds)
        counted.is_open, span = False, time.perf_counter() - began_at
        at_edges()
    finally:
        for task in again:
            task.cancel()
        for one in made:
            one.is_last = True
        if made:
            await asyncio.wait([one.closed for one in made], timeout=END_WITHIN)
        for one in made:
            one.transport.abort()
    if counted.fault:
        raise LoadFailed(counted.fault)
    return counted, span


def ask(port: int, request: bytes, within: float = 30.0) -> bytes:
    """One request on a connection of its own; the body of its answer."""
    with connect(port, within) as connection:
        return ask_on(connection, request)


def connect(port: int, within: float = 30.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), within)


def ask_on(connection: socket.socket, request: bytes) -> bytes:
    """One request on a blocking connection; the answer has a Content-Length."""
    connection.sendall(request)
    buffer = b""
    while HEAD_END not in buffer:
        buffer += _received(connection)
    head, _, body = buffer.partition(HEAD_END)
    if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
        raise LoadFailed(buffer[:600].decode(errors="replace"))
    length = int(head.lower().split(LENGTH)[1].split(b"\r\n", 1)[0])
    while len(body) < length:
        body += _received(connection)
    return body


def _received(connection: socket.socket) -> bytes:
    got = connection.recv(65_536)
    if not got:
        raise LoadFailed("the server closed the connection")
    return got


def percentile_pair(spans: list[float]) -> tuple[float | None, float | None]:
    """p50 and p99 in milliseconds."""
    halfway, late = percentile(spans, 0.5), percentile(spans, 0.99)
    return (None, None) if halfway is None or late is None else (halfway * 1e3, late * 1e3)
