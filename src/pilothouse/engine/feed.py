"""The feed: which runs have changed, told while somebody looks.

It carries hints and keeps nothing: who is told that a run changed reads the run. So it may miss something (the bus may
lose, a reader may be slow) and nothing is wrong then; a reader looks at everything when it begins to listen, and now
and then. It costs nothing while nobody listens.
"""

import asyncio

from msgspec import Struct

from pilothouse.domain.event import Segment
from pilothouse.engine.world import World

RUNS_AT_ONCE = 500
"""Ids in one message; of more changes only that there were more is told."""
GATHER_FOR = 0.25
"""Seconds for which changes are gathered into one message."""
NEWS = (b"run.queued ", b"run.started ", b"run.waiting ", b"run.resumed ")
ENDS = (b"run.succeeded ", b"run.failed ", b"run.cancelled ")
ASKS = (b"review.requested ", b"review.decided ")


class News(Struct):
    """`has_more`: others changed, too. `reviews`: a review was asked for or closed."""

    runs: list[str]
    has_more: bool
    reviews: bool


class Feed:
    """Use `take` again and again, then `close`; closing twice does nothing."""

    def __init__(self, world: World, tenant: str) -> None:
        self._runs: dict[str, None] = {}
        self._has_more = False
        self._reviews = False
        self._bell: asyncio.Event = asyncio.Event()
        self._stop = world.bus.watch_all(tenant, self._hear)

    def _hear(self, segment: Segment) -> None:
        lines = segment.data.splitlines()
        is_asked = any(one.startswith(ASKS) for one in lines)
        if not is_asked and not any(one.startswith(NEWS) or one.startswith(ENDS) for one in lines):
            return
        self._reviews |= is_asked
        if len(self._runs) < RUNS_AT_ONCE:
            self._runs[segment.run] = None
        elif segment.run not in self._runs:
            self._has_more = True
        self._bell.set()

    async def take(self, within: float) -> News | None:
        """What changed since the last time; None when `within` seconds brought nothing."""
        try:
            async with asyncio.timeout(within):
                await self._bell.wait()
        except TimeoutError:
            return None
        await asyncio.sleep(GATHER_FOR)
        news = News(list(self._runs), self._has_more, self._reviews)
        self._runs, self._has_more, self._reviews = {}, False, False
        self._bell.clear()
        return news

    def close(self) -> None:
        self._stop()
