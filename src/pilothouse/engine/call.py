"""A run that calls another agent: the called run has an id of its own that follows from the step, so that a repeated
attempt finds it instead of starting a second one. Its end is the end of the step, in one Change (see `ending`).

The wait is durable before the called run is, and a caller is not parked between the two. So a node that dies there
leaves a run that somebody claims again, and `continue_run` starts what is missing.
"""

import asyncio

from pilothouse.domain.agent import Agent
from pilothouse.domain.ids import child_run_id
from pilothouse.domain.journal import BEGUN, ENDED, StepRow
from pilothouse.domain.principal import chain_below
from pilothouse.domain.run import Run
from pilothouse.domain.topic import origin_in
from pilothouse.domain.trace import traceparent_below
from pilothouse.engine.audit_entry import entry
from pilothouse.engine.cancel import request_cancel
from pilothouse.engine.encoding import decode, encode, error_json
from pilothouse.engine.ending import Ending, call_row
from pilothouse.engine.execution import hold_run, set_out
from pilothouse.engine.run import Started, StartRun, start_run, wait_started
from pilothouse.engine.world import AGAIN_AFTER, AGAIN_AT_MOST, World, persist, spawn
from pilothouse.errors import LimitReached, Overloaded, PilothouseError
from pilothouse.ports.change import AppendAudit
from pilothouse.ports.worker import Notebook

CALLER_ENDED = "the run that called it has ended"


def call_agent(world: World, caller: Notebook, ref: int, row: StepRow, agent: str, input: bytes) -> None:
    """The step `row` of the caller's attempt waits for a run of `agent`; that run starts once the wait is durable. The
    row keeps the whole input: a later attempt may have to start the run from it."""
    row.input = input
    caller.begin_call(ref, row, lambda: spawn(world, _start(world, caller, row)))


def continue_run(world: World, run: Run, agent: Agent) -> None:
    """Starts the next attempt at a run that this node has claimed. The place was reserved before; it is used up."""
    attempt = hold_run(world, run, agent)

    async def act() -> None:
        await set_out(attempt)
        for row in attempt.journal:
            if row.kind == "call" and row.phase == BEGUN and row.key in attempt.open_waits:
                attempt.starting.add(row.key)
                spawn(world, _start(world, attempt, row))

    spawn(world, act())


async def _start(world: World, caller: Notebook, row: StepRow) -> None:
    """Starts the called run, or finds it. Of an unkept caller, waits for its end as well: nobody else could tell."""
    try:
        started = await _insert(world, caller, row)
        if started is None:
            return
        if not caller.kept:
            await _wait_unkept(world, caller, row, started)
            return
    except PilothouseError as error:
        caller.end_wait(_failed(row, error, world.clock.now()))
        return
    caller.call_began(row.key)
    await persist(lambda: _cancel_if_late(world, caller.run, started.run))


async def _insert(world: World, caller: Notebook, row: StepRow) -> Started | None:
    """None: the attempt of the caller is over; the next one calls again. The called run is part of work that was taken
    in long ago, so what cannot be taken in now is tried again and does not fail the call."""
    run, pause = caller.run, AGAIN_AFTER
    action = caller.handed(row.key)
    while True:
        command = StartRun(
            tenant=run.tenant,
            agent=row.name,
            input=row.input or b"null",
            subject=run.subject,
            priority=run.priority,
            run_id=child_run_id(run.id, row.key) if caller.kept else None,
            wants="later" if caller.kept else "end",
            parent=run.id if caller.kept else None,
            parent_key=row.key if caller.kept else None,
            traceparent=_traceparent(world, caller),
            by=run.id,
            beside=() if action is None else (_told(world, run, row, action),),
            started_by=chain_below(run.started_by, run.agent),
            metadata=_origin(run),
        )
        try:
            await _refuse_depth(world, run)
            return await start_run(world, command)
        except Overloaded:
            if not caller.kept:
                raise
        if not _is_live(world, caller):
            return None
        await asyncio.sleep(pause)
        pause = min(pause * 2, AGAIN_AT_MOST)


def _told(world: World, run: Run, row: StepRow, action: str) -> AppendAudit:
    """The hand-off is done when the called run is durable: its entry is in the Change of that."""
    child = child_run_id(run.id, row.key)
    at, by = world.clock.now(), f"agent:{run.agent}"
    return entry(run.tenant, action, at, "action.done", by, run=run.id, step=row.key, called=child)


def _origin(run: Run) -> bytes:
    """A run below one that started at an event is as far from the first event as that."""
    publisher, hops = origin_in(run.metadata)
    if publisher is None:
        return b"{}"
    found = decode(run.metadata)
    return encode({"topic": found.get("topic"), "event": found["event"], "publisher": publisher, "hops": hops})


def _traceparent(world: World, caller: Notebook) -> str | None:
    """The called run stands below the run that called it."""
    if caller.traceparent is None and not world.is_traced:
        return None
    return traceparent_below(caller.run.id, caller.traceparent)


def _is_live(world: World, caller: Notebook) -> bool:
    live: object = world.attempts.get((caller.run.tenant, caller.run.id))
    return live is caller


async def _wait_unkept(world: World, caller: Notebook, row: StepRow, started: Started) -> None:
    """The end of the called run, unless the caller ends before: then it is nobody's."""
    run = caller.run
    live = world.attempts.get((run.tenant, run.id))
    waiting = asyncio.ensure_future(wait_started(world, started, None))
    if live is not None:
        await asyncio.wait((waiting, live.ended), return_when=asyncio.FIRST_COMPLETED)
    if live is None or (live.ended.done() and not waiting.done()):
        waiting.cancel()
        child = world.attempts.get((started.run.tenant, started.run.id))
        if child is not None:
            child.cancel(CALLER_ENDED)
        elif started.unkept is None:
            await request_cancel(world, started.run, CALLER_ENDED, rollback=False)
        return
    ended = await waiting
    ended.parent_key = row.key
    caller.end_wait(call_row(ended, Ending(ended.status, world.clock.now(), ended.output, ended.error, ended.usage)))


async def _cancel_if_late(world: World, caller: Run, child: Run) -> None:
    """The caller may have ended while the called run was on its way, and then nobody saw it to cancel it."""
    found = await world.records.get_run(caller.tenant, caller.id)
    if found is None or found.status == "succeeded" or (found.cancel_at is None and not found.is_terminal):
        return
    await request_cancel(world, child, CALLER_ENDED, rollback=False)


async def _refuse_depth(world: World, run: Run) -> None:
    depth, above = 1, run.parent
    while above is not None:
        depth += 1
        if depth >= world.limits.depth:
            raise LimitReached(what="Runs that call runs", limit=world.limits.depth)
        found = await world.records.get_run(run.tenant, above)
        above = found.parent if found is not None else None


def _failed(row: StepRow, error: PilothouseError, at: int) -> StepRow:
    return StepRow(
        key=row.key,
        kind="call",
        name=row.name,
        phase=ENDED,
        status="failed",
        error=error_json(error),
        started_at=row.started_at,
        finished_at=at,
    )
