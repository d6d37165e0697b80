"""One request and its answer on a connection: what the application reads from, and writes through.

Most requests are small and whole when they are looked at, and most answers are one piece: `take_body` and `answer` are
for these, and neither waits. What is longer goes part by part, with the pace of the socket: who writes waits while the
client does not read, who does not read makes the client wait. Applications that only know ASGI get `scope`, `receive`
and `send`, which are made of the same. Nothing is sent after the answer is complete or the client is gone.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Protocol

Message = MutableMapping[str, Any]
Headers = Iterable[tuple[bytes, bytes]]

READ_AHEAD = 64 * 1024
"""Bytes of a body that are taken in before anybody asks for them."""

NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
VALUE = re.compile(rb"[^\x00\r\n]*\Z")
STATUS_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}
NO_BODY = frozenset({204, 304})


class Line(Protocol):
    """What an exchange needs of its connection."""

    client: tuple[str, int] | None
    server: tuple[str, int] | None
    is_paused: bool
    """The client does not read: who writes more should wait."""

    @property
    def date(self) -> bytes:
        """The header Date, with its line end."""
        ...

    def write(self, data: bytes) -> None: ...

    def read_on(self) -> None:
        """The client may send more."""
        ...

    def hand_over(self, take: Callable[[bytes], None]) -> None:
        """From now on `take` gets what comes, which is no HTTP."""
        ...

    def drained(self) -> "asyncio.Future[None]":
        """Done when the client reads again, or is gone."""
        ...

    def completed(self, exchange: "Exchange") -> None: ...

    def broken(self, exchange: "Exchange") -> None:
        """The answer ends in the middle: only closing the connection tells the client."""
        ...


class Exchange:
    """`headers` have names in small letters. `is_done`: the answer is complete. `is_gone`: the client is."""

    __slots__ = (
        "_bell", "_body", "_expects", "_has_body", "_is_chunked", "_is_end_told", "_left", "_line", "_on_gone", "_url",
        "has_begun", "headers", "is_done", "is_gone", "is_whole", "keeps_alive", "method", "path", "query_string",
        "task", "version",
    )  # fmt: skip

    def __init__(
        self, line: Line, method: str, url: bytes, path: str, query: bytes, headers: list[tuple[bytes, bytes]],
        version: str, keeps_alive: bool, expects: bool,
    ) -> None:  # fmt: skip
        self._line = line
        self.method = method
        self._url = url
        self.path = path
        self.query_string = query
        self.headers = headers
        self.version = version
        self.keeps_alive = keeps_alive
        self.task: asyncio.Task[None] | None = None
        self.is_whole = False
        """All of the body has come."""
        self.is_done = False
        self.is_gone = False
        self.has_begun = False
        self._expects = expects
        self._body = b""
        self._is_end_told = False
        self._bell: asyncio.Future[None] | None = None
        self._on_gone: Callable[[], None] | None = None
        self._has_body = True
        self._is_chunked = False
        self._left = 0
        """Bytes that the head has promised and that were not written yet; -1: it promised none."""

    # --- what the connection tells ----------------------------------------------------------------------------------

    def add_body(self, data: bytes) -> int:
        """How many bytes lie here now."""
        if self.is_done:
            return 0
        self._body = self._body + data if self._body else data
        if self._bell is not None:
            self._ring()
        return len(self._body)

    def end_body(self) -> None:
        self.is_whole = True
        if self._bell is not None:
            self._ring()

    def lose(self) -> None:
        """The client is gone."""
        self.is_gone = True
        self._ring()
        then, self._on_gone = self._on_gone, None
        if then is not None and not self.is_done:
            then()

    def _ring(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    # --- the request ------------------------------------------------------------------------------------------------

    def take_body(self) -> bytes | None:
        """The whole body, when it is here and nobody has taken any of it."""
        if not self.is_whole or self._is_end_told:
            return None
        self._is_end_told = True
        body, self._body = self._body, b""
        return body

    async def receive(self) -> Message:
        """As in ASGI: the next part of the body; after its end this waits until the client is gone."""
        if self._expects and not self.has_begun and not self.is_gone:
            self._expects = False
            self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._body or (self.is_whole and not self._is_end_told)) and not (self.is_gone or self.is_done):
            self._line.read_on()
            self._bell = asyncio.get_running_loop().create_future()
            try:
                await self._bell
            finally:
                self._bell = None
        if self.is_gone or self.is_done:
            return {"type": "http.disconnect"}
        part, self._body = self._body, b""
        self._is_end_told = self.is_whole
        return {"type": "http.request", "body": part, "more_body": not self.is_whole}

    def when_gone(self, then: Callable[[], None] | None) -> None:
        """Calls once when the client goes away before the answer is complete; None takes that back."""
        self._on_gone = then
        if then is not None:
            self._line.read_on()  # otherwise its leaving would not be seen
            if self.is_gone:
                self.lose()

    @property
    def raw_path(self) -> bytes:
        """The path as it was sent."""
        return self._url

    @property
    def scope(self) -> MutableMapping[str, Any]:
        """For ASGI; made anew each time it is asked for."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self.version,
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": self._url,
            "root_path": "",
            "query_string": self.query_string,
            "headers": self.headers,
            "client": self._line.client,
            "server": self._line.server,
            "state": {},
        }

    # --- the answer -------------------------------------------------------------------------------------------------

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """The whole answer in one write. `head`: the lines of its headers but for Date and Content-Length, which are
        added. It does not wait: a client that does not read gets one answer and then no second."""
        if self.is_gone or self.has_begun:
            return
        self.has_begun = self.is_done = True
        if self._expects:
            self._give_up_body()
        if self._bell is not None:
            self._ring()
        if status in NO_BODY:
            rest = b"\r\n"
        elif self.method == "HEAD":
            rest = b"content-length: %d\r\n\r\n" % len(body)
        else:
            rest = b"content-length: %d\r\n\r\n%b" % (len(body), body)
        close = b"" if self.keeps_alive else b"connection: close\r\n"
        line = self._line
        line.write(b"%b%b%b%b%b" % (STATUS_LINES[status], line.date, head, close, rest))
        line.completed(self)

    def begin(self, status: int, head: bytes, length: int | None = None) -> None:
        """The head of an answer that follows in parts. `length` None: it is not known before."""
        if self.is_gone or self.has_begun:
            return
        self.has_begun = True
        if self._expects:
            self._give_up_body()
        self._has_body = self.method != "HEAD" and status not in NO_BODY
        lines = [STATUS_LINES[status], self._line.date, head]
        if length is not None:
            lines.append(b"content-length: %d\r\n" % length)
        elif self._has_body and self.version == "1.0":
            self.keeps_alive = False
        elif self._has_body:
            self._is_chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        self._left = -1 if length is None or not self._has_body else length
        if not self.keeps_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._line.write(b"".join(lines))

    def upgrade(self, head: bytes, take: Callable[[bytes], None]) -> None:
        """Answers 101: what is written from here on goes out as it is, and what comes goes to `take`. Only for a
        request that asked for it: the connection reads no HTTP behind such a one."""
        if self.is_gone or self.has_begun:
            return
        self.has_begun = True
        self._left = -1
        self._line.write(b"%b%b%b\r\n" % (STATUS_LINES[101], self._line.date, head))
        self._line.hand_over(take)

    def _give_up_body(self) -> None:
        """The client was not asked for its body and may send it or not: what follows cannot be told apart."""
        self.keeps_alive = self.keeps_alive and self.is_whole

    def write(self, part: bytes, *, is_last: bool = False) -> None:
        """The next part of the body. Raises `ValueError` when the parts are not as long as the head has promised."""
        if self.is_gone or self.is_done:
            return
        if self._left >= 0:
            self._left -= len(part)
            if self._left < 0 or (is_last and self._left):
                raise ValueError("the body is not as long as its Content-Length")
        if self._is_chunked:
            chunk = b"%x\r\n%b\r\n" % (len(part), part) if part else b""
            part = chunk + b"0\r\n\r\n" if is_last else chunk
        if part and self._has_body:
            self._line.write(part)
        if is_last:
            self.is_done = True
            self._ring()
            self._line.completed(self)

    @property
    def is_paused(self) -> bool:
        """The client does not read what was written."""
        return self._line.is_paused and not self.is_gone

    async def ready(self) -> None:
        """Waits while the client does not read."""
        while self._line.is_paused and not self.is_gone:
            await self._line.drained()

    async def send(self, message: Message) -> None:
        """As in ASGI. Raises `ValueError` for headers that HTTP does not know."""
        if self._line.is_paused:
            await self.ready()
        if message["type"] == "http.response.start":
            length, lines = None, []
            for name, value in message.get("headers", ()):
                name = name.lower()
                if name == b"content-length":
                    length = int(value)
                elif name == b"connection":
                    self.keeps_alive = self.keeps_alive and b"close" not in value.lower()
                elif name != b"transfer-encoding":
                    lines.append(header_line(name, value))
            self.begin(message["status"], b"".join(lines), length)
        else:
            self.write(message.get("body", b""), is_last=not message.get("more_body", False))

    def finish(self) -> None:
        """The application has said all that it will. An answer that is not complete by now never will be."""
        if not self.is_done and not self.is_gone:
            self._line.broken(self)


def header_line(name: bytes, value: bytes) -> bytes:
    """Raises `ValueError` for what would be another header, or none."""
    if not NAME.match(name) or not VALUE.match(value):
        raise ValueError(f"{name!r} cannot be a header with the value {value!r}")
    return b"%b: %b\r\n" % (name, value)
