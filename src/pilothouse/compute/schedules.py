"""The loop that fires schedules: it sleeps until the next firing, and looks again now and then.

Any number of nodes may run it on the same records; which of them fires is decided there. What it does is a verb, so a
test fires by its own clock.
"""

import asyncio
import contextlib
from collections.abc import Callable

from pilothouse.engine.schedule import BELL, fire_due
from pilothouse.engine.world import World
from pilothouse.errors import PilothouseError

LOOK_EVERY = 5.0
LOOK_AT_MOST = 0.02
"""Seconds between two looks at least, whatever is due."""


class Schedules:
    """`start`, then `stop`. Stopping twice does nothing."""

    def __init__(self, world: World, on_error: Callable[[str], None]) -> None:
        self._world, self._on_error = world, on_error
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unhook: Callable[[], None] = lambda: None

    def start(self) -> None:
        self._unhook = self._world.bus.answer(BELL, lambda key: self._bell.set())
        self._task = asyncio.get_running_loop().create_task(self._work(), name="schedules")

    async def stop(self) -> None:
        self._unhook()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            self._bell.clear()
            left = LOOK_EVERY
            try:
                at = await fire_due(self._world)
                if at is not None:
                    left = min(left, (at - self._world.clock.now()) / 1e6)
            except PilothouseError as error:
                self._on_error(f"schedules: {error}")
            except Exception as error:
                self._on_error(f"schedules: {error!r}")
                context = {"message": "a look at the schedules failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(left, LOOK_AT_MOST)):
                    await self._bell.wait()
