"""A small load balancer: each connection goes to the next gateway that takes it.

It stands for whatever is in front of the gateways in earnest. It knows nothing of requests, so a gateway that dies
takes its open connections with it, and callers ask again.
"""

import asyncio
import contextlib
from typing import Protocol


class Target(Protocol):
    port: int
    is_alive: bool


class Balancer:
    """`start`, then `stop`."""

    def __init__(self) -> None:
        self.url = ""
        self._targets: list[Target] = []
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, targets: list) -> None:  # type: ignore[type-arg]
        self._targets = targets
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far = None
        try:
            far = await self._reach()
            if far is not None:
                await asyncio.gather(self._pass(reader, far[1]), self._pass(far[0], writer))
        except asyncio.CancelledError:
            return  # `stop`: the streams' own callback would call that a fault
        finally:
            writer.transport.abort()
            if far is not None:
                far[1].transport.abort()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for _ in range(len(self._targets)):
            self._turn += 1
            target = self._targets[self._turn % len(self._targets)]
            if target.is_alive:
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection("127.0.0.1", target.port)
        return None

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while heard := await reader.read(65_536):
                writer.write(heard)
                await writer.drain()
        writer.transport.abort()
