"""Following the events of a run: from any point, gapless, in order, and never more in memory than a bound.

A follower hears the bus and reads the records. What the bus says is taken only when it is the next number; after any
gap, and when a slow reader let too much pile up, the records are read instead. So a lost, repeated or late message on
the bus costs time and nothing else, and a slow reader costs a bounded buffer.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from pilothouse.domain.event import Segment
from pilothouse.engine.direct import Distant
from pilothouse.engine.run import Started, get_run
from pilothouse.engine.unkept import InMemory, Unkept
from pilothouse.engine.waiting import wait_done
from pilothouse.engine.world import World
from pilothouse.errors import BadCursor
from pilothouse.ports.records import EVENTS_ROOM

BUFFER_BYTES = 128 * 1024
"""What one reader may have waiting, heard or read, give or take a segment."""
PAGE = 64
"""Segments read from the records at once."""
LOOK_AGAIN_EVERY = 5.0
"""Seconds without news after which the records are read although nothing came."""


class Follower:
    """The events of one run, after a number. Use `take` until `is_over`, then `close`; closing twice does nothing."""

    def __init__(self, world: World, tenant: str, run: str, after: int, unkept: InMemory | None) -> None:
        self.is_over = False
        self._world, self._tenant, self._run, self._last = world, tenant, run, after
        self._unkept = unkept
        self._heard: deque[Segment] = deque()
        self._heard_bytes = 0
        self._is_behind = True
        self._bell: asyncio.Future[None] | None = None
        self._stop = world.bus.watch(tenant, run, self._hear)
        if unkept is not None:
            unkept.ended.add_done_callback(self._ring)

    def _hear(self, segment: Segment) -> None:
        if not self._is_behind:
            self._heard_bytes += len(segment.data)
            if self._heard_bytes > BUFFER_BYTES and self._unkept is None:
                self._fall_behind()
            else:
                self._heard.append(segment)
        self._ring()

    def _ring(self, ended: object = None) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def _fall_behind(self) -> None:
        self._heard.clear()
        self._heard_bytes = 0
        self._is_behind = True

    async def take(self, within: float) -> list[Segment]:
        """The next segments, oldest first; empty when `within` seconds brought none. A segment may begin before the
        number asked for: hand on only what is after it. Sets `is_over` with the terminal event, or when nothing can
        come any more: the event asked for was the last one, or a run that is not kept is gone."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while not self.is_over:
            found = await self._next()
            if found:
                self._last = found[-1].last
                self.is_over = found[-1].is_terminal
                return found
            if found is None:
                self.is_over = True
                return []
            left = until - loop.time()
            if left <= 0:
                return []
            self._bell = loop.create_future()
            must_wait = not self._heard and not (self._is_behind and self._unkept is None)
            if must_wait and not await wait_done(self._bell, min(left, LOOK_AGAIN_EVERY)):
                self._is_behind = True
            self._bell = None
        return []

    async def _next(self) -> list[Segment] | None:
        """What comes next, as far as it is there; None: nothing will ever come."""
        found = self._from_bus()
        is_gone = self._unkept is not None and self._unkept.ended.done()
        if found or not (self._is_behind or is_gone):
            return found
        self._is_behind = False  # from here on the bus is heard, while the records are read
        if self._unkept is not None:
            found = [segment for segment in self._unkept.segments if segment.last > self._last]
            return None if is_gone and not found else found
        found = await self._read()
        if not found:
            run = await self._world.records.get_run(self._tenant, self._run)
            if run is None or run.is_terminal:  # the last event may have become durable between the two reads
                return await self._read() or None
        return found

    async def _read(self) -> list[Segment]:
        """A bounded page from the records. When there may be more, the next one comes from there as well."""
        found = await self._world.records.read_events(self._tenant, self._run, self._last, PAGE)
        if is_full(found, PAGE):
            self._fall_behind()
        return found

    def _from_bus(self) -> list[Segment]:
        found: list[Segment] = []
        last = self._last
        while self._heard:
            segment = self._heard.popleft()
            if segment.last <= last:
                continue
            if segment.seq > last + 1:
                self._fall_behind()
                break
            found.append(segment)
            last = segment.last
        self._heard_bytes = 0
        return found

    def close(self) -> None:
        self._stop()


def is_full(found: Sequence[Segment], limit: int) -> bool:
    """Whether there may be more behind what `read_events` gave for this limit."""
    return len(found) >= limit or sum(len(segment.data) for segment in found) >= EVENTS_ROOM


async def follow_started(world: World, started: Started) -> Follower:
    """The events of a run from its first."""
    return Follower(world, started.run.tenant, started.run.id, 0, started.unkept)


async def follow_run(world: World, tenant: str, run: str, after: int) -> Follower:
    """The events after number `after`. Raises `RunNotFound`, and `BadCursor` when the run has no event `after`: nobody
    waits for the sequel of something that never was."""
    if after > 0 and not await read_events(world, tenant, run, after - 1, 1):
        raise BadCursor()
    await get_run(world, tenant, run)
    live = world.attempts.get((tenant, run))
    return Follower(world, tenant, run, after, live if isinstance(live, Unkept | Distant) else None)


async def read_events(world: World, tenant: str, run: str, after: int, limit: int) -> Sequence[Segment]:
    """Segments that hold events after number `after`; there may be more when `is_full`. Raises `RunNotFound`."""
    await get_run(world, tenant, run)
    live = world.attempts.get((tenant, run))
    if isinstance(live, Unkept | Distant):
        return [segment for segment in live.segments if segment.last > after][:limit]
    return await world.records.read_events(tenant, run, after, limit)
