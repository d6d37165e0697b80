"""An effect that is watched while it runs: a streamed model call gives its pieces away as they come, and is one step.

The first time the pieces come live and the kept result last; on a replay there are no pieces, only the result. Who
stops listening ends the call. Bridges of frameworks that pull a stream (an async generator) use this.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

from msgspec import Struct

PIECES_WAITING = 256
"""Pieces that may wait for a slow listener; then the call waits for it."""

Push = Callable[[Any], Awaitable[None]]


class Kept(Struct, frozen=True):
    """The last thing that a watched effect gives: its result, as the journal has it."""

    value: Any


async def watch(begin: Callable[[Push], Coroutine[Any, Any, Any]]) -> AsyncGenerator[Any, None]:
    """The pieces that the body of an effect pushes, then `Kept`. `begin` calls `Execution.effect`, which reserves the
    key at once. Raises what the effect raises."""
    queue: asyncio.Queue[Any] = asyncio.Queue(PIECES_WAITING)
    end = object()

    async def perform(effect: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await effect
        finally:
            await queue.put(end)

    task = asyncio.ensure_future(perform(begin(queue.put)))
    try:
        while (piece := await queue.get()) is not end:
            yield piece
        yield Kept(await task)
    finally:
        if not task.done():
            task.cancel()
            while not task.done():  # what it still pushes must not keep it
                with contextlib.suppress(asyncio.QueueEmpty):
                    while True:
                        queue.get_nowait()
                await asyncio.wait((task,), timeout=0.01)
        if not task.cancelled():
            task.exception()
