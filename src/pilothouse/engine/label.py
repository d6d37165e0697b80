"""The labels of a run, as its journal and those around it tell them.

Nothing is stored for them: a result is labelled by the tool that gave it, so what a run has seen is found in its own
steps, in the runs that it called and was called by, and in the earlier turns of its session. Each attempt reads on from
where it stopped; the rest is read once.
"""

from collections.abc import Mapping

from msgspec import Struct

from pilothouse.domain.ids import child_run_id
from pilothouse.domain.journal import ENDED
from pilothouse.domain.label import closed, labels_of_metadata, labels_of_results
from pilothouse.domain.policy import Tool
from pilothouse.domain.run import Run
from pilothouse.domain.topic import origin_in
from pilothouse.engine.world import World

DEPTH = 32
TURNS = 1000
STEPS = 10_000


class Seen(Struct):
    """What an attempt knows of the labels of its run, and up to which row."""

    position: int = 0
    labels: frozenset[str] = frozenset()
    is_rooted: bool = False
    """The turns and callers before it were looked at."""


async def labels_now(world: World, run: Run, tools: Mapping[str, Tool], seen: Seen) -> frozenset[str]:
    """All labels of the run as of its last durable step."""
    if not seen.is_rooted:
        seen.labels |= labels_of_metadata(run.metadata) | await _before(world, run, tools)
        seen.is_rooted = True
    while rows := await world.records.list_steps(run.tenant, run.id, seen.position, STEPS):
        seen.position = rows[-1][0]
        steps = [row for _, row in rows]
        seen.labels |= labels_of_results(steps, tools)
        for row in steps:
            if row.kind == "call" and row.phase == ENDED:
                seen.labels |= await _of_run(world, run.tenant, child_run_id(run.id, row.key), tools, DEPTH)
        if len(rows) < STEPS:
            break
    return closed(seen.labels)


async def _of_run(world: World, tenant: str, id: str, tools: Mapping[str, Tool], depth: int) -> frozenset[str]:
    """The labels of another run and of those that it called."""
    run = await world.records.get_run(tenant, id)
    if run is None or depth == 0:
        return frozenset()
    rows = await world.records.load_journal(tenant, id)
    found = labels_of_metadata(run.metadata) | labels_of_results(rows, tools)
    for row in rows:
        if row.kind == "call" and row.phase == ENDED:
            found |= await _of_run(world, tenant, child_run_id(id, row.key), tools, depth - 1)
    return found


async def _before(world: World, run: Run, tools: Mapping[str, Tool]) -> frozenset[str]:
    """Of the run that called it, or published what it started at, and of the earlier turns of its session."""
    found: frozenset[str] = frozenset()
    above, depth = _above(run), DEPTH
    while above is not None and depth > 0:
        found |= await _of_run(world, run.tenant, above, tools, 1)
        caller = await world.records.get_run(run.tenant, above)
        above, depth = (None if caller is None else _above(caller)), depth - 1
    if run.session is not None:
        for turn in await world.records.list_turns(run.tenant, run.agent, run.session, None, TURNS):
            found |= await _of_run(world, run.tenant, turn.run, tools, DEPTH)
    return found


def _above(run: Run) -> str | None:
    return run.parent or origin_in(run.metadata)[0]
