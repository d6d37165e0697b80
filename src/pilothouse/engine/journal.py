"""Reading the steps of a run.

One entry a step, with its end when it has one; the cursor is a position in the journal.
"""

from pilothouse.domain.journal import ENDED, StepRow
from pilothouse.engine.run import get_run
from pilothouse.engine.world import World
from pilothouse.errors import BadCursor


async def list_steps(
    world: World, tenant: str, run: str, cursor: str | None, limit: int
) -> tuple[list[StepRow], str | None]:
    """Steps in the order in which they began to be kept, and the next cursor. A step that was listed as begun is listed
    again when it has ended since: the later entry of a key counts."""
    await get_run(world, tenant, run)
    if cursor is not None and not (cursor.isdigit() and len(cursor) < 19):
        raise BadCursor()
    found = await world.records.list_steps(tenant, run, int(cursor or 0), limit)
    merged: dict[str, StepRow] = {}
    for _, row in found:
        known = merged.get(row.key)
        if known is None or row.phase == ENDED:
            if known is not None and row.input is None:
                row.input = known.input
            merged[row.key] = row
    next_cursor = str(found[-1][0]) if len(found) == limit else None
    return list(merged.values()), next_cursor
