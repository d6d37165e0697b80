"""A TCP proxy that stands between two programs and can fail as a network does.

It runs on the loop of the test. `hears` and `answers` tell whether bytes are passed on in each direction: a network
that swallows packets says nothing to either side, and keeps the connections. `delay` is the worse one: what was on its
way when the network fell silent arrives once it is healed, as TCP sends it again, also when its sender has given up.
"""

import asyncio
import contextlib


class Proxy:
    """`start`, then `stop`. Connections that are open feel a change of `hears` and `answers` at once."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.hears = True
        """Whether what the client says reaches the server."""
        self.answers = True
        """Whether what the server says reaches the client."""
        self.accepts = True
        """Whether a new connection is taken; else it is closed at once."""
        self._passes = asyncio.Event()
        self._passes.set()
        self.late = 0
        """Bytes that came late, or will, because of `delay`."""
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def swallow(self) -> None:
        """From now on nothing gets through, and nobody is told."""
        self.hears = self.answers = False

    def delay(self) -> None:
        """From now on nothing gets through before it is healed, and nobody is told."""
        self._passes.clear()

    def heal(self) -> None:
        self.hears = self.answers = self.accepts = True
        self._passes.set()

    def cut(self) -> None:
        """Ends all connections that are open."""
        for writer in self._open:
            writer.transport.abort()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self._passes.set()
        while self._tasks:
            self.cut()
            await asyncio.wait(self._tasks, timeout=0.1)  # again: one may just have been connecting
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not self.accepts:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        try:
            await asyncio.gather(self._pass(reader, far_writer, "hears"), self._pass(far_reader, writer, "answers"))
        finally:
            self._open -= {writer, far_writer}
            writer.transport.abort()
            far_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        with contextlib.suppress(OSError):
            while heard := await reader.read(65_536):
                if not self._passes.is_set():
                    self.late += len(heard)
                    await self._passes.wait()
                if getattr(self, direction):
                    writer.write(heard)
                    await writer.drain()
        writer.transport.abort()
