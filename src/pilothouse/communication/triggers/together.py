"""What many ask for in one turn of the loop, done at once: one round trip to a broker settles a batch.

Messages whose runs share a commit wake up together, and each settles itself; here their acknowledgements meet. Whoever
asks waits until it is done, and hears when it could not be done.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Batch = list[tuple[Any, "asyncio.Future[None]"]]
CLOSED = "the connection to the broker is closed; what was not settled comes again"
"""What whoever settles a message too late is told."""


class Together:
    """`act` gets up to `most` items at once. When it raises, all who asked for these items do."""

    def __init__(self, act: Callable[[list[Any]], Awaitable[None]], most: int) -> None:
        self._act, self._most = act, most
        self._open: Batch | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, item: Any) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        if self._open is None or len(self._open) >= self._most:
            self._open = []
            task = loop.create_task(self._do(self._open))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._open.append((item, done))
        await done

    async def _do(self, batch: Batch) -> None:
        if self._open is batch:  # from here on nobody joins
            self._open = None
        fault: Exception | None = None
        try:
            await self._act([item for item, _ in batch])
        except Exception as error:  # whatever a client raises: it is theirs who asked
            fault = error
        for _, done in batch:
            if not done.done():  # else its asker has gone
                done.set_result(None) if fault is None else done.set_exception(fault)
