"""Schedules as verbs: made, looked at, paused, fired by hand, and fired by the clock, effective once (I9).

A schedule is a document with a version. Its firing is one Change: the run, whose id follows from the schedule and the
instant, and the document that moves on. Two nodes that fire the same instant write the same version, and one falls.
"""

from collections.abc import Mapping, Sequence

from msgspec import json
from msgspec.structs import replace

from pilothouse.domain.run import Run
from pilothouse.domain.schedule import AT_ONCE, QUEUE_LIMIT, Plan, Schedule, firing_run_id, jitter, plan
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.cancel import request_cancel
from pilothouse.engine.cron import check_rule, last_before, next_after
from pilothouse.engine.encoding import encode, instant
from pilothouse.engine.run import StartRun, start_run
from pilothouse.engine.world import World
from pilothouse.errors import (
    AgentNotFound,
    Draining,
    HostUnavailable,
    Overloaded,
    PilothouseError,
    RecordsUnavailable,
    RunExists,
    ScheduleExists,
    ScheduleNotFound,
    ScheduleRefused,
)
from pilothouse.ports.change import Change, Conflict, Statement, WriteDocument
from pilothouse.ports.records import Document

KIND = "schedule"
ACTIVE, PAUSED = "active", "paused"
BELL = "schedule"
PAGE = 200
TRIES = 20
AGAIN = 1_000_000
"""Microseconds until a schedule is looked at again that could not fire, or whose firings wait for a run to end."""

_decode = json.Decoder(Schedule).decode


def _id(name: str) -> str:
    return f"schedule/{name}"


def read(document: Document) -> Schedule:
    return _decode(document.body)


def _write(document: Document, schedule: Schedule | None, at: int, state: str | None = None) -> WriteDocument:
    body = None if schedule is None else encode(schedule)
    return WriteDocument(document.tenant, document.id, KIND, document.version, state or document.state, body, at)


# --- made, looked at, changed -----------------------------------------------------------------------------------------


async def make_schedule(world: World, tenant: str, schedule: Schedule, by: str) -> Document:
    """A new one, active. Raises `ScheduleRefused` for a rule that cannot be, `AgentNotFound`, `ScheduleExists`."""
    try:
        check_rule(schedule.rule)
    except ValueError as fault:
        raise ScheduleRefused(reason=str(fault)) from None
    if world.worker.find(schedule.agent) is None:
        raise AgentNotFound(agent=schedule.agent)
    at = world.clock.now()
    made = replace(schedule, made_at=at, made_by=by, next_at=next_after(schedule.rule, at)(at))
    write = WriteDocument(tenant, _id(schedule.name), KIND, 0, ACTIVE, encode(made), at)
    told = entry(tenant, _id(schedule.name), at, "schedule.made", by, agent=schedule.agent)
    try:
        await world.records.commit(Change((write, told)))
    except Conflict:
        raise ScheduleExists(schedule=schedule.name) from None
    world.bus.ring(BELL)
    return await get_schedule(world, tenant, schedule.name)


async def get_schedule(world: World, tenant: str, name: str) -> Document:
    found = await world.records.get_document(tenant, _id(name))
    if found is None:
        raise ScheduleNotFound(schedule=name[:80])
    return found


async def list_schedules(
    world: World, tenant: str, cursor: str | None, limit: int
) -> tuple[Sequence[Document], str | None]:
    return await world.records.list_documents(tenant, KIND, None, cursor, limit)


def next_firings(schedule: Schedule, count: int) -> list[int]:
    """The instants of the next firings, with their jitter."""
    found: list[int] = []
    find = next_after(schedule.rule, schedule.made_at)
    at = schedule.next_at
    while at is not None and len(found) < count:
        found.append(at + jitter(schedule, at))
        at = find(at)
    return found


async def pause_schedule(world: World, tenant: str, name: str, by: str) -> Document:
    """It fires no more until it is resumed. A second call does nothing."""
    return await _change(world, tenant, name, PAUSED, by)


async def resume_schedule(world: World, tenant: str, name: str, by: str) -> Document:
    """It fires again, from now on: what passed meanwhile was not missed. A second call does nothing."""
    return await _change(world, tenant, name, ACTIVE, by)


async def _change(world: World, tenant: str, name: str, state: str, by: str) -> Document:
    for _ in range(TRIES):
        found = await get_schedule(world, tenant, name)
        if found.state == state:
            return found
        at, schedule = world.clock.now(), read(found)
        if state == ACTIVE:
            schedule.next_at = next_after(schedule.rule, schedule.made_at)(at)
        told = entry(tenant, found.id, at, f"schedule.{'paused' if state == PAUSED else 'resumed'}", by)
        try:
            await world.records.commit(Change((_write(found, schedule, at, state), told)))
        except Conflict:
            continue
        world.bus.ring(BELL)
        return await get_schedule(world, tenant, name)
    raise Overloaded()


async def delete_schedule(world: World, tenant: str, name: str, by: str) -> None:
    """It is gone; runs that it has started go on."""
    for _ in range(TRIES):
        found = await get_schedule(world, tenant, name)
        at = world.clock.now()
        try:
            await world.records.commit(
                Change((_write(found, None, at), entry(tenant, found.id, at, "schedule.deleted", by)))
            )
            return
        except Conflict:
            continue
    raise Overloaded()


async def run_schedule(world: World, tenant: str, name: str, by: str) -> Run:
    """Fires it now, beside its rule, whatever runs: somebody asked for it."""
    found = await get_schedule(world, tenant, name)
    at, schedule = world.clock.now(), read(found)
    command = _command(world, tenant, schedule, at)
    command.run_id, command.by, command.started_by = None, by, by
    return (await start_run(world, command)).run


async def keep_schedules(world: World, wanted: Mapping[str, Sequence[Schedule]]) -> None:
    """Brings the schedules of the settings file, by tenant, into the records: new and changed ones are written, those
    that the file has no more are removed, of whatever tenant. What the API made stays. A paused one stays paused."""
    there: dict[tuple[str, str], Document] = {}
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(None, KIND, None, cursor, PAGE)
        there |= {(one.tenant, read(one).name): one for one in page if read(one).origin == "file"}
        if cursor is None:
            break
    at = world.clock.now()
    for tenant, schedule in ((tenant, one) for tenant, some in wanted.items() for one in some):
        known = there.pop((tenant, schedule.name), None)
        made = replace(schedule, origin="file", made_at=at, next_at=next_after(schedule.rule, at)(at))
        if known is not None:
            before = read(known)
            if _rule_of(before) == _rule_of(made):
                continue
            made = replace(made, last_at=before.last_at, last_run=before.last_run)
            write = _write(known, made, at)
        else:
            write = WriteDocument(tenant, _id(schedule.name), KIND, 0, ACTIVE, encode(made), at)
        await _commit_quietly(world, write)
    for gone in there.values():
        await _commit_quietly(world, _write(gone, None, at))
    world.bus.ring(BELL)


async def _commit_quietly(world: World, write: WriteDocument) -> None:
    """Another node that starts with the same file may have been faster."""
    told = entry(write.tenant, write.id, write.at, "schedule.set", NODE)
    try:
        await world.records.commit(Change((write, told)))
    except Conflict:
        return


def _rule_of(schedule: Schedule) -> bytes:
    """What the file says of it, without what became of it, as it is after a way through the records."""
    bare = replace(schedule, next_at=None, last_at=None, last_run=None, waiting=[], left_out=0, problem=None, made_at=0)
    return encode(_decode(encode(bare)))


# --- fired by the clock -----------------------------------------------------------------------------------------------


async def fire_due(world: World) -> int | None:
    """Fires everything that is due. The instant of the next firing, None when there is none."""
    soonest: int | None = None
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(None, KIND, ACTIVE, cursor, PAGE)
        for document in page:
            at = await _look_at(world, document)
            if at is not None and (soonest is None or at < soonest):
                soonest = at
        if cursor is None:
            return soonest


async def _look_at(world: World, document: Document) -> int | None:
    """Fires what is due of one schedule, one firing after the other. When it is to be looked at again."""
    now, schedule = world.clock.now(), read(document)
    for _ in range(AT_ONCE):
        rule, made_at = schedule.rule, schedule.made_at
        found = plan(schedule, now, next_after(rule, made_at), last_before(rule, made_at))
        lives = schedule.last_run is not None and await _lives(world, document.tenant, schedule.last_run)
        if found.next_at == schedule.next_at and (lives or not schedule.waiting):
            break
        if not await _fire(world, document, schedule, found, lives):
            return now + AGAIN
        again = await world.records.get_document(document.tenant, document.id)
        if again is None or again.state != ACTIVE:
            return None
        document, schedule, now = again, read(again), world.clock.now()
    soonest = [now + AGAIN] if schedule.waiting else []
    if schedule.next_at is not None:
        soonest.append(schedule.next_at + jitter(schedule, schedule.next_at))
    return min(soonest, default=None)


async def _fire(world: World, document: Document, schedule: Schedule, found: Plan, lives: bool) -> bool:
    """Starts the first of the firings, and moves the schedule on as far as that; the next look does the others. False:
    somebody else did, or this node can take nothing in now."""
    firings, waiting, left_out, next_at = found.firings, list(schedule.waiting), found.left_out, found.next_at
    if schedule.overlap == "queue":
        waiting += firings
        firings = [] if lives or not waiting else [waiting.pop(0)]
        left_out += max(0, len(waiting) - QUEUE_LIMIT)
        waiting = waiting[:QUEUE_LIMIT]
    elif schedule.overlap == "skip" and lives:
        left_out, firings = left_out + len(firings), []
    if len(firings) > 1:
        next_at = firings[1]
    moved = replace(schedule, next_at=next_at, waiting=waiting, left_out=schedule.left_out + left_out)
    if not firings:
        return await _move(world, document, moved)
    if schedule.overlap == "replace" and lives:
        await _replace(world, document.tenant, schedule.last_run or "")
    return await _start(world, document, moved, firings[0])


async def _start(world: World, document: Document, moved: Schedule, at: int) -> bool:
    command = _command(world, document.tenant, moved, at)
    moved.last_at, moved.last_run, moved.problem = at, command.run_id, None
    command.beside = (_write(document, moved, world.clock.now()),)
    try:
        await start_run(world, command)
        return True
    except (Draining, Overloaded, HostUnavailable, RecordsUnavailable):
        return False  # it stays due
    except Conflict:
        return False
    except RunExists:  # an earlier life of a schedule of this name fired the same instant
        return await _move(world, document, moved)
    except PilothouseError as fault:
        moved.last_run, moved.problem = None, f"{fault.code}: {fault.message}"
        moved.left_out += 1
        return await _move(world, document, moved)


async def _move(world: World, document: Document, moved: Schedule) -> bool:
    statements: tuple[Statement, ...] = (_write(document, moved, world.clock.now()),)
    try:
        await world.records.commit(Change(statements))
    except Conflict:
        return False
    return True


def _command(world: World, tenant: str, schedule: Schedule, at: int) -> StartRun:
    metadata = {**schedule.metadata, "schedule": schedule.name, "scheduled_at": instant(at)}
    return StartRun(
        tenant=tenant,
        agent=schedule.agent,
        input=bytes(schedule.input),
        session=schedule.session,
        subject=schedule.subject,
        metadata=encode(metadata),
        run_id=firing_run_id(tenant, schedule.name, at),
        wants="later",
        by=f"schedule:{schedule.name}",
        started_by=schedule.made_by or None,
    )


async def _lives(world: World, tenant: str, run: str) -> bool:
    found = await world.records.get_run(tenant, run)
    return found is not None and not found.is_terminal


async def _replace(world: World, tenant: str, run: str) -> None:
    found = await world.records.get_run(tenant, run)
    if found is not None:
        await request_cancel(world, found, "the next firing of its schedule took its place", rollback=False)
