"""Holds: placing, making effective, and lifting the switch that stops agents (G5).

A hold is a document that every node reads with each round of leases, so it reaches those that were away. Here it acts
on what this node runs: attempts that it covers let go, or are cancelled; what is claimed later and is held is given
back and waits for the hold in the records, unseen by claims, until it is lifted; calls of a held tool do not happen. It
is effective once no lease that it covers counts any more and every node had the time to read it; how long that took is
told. Agents neither place nor lift holds (G10).
"""

import contextlib
from collections.abc import Iterable, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from pilothouse.domain.event import line
from pilothouse.domain.hold import Hold, HoldEffect, Selector
from pilothouse.domain.lease import RENEW_EVERY
from pilothouse.domain.principal import Principal
from pilothouse.domain.run import LIVE, Run
from pilothouse.engine.audit_entry import entry
from pilothouse.engine.cancel import request_cancel
from pilothouse.engine.encoding import encode
from pilothouse.engine.evaluation_gate import is_shut
from pilothouse.engine.incident import incident_of_hold
from pilothouse.engine.policy import gate
from pilothouse.engine.vote import people_now
from pilothouse.engine.world import LiveRun, World, persist
from pilothouse.errors import Forbidden, Held, HoldNotFound, InvalidInput, StateConflict
from pilothouse.ports.change import AppendEvents, Change, Conflict, RequeueRun, Statement, WriteDocument
from pilothouse.ports.records import RunFilter

HOLD = "hold"
PAGE = 200
RELEASE = 1000
"""Runs that one statement gives back to the queue."""

_read = msgspec.json.Decoder(Hold).decode


async def place_hold(
    world: World, by: Principal, effect: HoldEffect, selector: Selector, reason: str, *, incident: bool | None = None
) -> Hold:
    """From the commit on nothing that it covers is started; what runs is told to let go. `incident`: whether it opens
    one; None: as the settings of its agent say. Raises `Forbidden`, and `InvalidInput` for a region: as long as nodes
    are in none, it would hold nothing, and whoever placed it would believe that it does."""
    if by.kind == "agent":
        raise Forbidden(reason="agents place no holds", hint="Ask a person who has the scope holds:write.")
    if selector.region is not None:
        fault = {"path": "$.selector.region", "message": "no node is in a region, so this hold would hold nothing"}
        hint = "Leave the region out: hold the tenant, or name an agent, a release, a tool, a run or a session."
        raise InvalidInput("The hold would hold nothing.", faults=[fault], hint=hint)
    at = world.clock.now()
    hold = Hold(
        id=f"hold_{at:014x}{world.entropy.bits():016x}",
        tenant=by.tenant,
        effect=effect,
        selector=selector,
        reason=reason,
        placed_at=at,
        placed_by=by.name,
    )
    opened = incident_of_hold(world, hold, incident)
    await _write(world, hold, 0, "hold.placed", by.name, opened, effect=effect, selector=selector, reason=reason)
    world.holds = world.holds | {hold.id: hold}
    gate(world)
    await _act(world, hold)
    await settle_holds(world)
    return world.holds.get(hold.id, hold)


async def list_holds(
    world: World, tenant: str, state: str | None, cursor: str | None, limit: int, within: float | None = None
) -> tuple[Sequence[Hold], str | None]:
    """A page of them, newest first. `within`: of these only the ones that were on in the last so many seconds."""
    page, following = await world.records.list_documents(tenant, HOLD, state, cursor, limit, newest=True)
    found = [_read(one.body) for one in page]
    if within is not None:
        since = world.clock.now() - round(within * 1e6)
        found = [one for one in found if one.lifted_at is None or one.lifted_at >= since]
    return found, following


async def lift_hold(world: World, by: Principal, id: str) -> Hold:
    """Lifts a hold, or takes note that one of two people wants it lifted: a hold over a tenant or region takes two.
    Raises `HoldNotFound`, `Forbidden`."""
    if by.kind != "human":
        raise Forbidden(reason="only people lift holds", hint="Use the key of a person.")
    found = await world.records.get_document(by.tenant, id)
    if found is None or found.kind != HOLD:
        raise HoldNotFound(hold=id[:80])
    hold = _read(found.body)
    if not hold.is_on:
        return hold
    at = world.clock.now()
    if hold.selector.is_wide:
        if not world.keys:
            raise Forbidden(
                reason="lifting a hold over a tenant takes two people, and without keys nobody is told from anybody",
                hint="Make a key for each of them with `pilothouse keys create NAME --kind human --scope holds:write`.",
            )
        people = {one.name for one in people_now(world, by.tenant)}  # who has lost their key since wants nothing
        lifts = tuple(dict.fromkeys((*(name for name in hold.lifts if name in people), by.name)))
        if len(lifts) < 2:
            hold = replace(hold, lifts=lifts)
            await _write(world, hold, found.version, "hold.lift_asked", by.name)
            return hold
        hold = replace(hold, lifts=lifts)
    hold = replace(hold, status="lifted", lifted_at=at)
    await _write(world, hold, found.version, "hold.lifted", by.name, by_all=list(hold.lifts) or None)
    world.holds = {name: one for name, one in world.holds.items() if name != id}
    gate(world)
    await _release(world, id)
    return hold


async def _release(world: World, hold: str) -> None:
    """What waited for the hold is ready again. A run that another hold covers as well is held by that at its claim."""
    count = RELEASE
    while count == RELEASE:
        count = await world.records.release_held(hold, RELEASE)
    world.bus.ring("work")


async def load_holds(world: World) -> None:
    """What is placed now, as the records have it. A hold that was placed elsewhere acts here from now on."""
    found: dict[str, Hold] = {}
    for state in ("placed", "effective"):
        cursor: str | None = None
        while True:
            page, cursor = await world.records.list_documents(None, HOLD, state, cursor, PAGE)
            found |= {hold.id: hold for hold in (_read(one.body) for one in page)}
            if cursor is None:
                break
    for id in await world.records.list_holding():
        # Lifted elsewhere, or while a run was on its way to wait for it; or the evaluation that it waited for is there.
        if id not in found and not await is_shut(world, id):
            await _release(world, id)
    new = [hold for id, hold in found.items() if id not in world.holds]
    if found or world.holds:
        world.holds = found
        gate(world)
    for hold in new:
        await _act(world, hold)
    await settle_holds(world)


async def _act(world: World, hold: Hold) -> None:
    """On the attempts of this node, and for `stop` on every live run."""
    if hold.selector.tool is not None:
        return
    if hold.effect == "stop":
        cursor: str | None = None
        while True:
            where = RunFilter(agent=hold.selector.agent, session=hold.selector.session, statuses=tuple(sorted(LIVE)))
            page = await world.records.list_runs(hold.tenant, where, cursor, PAGE)
            for run in page.items:
                if hold.selector.covers(run):
                    await request_cancel(world, run, f"on hold: {hold.reason}", rollback=False, by=hold.placed_by)
            cursor = page.next_cursor
            if cursor is None:
                break
    for live in list(world.attempts.values()):
        if live.run.tenant == hold.tenant and hold.selector.covers(live.run):
            if hold.effect == "stop":
                live.cancel(f"on hold: {hold.reason}")
            else:
                live.let_go()


async def settle_holds(world: World) -> None:
    """Holds that no live lease stands against any more become effective, and it is told how long that took."""
    for hold in list(world.holds.values()):
        if hold.status == "placed" and await _is_settled(world, hold):
            at = world.clock.now()
            found = await world.records.get_document(hold.tenant, hold.id)
            if found is None or _read(found.body).status != "placed":
                continue
            effective = replace(_read(found.body), status="effective", effective_at=at)
            try:
                took = (at - hold.placed_at) / 1e6
                await _write(world, effective, found.version, "hold.effective", "node", took_seconds=round(took, 3))
            except StateConflict:
                continue  # another node was faster, or it was lifted
            world.holds = world.holds | {hold.id: effective}


async def _is_settled(world: World, hold: Hold) -> bool:
    at = world.clock.now()
    if world.sessions.is_shared and at < hold.placed_at + 2 * RENEW_EVERY:
        return False  # other nodes read it with their next round of leases
    if hold.selector.tool is not None:
        return not any(_calls(live, hold, hold.selector.tool) for live in world.attempts.values())
    cursor: str | None = None
    while True:
        page = await world.records.list_runs(hold.tenant, RunFilter(statuses=("running",)), cursor, PAGE)
        if any(hold.selector.covers(run) and (run.lease_until or 0) > at for run in page.items):
            return False
        cursor = page.next_cursor
        if cursor is None:
            break
    return not any(
        not live.kept and live.run.tenant == hold.tenant and hold.selector.covers(live.run)
        for live in world.attempts.values()
    )


def _calls(live: LiveRun, hold: Hold, tool: str) -> bool:
    """Whether a call of the tool may be under way. Nobody tells of the calls of a run that is not kept: there it may be
    until the runs have ended that began before the hold."""
    if live.run.tenant != hold.tenant or not hold.selector.covers_call(live.run, tool):
        return False
    if live.kept:
        return tool in live.tools_at_work
    return live.began_at <= hold.placed_at and any(one.name == tool for one in live.agent.tools)


async def _write(
    world: World, hold: Hold, version: int, kind: str, by: str, beside: tuple[Statement, ...] = (), **facts: object
) -> None:
    at = world.clock.now()
    write = WriteDocument(hold.tenant, hold.id, HOLD, version, hold.status, encode(hold), at)
    try:
        await world.records.commit(Change((write, entry(hold.tenant, hold.id, at, kind, by, **facts), *beside)))
    except Conflict:
        raise StateConflict("The hold was changed by somebody else.", hint="Look at it again.", session=hold.id,
                            version=version) from None  # fmt: skip


# --- what is held -----------------------------------------------------------------------------------------------------


def hold_over(world: World, run: Run) -> Hold | None:
    """The hold that keeps this run from going on, if there is one."""
    return _first(hold for hold in world.holds.values() if hold.tenant == run.tenant and hold.selector.covers(run))


def hold_over_call(world: World, run: Run, tool: str) -> Hold | None:
    return _first(
        hold for hold in world.holds.values() if hold.tenant == run.tenant and hold.selector.covers_call(run, tool)
    )


def _first(holds: Iterable[Hold]) -> Hold | None:
    """The severest."""
    return max(holds, key=lambda hold: ("pause", "quarantine", "stop").index(hold.effect), default=None)


def refuse_held(world: World, run: Run) -> None:
    """A run that a quarantine or a stop covers is not taken in. Raises `Held`."""
    hold = hold_over(world, run) if world.holds else None
    if hold is not None and hold.effect != "pause":
        raise Held(hold=hold.id, reason=hold.reason)


async def _commit(world: World, change: Change) -> None:
    await world.records.commit(change)


async def give_back_held(world: World, claimed: Sequence[Run]) -> list[Run]:
    """Of runs that were just claimed, those that are held go back to the queue until that is lifted; the others are
    returned."""
    if not world.holds:
        return list(claimed)
    free: list[Run] = []
    for run in claimed:
        hold = hold_over(world, run)
        if hold is None:
            free.append(run)
            continue
        at = world.clock.now()
        requeue = RequeueRun(run.tenant, run.id, run.epoch, run.attempt, run.losses, None, hold.id)
        told = entry(run.tenant, run.id, at, "run.held", "node", hold=hold.id)
        body = encode({"reason": "held", "hold": hold.id, "attempt": run.attempt, "error": None})
        event = AppendEvents(run.tenant, run.id, at, 1, line("run.queued", body))
        change = Change((requeue, event, told) if run.epoch <= 1 else (requeue, told))
        with contextlib.suppress(Conflict):  # a cancel came at the same moment; the timers end it
            await persist(partial(_commit, world, change))
        world.worker.unreserve(run.agent, run.tenant)
    return free
