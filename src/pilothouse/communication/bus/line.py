"""What the carriers to a broker have in common: a bounded queue, one task that serves it, and trying again for ever.

A broker that is away loses what is said meanwhile; the bus may lose anything.
"""

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

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
        if task is not None:
            await end(task)

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


async def side_by_side(*works: Coroutine[Any, Any, None]) -> None:
    """Until one of them ends, which ends the others; raises what it ended with."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        over, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in over:
            await task
    finally:
        await end(*tasks)


async def end(*tasks: "asyncio.Task[None]") -> None:
    """Cancels again what goes on: a fault, or an answer that `asyncio.wait_for` of Python 3.11 has in the same moment,
    takes the place of a cancel. A cancel of the caller counts once all have ended."""
    left, is_cancelled = {task for task in tasks if not task.done()}, False
    while left:
        for task in left:
            task.cancel()
        try:
            _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN)
        except asyncio.CancelledError:
            is_cancelled = True
            left = {task for task in left if not task.done()}
    for task in tasks:
        if not task.cancelled():
            task.exception()  # it is heard
    if is_cancelled:
        raise asyncio.CancelledError
