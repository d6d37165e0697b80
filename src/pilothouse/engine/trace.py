"""The trace of a run where the records are all there is to know it from, and the telling of ends nobody's attempt saw.

A run that an attempt ends is told by that attempt, which knows its trace. One that was cancelled or expired in the
queue or while it waited, or whose worker is gone, has none here: without this it would be missing in what is counted,
and its trace would have steps and no root.
"""

from contextlib import suppress

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pilothouse.domain.event import events_of
from pilothouse.domain.run import Run
from pilothouse.engine.ending import Ending
from pilothouse.engine.world import World
from pilothouse.errors import RecordsUnavailable


class _Queued(Struct):
    traceparent: str | None = None


_read_queued = msgspec.json.Decoder(_Queued).decode


async def read_traceparent(world: World, run: Run) -> str | None:
    """The trace that the request belonged to which started the run: its first event keeps that."""
    for segment in await world.records.read_events(run.tenant, run.id, 0, 1):
        for seq, _, body in events_of(segment):
            if seq == 1:
                return _read_queued(body).traceparent
    return None


async def tell_end(world: World, run: Run, ending: Ending) -> None:
    """Tells of the end, which is durable, of a run that has no attempt here. The trace is looked up only where spans
    are recorded; records that cannot be read at this moment cost the place in the caller's trace and nothing else."""
    traceparent = None
    if world.is_traced:
        with suppress(RecordsUnavailable):
            traceparent = await read_traceparent(world, run)
    ended = replace(run, error=ending.error, finished_at=ending.at)
    ended.status = ending.status  # type: ignore[assignment]
    world.on_end(ended, traceparent)
