"""The smallest HTTP/1.1 server that model clients are content with, on loopback, in a thread of its own.

It needs the standard library only, so that tests of users need no more than `pilothouse`. It knows nothing of models:
a handler gets a request and gives a body or a stream of frames. It keeps these promises: a caller that closes its
connection cancels the handler; `stop` leaves no thread, socket or task behind; every size and wait has a limit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus

MAX_HEAD = 64 * 1024
MAX_BODY = 32 * 1024 * 1024
MAX_CONNECTIONS = 512
MAX_THREADS = 32
IDLE_SECONDS = 60.0
STOP_SECONDS = 5.0
LINGER_SECONDS = 1.0


class CutConnection(Exception):
    """Raised by a handler or its frames: end the connection here, without an end of the answer."""


class _BadRequest(Exception):
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An answer: a body, or frames that are sent as they come, as chunks. `short_by` bytes of a body are not sent."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    frames: AsyncGenerator[str, None] | None = None
    short_by: int = 0


Handler = Callable[[HttpRequest], Awaitable[HttpReply]]


class _Connection(asyncio.StreamReaderProtocol):
    """Tells when the caller has gone, which the streams of asyncio keep to themselves."""

    def __init__(self, reader: asyncio.StreamReader, server: LoopbackServer) -> None:
        super().__init__(reader, self._begin)
        self._owner = server
        self._serving: asyncio.Task[None] | None = None

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving = self._owner.take(reader, writer)

    def eof_received(self) -> bool:
        super().eof_received()
        # A model client that half-closes is one that gave up: closing ends the handler's work at once.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._serving is not None:
            self._serving.cancel()


@dataclass(slots=True, eq=False)
class LoopbackServer:
    """Serves the handler on 127.0.0.1 from `start` to `stop`; both may be called twice, and `stop` without `start`."""

    handler: Handler
    port: int = 0
    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _stopping: asyncio.Event | None = None
    _writers: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)
    _failure: BaseException | None = None

    def start(self) -> None:
        if self._thread is not None:
            return
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="scripted-model", daemon=True)
        self._thread.start()
        listening.wait()
        failure, self._failure = self._failure, None
        if failure is not None:
            self._thread.join(STOP_SECONDS)
            self._thread = None
            raise failure

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stopping is None:
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            raise TimeoutError(f"the model server did not stop within {STOP_SECONDS} s: an answer function blocks it")

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> asyncio.Task[None]:
        """Begin to serve one connection."""
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._writers[task] = writer
        task.add_done_callback(self._writers.pop)
        return task

    def _run(self, listening: threading.Event) -> None:
        try:
            asyncio.run(self._main(listening))
        except OSError as failure:
            self._failure = failure
        finally:
            listening.set()

    async def _main(self, listening: threading.Event) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        loop.set_default_executor(ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="scripted-model"))
        server = await loop.create_server(
            lambda: _Connection(asyncio.StreamReader(limit=MAX_HEAD), self), "127.0.0.1", self.port
        )
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        await self._stopping.wait()
        server.close()
        for task, writer in list(self._writers.items()):
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._writers, return_exceptions=True)
        # One more turn of the loop lets the transports say goodbye to their sockets.
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (CutConnection, ConnectionError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            # The caller left, was cut off on purpose, or the server stops: the connection is all that ends.
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; true when another may follow on this connection."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                request = await _read(reader, writer)
            if len(self._writers) > MAX_CONNECTIONS:
                raise _BadRequest(503, "too many connections")
        except _BadRequest as fault:
            await _send(writer, _plain(fault.status, str(fault)), keep=False)
            await _linger(reader, writer)
            return False
        keep = request.headers.get("connection", "").lower() != "close"
        await _send(writer, await self.handler(request), keep=keep)
        return keep


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> HttpRequest:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise _BadRequest(431, "the headers are too long") from None
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise _BadRequest(400, "not an HTTP/1.1 request")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return HttpRequest(words[0], words[1], headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit():
        raise _BadRequest(400, "Content-Length is not a number")
    if int(length) > MAX_BODY:
        raise _BadRequest(413, f"the body is over {MAX_BODY} bytes")
    return await reader.readexactly(int(length))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        try:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        except ValueError:
            raise _BadRequest(400, "a chunk has no length") from None
        if size < 0 or len(body) + size > MAX_BODY:
            raise _BadRequest(413, f"the body is over {MAX_BODY} bytes")
        body += await reader.readexactly(size)
        await reader.readuntil(b"\r\n")
        if size == 0:
            return bytes(body)


async def _send(writer: asyncio.StreamWriter, reply: HttpReply, *, keep: bool) -> None:
    headers = [*reply.headers, ("connection", "keep-alive" if keep else "close")]
    if reply.frames is None:
        head = _head(reply.status, [*headers, ("content-length", str(len(reply.body)))])
        writer.write(head + reply.body[: len(reply.body) - reply.short_by])
        await writer.drain()
        if reply.short_by:
            raise CutConnection
        return
    head = _head(reply.status, [*headers, ("transfer-encoding", "chunked")])
    # Closing the frames tells their author when the caller left in the middle.
    async with aclosing(reply.frames) as frames:
        async for frame in frames:
            coded = frame.encode()
            # The head leaves with the first frame: a stream that hangs before it is silent altogether.
            writer.write(head + b"%x\r\n%b\r\n" % (len(coded), coded))
            head = b""
            await writer.drain()
    writer.write(head + b"0\r\n\r\n")
    await writer.drain()


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read on until the caller has seen the refusal: closing on unread bytes would reset it away."""
    writer.write_eof()
    async with asyncio.timeout(LINGER_SECONDS):
        while await reader.read(MAX_HEAD):
            pass


def _head(status: int, headers: list[tuple[str, str]]) -> bytes:
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Overloaded"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _plain(status: int, sentence: str) -> HttpReply:
    return HttpReply(status, (("content-type", "text/plain; charset=utf-8"),), sentence.encode())
