"""HTTP/1.1 on one connection: bytes become exchanges, one after the other, and each gets its turn and its time.

httptools (llhttp, the parser of Node.js) reads; this decides what happens between requests. An exchange starts once
all that came with its head was read, so that a small request is whole when it starts. Pipelined requests wait in line
and are answered in order. What a client can hold on to is bounded: the head in size and time, bytes read ahead, and
how long a connection may be idle. One timer a second keeps all of these times, and the header Date.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import unquote

import httptools

from pilothouse.communication.http.exchange import READ_AHEAD, STATUS_LINES, Exchange
from pilothouse.communication.http.problem import PROBLEM_JSON, RequestTimeout, encode_problem, status_of
from pilothouse.errors import MalformedRequest, PilothouseError, TooLarge

HEAD_LIMIT = 64 * 1024
HEAD_WITHIN = 30.0
"""Seconds in which a request that was begun must come, up to the end of its head."""
IDLE_WITHIN = 75.0
"""Seconds that a connection stays open without a request."""
SWEEP_EVERY = 1.0

Serve = Callable[[Exchange], None]
"""Begins to answer, and raises nothing. What must wait goes on in `exchange.task`."""
HEAD_TOO_LARGE = 431


class Connections:
    """All connections of a server, and what they share. Made on the loop."""

    def __init__(self, serve: Serve) -> None:
        self.loop = asyncio.get_running_loop()
        self.serve = serve
        self.all: set[Connection] = set()
        self.is_closing = False
        """No request is taken after the one that is being answered."""
        self.date = b""
        self._emptied: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sweep()

    def make(self) -> "Connection":
        return Connection(self)

    def _sweep(self) -> None:
        now = self.loop.time()
        self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
        for one in [one for one in self.all if one.until <= now]:
            one.overstay()
        self._timer = self.loop.call_later(SWEEP_EVERY, self._sweep)

    def leave(self, one: "Connection") -> None:
        self.all.discard(one)
        if not self.all and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    async def close(self, within: float) -> None:
        """Idle connections close now, the others after their answer; those that take longer are cut off."""
        self.is_closing = True
        for one in list(self.all):
            one.drain()
        if self.all:
            self._emptied = self.loop.create_future()
            await asyncio.wait((self._emptied,), timeout=within)
        for one in list(self.all):
            one.abort()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.sleep(0)  # what was cut off learns of it


class Connection(asyncio.Protocol):
    """`until`: the instant of the loop at which it has waited too long for its client."""

    def __init__(self, connections: Connections) -> None:
        self._all = connections
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int] | None = None
        self.until = connections.loop.time() + HEAD_WITHIN
        self.is_paused = False
        self._is_reading = True
        self._drained: asyncio.Future[None] | None = None
        self._current: Exchange | None = None
        self._fresh: Exchange | None = None
        """The exchange that begins after what has come was read."""
        self._held: Exchange | None = None
        """The exchange that begins when the client has read more of what was said."""
        self._line: deque[Exchange] = deque()
        self._last: Exchange | None = None
        """The exchange whose body is being read."""
        self._is_in_head = False
        self._head_size = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects = False
        self._rest = b""
        self._take: Callable[[bytes], None] | None = None
        """Who reads what comes after an upgrade."""

    @property
    def date(self) -> bytes:
        return self._all.date

    # --- what asyncio says ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not derive from it
        self.client = _address(transport.get_extra_info("peername"))
        self.server = _address(transport.get_extra_info("sockname"))
        self._all.all.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._all.leave(self)
        self._parser = self._held = None
        self.resume_writing()
        self._line.clear()
        self._take = None
        if self._current is not None:
            self._current.lose()

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        held, self._held = self._held, None
        if held is not None:
            self._start(held)

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            if self._take is not None:
                self._take(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:  # what follows is no HTTP: kept for who may understand it
            self._rest = bytes(data[upgrade.args[0] :])
            self._speak_no_more()
            self._pause_reading()
        except httptools.HttpParserError:
            self._refuse(MalformedRequest(reason="it is not HTTP/1.1"))
        if self._is_in_head:
            self._head_size += len(data)
            if self._head_size > HEAD_LIMIT:
                self._refuse(TooLarge(what="The head of the request", limit=HEAD_LIMIT), HEAD_TOO_LARGE)
        fresh, self._fresh = self._fresh, None
        if fresh is not None:
            self._start(fresh)

    # --- what the parser says ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._head_size = 0
        self._url = b""
        self._headers = []
        self._expects = False
        if self._current is None:
            self.until = self._all.loop.time() + HEAD_WITHIN

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        parser, url = self._parser, self._url
        if b"?" in url or b"%" in url or b"#" in url or url[:1] != b"/":
            parsed = httptools.parse_url(url)
            url, query = parsed.path or b"/", parsed.query or b""
            path = unquote(url.decode("ascii"))
        else:
            path, query = url.decode("ascii"), b""
        version = parser.get_http_version()
        exchange = Exchange(
            self, parser.get_method().decode(), url, path, query, self._headers, version,
            version != "1.0" and parser.should_keep_alive() and not self._all.is_closing, self._expects,
        )  # fmt: skip
        self._last = exchange
        if self._current is None:
            self._current = self._fresh = exchange
        else:
            self._line.append(exchange)
            self._pause_reading()

    def on_body(self, data: bytes) -> None:
        if self._last is not None and self._last.add_body(data) > READ_AHEAD:
            self._pause_reading()

    def on_message_complete(self) -> None:
        if self._last is not None:
            self._last.end_body()
            self._last = None

    # --- turns ------------------------------------------------------------------------------------------------------

    def _start(self, exchange: Exchange) -> None:
        self.until = NEVER
        if self.is_paused:  # it has not read the answer before
            self._held = exchange
            self._pause_reading()
            return
        self._all.serve(exchange)

    def completed(self, exchange: Exchange) -> None:
        if not exchange.keeps_alive or self._all.is_closing:
            self._transport.close()
            return
        if self._line:  # also when nothing more is read: what came whole before is answered
            self._current = self._line.popleft()
            self._all.loop.call_soon(self._start, self._current)  # a row of refusals would nest here
            return
        if self._parser is None:
            self._transport.close()
            return
        self._current = None
        self.until = self._all.loop.time() + IDLE_WITHIN
        if not self._is_reading:
            self.read_on()

    def broken(self, exchange: Exchange) -> None:
        if self.is_paused or not exchange.has_begun:
            self._transport.abort()  # what lies in the buffer nobody takes
        else:
            self._transport.close()

    def _speak_no_more(self) -> None:
        """Nothing that comes now is read; what is being answered is answered, and then the connection closes."""
        self._parser = None
        self._is_in_head = False
        last = self._line[-1] if self._line else self._current
        if last is not None:
            last.keeps_alive = False

    def _refuse(self, error: PilothouseError, status: int | None = None) -> None:
        """What comes cannot be read. What came whole before it is answered."""
        if self._parser is None:
            return
        half, current = self._last, self._current
        if half is not None and half in self._line:
            self._line.remove(half)
        if current is not None and (current is not half or current.has_begun):
            self._speak_no_more()
            return
        if current is not None and self._fresh is None:
            current.lose()  # its body will never be whole, and it is answered here
        self._parser = self._current = self._fresh = self._held = None
        self._is_in_head = False
        self._transport.write(_refusal(error, status or status_of(error), self.date))
        self._transport.close()

    # --- times and ends ---------------------------------------------------------------------------------------------

    def overstay(self) -> None:
        """The client was waited for too long."""
        if self._is_in_head and self._current is None:
            self._refuse(RequestTimeout(what="head", seconds=HEAD_WITHIN))
        else:
            self._transport.close()

    def drain(self) -> None:
        if self._current is None:
            self._transport.close()
        else:
            self._current.keeps_alive = False

    def abort(self) -> None:
        if self._current is not None and self._current.task is not None:
            self._current.task.cancel()
        self._transport.abort()

    # --- what an exchange needs -------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def read_on(self) -> None:
        if not self._is_reading and (self._parser is not None or self._take is not None):
            self._is_reading = True
            self._transport.resume_reading()

    def hand_over(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        rest, self._rest = self._rest, b""
        if rest:
            take(rest)
        self.read_on()

    def _pause_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def drained(self) -> "asyncio.Future[None]":
        if self._drained is None:
            self._drained = self._all.loop.create_future()
        return self._drained


NEVER = float("inf")


def _refusal(error: PilothouseError, status: int, date: bytes) -> bytes:
    """The whole answer to what is no request."""
    body = encode_problem(error, status)
    head = b"content-type: %b\r\ncache-control: no-store\r\nconnection: close\r\n" % PROBLEM_JSON
    return b"%b%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINES[status], date, head, len(body), body)


def _address(found: Any) -> tuple[str, int] | None:
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) and len(found) >= 2 else None
