"""What the carriers to a broker have in common: a bounded queue, one task that serves it, and trying again for ever.

A broker that is away loses what is said meanwhile; the bus may lose anything.
"""

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable

from pilothouse.ports.carrier import Carrier, Hear

WAITING_LIMIT = 1000
PAUSE = 0.25
PAUSE_AT_MOST = 5.0
CANCEL_AGAIN = 0.5


class Line(Carrier):
    """A subclass says how to `_serve`: to connect, to hear, and to call `_empty` with what sends one message; it ends
    with one of FAULTS when the broker is lost."""

    limit = 256 * 1024
    faults: tuple[type[BaseException], ...] = (OSError, TimeoutError)

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque(maxlen=WAITING_LIMIT)
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pause = PAUSE

    @abstractmethod
    async def _serve(self, hear: Hear) -> None: ...

    async def start(self, hear: Hear) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work(hear), name=type(self).__name__)

    def send(self, message: bytes) -> None:
        self._waiting.append(message)
        self._something.set()

    async def stop(self) -> None:
        task, self._task = self._task, None
        while task is not None and not task.done():
            task.cancel()  # again, since a fault that comes in the same moment takes the place of a cancel
            await asyncio.wait((task,), timeout=CANCEL_AGAIN)

    async def _work(self, hear: Hear) -> None:
        while True:
            try:
                await self._serve(hear)
            except self.faults:
                self._waiting.clear()
            if self._task is None:
                return
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, PAUSE_AT_MOST)

    async def _empty(self, send: Callable[[bytes], Awaitable[object]]) -> None:
        """Sends what waits, for as long as that goes well."""
        self._pause = PAUSE
        while True:
            while self._waiting:
                await send(self._waiting.popleft())
            self._something.clear()
            await self._something.wait()
