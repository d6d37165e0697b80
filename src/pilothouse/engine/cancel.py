"""Cancelling always wins: before the run is known, before it starts, while it runs, while it waits, and twice.

A run that nobody holds ends at once, in one Change. For a run that is held the wish is made durable first; from then
on the only end the records accept of it is `cancelled`, whatever its attempt says. Runs that it called end with it.
"""

from pilothouse.domain import ids
from pilothouse.domain.journal import actions_without_end, hand_offs_begun
from pilothouse.domain.run import Run
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import error_json
from pilothouse.engine.ending import Ending, ending_acts, terminal_line
from pilothouse.engine.outbox import deliveries_of
from pilothouse.engine.trace import tell_end
from pilothouse.engine.world import World
from pilothouse.errors import Cancelled, DeadlineExceeded, RunNotFound
from pilothouse.ports.change import (
    AppendEvents,
    Change,
    Conflict,
    EndIdleRun,
    RememberCancel,
    RequestCancel,
)

TRIES = 20
"""How often a verb reads again when the run changed between its look and its Change."""
REMEMBER_FOR = 24 * 3600 * 1_000_000


async def cancel_run(
    world: World, tenant: str, run: str, reason: str = "asked by a caller", *, by: str = NODE
) -> Run | None:
    """Ends the run `cancelled`, or asks its attempt to. None: the id is not known; should it come, it is cancelled.
    A run that has ended stays as it is, and so does one that was cancelled before."""
    found = await world.records.get_run(tenant, run)
    if found is None:
        live = world.attempts.get((tenant, run))
        if live is not None:
            live.cancel(reason)
            return live.run
        if not ids.RUN_ID.match(run):
            raise RunNotFound(run=run)
        at = world.clock.now()
        try:
            told = entry(tenant, run, at, "run.cancel_requested", by, reason=reason, known=False)
            await world.records.commit(Change((RememberCancel(tenant, run, at, at + REMEMBER_FOR), told)))
            return None
        except Conflict:
            found = await world.records.get_run(tenant, run)
            if found is None:
                raise RunNotFound(run=run) from None
    return await request_cancel(world, found, reason, rollback=False, by=by)


async def request_cancel(world: World, run: Run, reason: str, *, rollback: bool, by: str = NODE) -> Run:
    """The same for a run that was read. Returns it as it is afterwards."""
    for _ in range(TRIES):
        if run.is_terminal:
            break
        if run.status == "running":
            if await _ask_attempt(world, run, reason, rollback, by):
                break
        else:
            ending = Ending("cancelled", 0, error=error_json(Cancelled(reason=reason)), by=by)
            ending.keeps_turn = run.started_at is not None and run.session is not None and not rollback
            if await end_idle(world, run, ending):
                break
        run = await _again(world, run)
    await cancel_children(world, run.tenant, run.id)
    return await _again(world, run)


async def expire_run(world: World, run: Run) -> bool:
    """A run whose deadline has passed. Whether it has ended: one that runs is asked to, and takes its time."""
    if run.status == "running":
        live = world.attempts.get((run.tenant, run.id))
        if live is not None:
            live.expire()
        return False
    has_ended = await end_idle(world, run, Ending("failed", 0, error=error_json(DeadlineExceeded())))
    await cancel_children(world, run.tenant, run.id)
    return has_ended


async def cancel_children(world: World, tenant: str, run: str) -> None:
    """The live runs that `run` called are cancelled, and theirs."""
    for child in await world.records.list_live_children(tenant, run):
        found = await world.records.get_run(tenant, child)
        if found is not None:
            await request_cancel(world, found, "the run that called it has ended", rollback=False)


async def end_idle(world: World, run: Run, ending: Ending) -> bool:
    """Ends a queued or waiting run. False: it changed meanwhile."""
    at = ending.at = world.clock.now()
    ending.unknown = await actions_left(world, run)
    while True:
        acts, rows = ending_acts(run, ending)
        line = terminal_line(ending)
        last = AppendEvents(run.tenant, run.id, at, 1, line)
        end = EndIdleRun(run.tenant, run.id, ending.status, ending.error, at)
        try:
            await world.records.commit(Change((end, *acts, *rows, last, *deliveries_of(world, run, at, (line,)))))
            break
        except Conflict as fell:
            if fell.statement in ("resolve_step", "wake_run"):
                ending.tells_parent = False
            elif fell.statement == "take_turn":
                ending.keeps_turn = False
            else:
                return False
    if run.session is not None:
        world.sessions.forget((run.tenant, run.agent, run.session))
        world.bus.ring("work", run.agent)
    if run.parent is not None:
        ring_parent(world, run.tenant, run.parent)
    await tell_end(world, run, ending)
    return True


async def actions_left(world: World, run: Run) -> dict[str, str]:
    """By step: what an earlier attempt was allowed to do and did not tell the end of."""
    if run.started_at is None:
        return {}
    rows = await world.records.load_journal(run.tenant, run.id)
    begun = hand_offs_begun(rows)
    return {step: action for step, action in actions_without_end(rows).items() if step not in begun}


def ring_parent(world: World, tenant: str, parent: str) -> None:
    """A run that was called has ended: its caller is told if it is here, and to be claimed if it waits."""
    world.bus.ring("resolved", f"{tenant}/{parent}")
    if (tenant, parent) not in world.attempts:
        world.bus.ring("work")


async def _ask_attempt(world: World, run: Run, reason: str, rollback: bool, by: str) -> bool:
    try:
        at = world.clock.now()
        told = entry(run.tenant, run.id, at, "run.cancel_requested", by, reason=reason, rollback=rollback or None)
        change = Change((RequestCancel(run.tenant, run.id, at, reason, rollback), told))
        receipt = await world.records.commit(change)
    except Conflict:
        return False
    if receipt.status in ("queued", "waiting"):  # it was given back or parked meanwhile: nobody is there to ask
        return False
    live = world.attempts.get((run.tenant, run.id))
    if live is not None:
        live.cancel(reason, rollback=rollback)
    else:
        world.bus.ring("cancel", f"{run.tenant}/{run.id}")
    return True


async def _again(world: World, run: Run) -> Run:
    found = await world.records.get_run(run.tenant, run.id)
    if found is None:
        raise RunNotFound(run=run.id)
    return found
