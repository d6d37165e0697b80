"""Starting runs and asking for them: one verb for all three execution models.

What is told to a caller is durable first, except of a stateless run that nobody wants kept. A run for which this node
has a place is *born claimed*: it is inserted running, under a lease of this node, and starts with the commit; the
others wait in the records for a claim. The same Idempotency-Key finds the same run, however often and after any crash.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Literal

from msgspec import Struct

from pilothouse.domain import ids
from pilothouse.domain.agent import KEEP_ALL, Agent
from pilothouse.domain.delivery import Webhook
from pilothouse.domain.event import Segment, line
from pilothouse.domain.journal import StepRow
from pilothouse.domain.lease import lease_until
from pilothouse.domain.principal import Principal
from pilothouse.domain.run import OnBusy, Run
from pilothouse.domain.session import decide_turn
from pilothouse.engine.admission import admit
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.cancel import request_cancel
from pilothouse.engine.direct import Ask, begin_distant, has_room
from pilothouse.engine.encoding import encode, instant
from pilothouse.engine.evaluation_gate import require_evaluation
from pilothouse.engine.evidence import ready_seal
from pilothouse.engine.execution import begin_run
from pilothouse.engine.hold import hold_over, refuse_held
from pilothouse.engine.naming import ring_for
from pilothouse.engine.outbox import deliveries_of
from pilothouse.engine.review import open_question
from pilothouse.engine.unkept import InMemory, Unkept, begin_unkept
from pilothouse.engine.waiting import wait_done
from pilothouse.engine.world import World
from pilothouse.errors import (
    AgentNotFound,
    Draining,
    Held,
    IdempotencyMismatch,
    InvalidInput,
    Overloaded,
    RunExists,
    RunNotFound,
    SessionBusy,
)
from pilothouse.ports.change import (
    AppendEvents,
    AppendStep,
    Change,
    Conflict,
    InsertIdempotency,
    InsertRun,
    Receipt,
    Statement,
)
from pilothouse.ports.records import Page, RunFilter

Wants = Literal["end", "later", "stream"]


class Idempotent(Struct, frozen=True):
    """A caller's key, and the digest of the request that it stands for."""

    key: str
    digest: bytes


class StartRun(Struct, kw_only=True):
    """`wants`: whether the caller waits for the end in this connection, asks again later, or reads the events."""

    tenant: str
    agent: str
    input: bytes = b"null"
    session: str | None = None
    subject: str | None = None
    metadata: bytes = b"{}"
    priority: int = 0
    delay_seconds: float = 0.0
    deadline_seconds: float | None = None
    on_busy: OnBusy = "enqueue"
    run_id: str | None = None
    idempotency: Idempotent | None = None
    wants: Wants = "end"
    traceparent: str | None = None
    parent: str | None = None
    parent_key: str | None = None
    origin: str | None = None
    by: str = NODE
    """Who asked for it, for the audit log."""
    principal: Principal | None = None
    """The same as its key has it; None: nobody with a key asked for it."""
    started_by: str | None = None
    """Of a called run: who started the run that called it."""
    journal: list[StepRow] = []
    """Steps that the run starts with (a retry, a fork)."""
    webhook: Webhook | None = None
    beside: tuple[Statement, ...] = ()
    """What must stand with the run, in its Change. When one of these falls, `start_run` raises its `Conflict`."""


class Started(Struct):
    """`fresh` False: an earlier request with the same Idempotency-Key started it. `ended`: its attempt is here."""

    run: Run
    fresh: bool = True
    unkept: InMemory | None = None
    ended: asyncio.Future[Run | None] | None = None


def start_at_once(world: World, command: StartRun) -> Unkept | None:
    """Begins a run that is not kept, where that waits for nothing, so that its caller needs no task. None: nothing has
    begun, and `start_run` does it or tells why not."""
    agent = world.worker.find(command.agent)
    if agent is None or agent.evaluation is not None or world.is_draining or world.holds or command.session is not None:
        return None
    if isinstance(agent.keep, float) and agent.keep > 0:
        return None  # drawn there, and a second time would be another share
    if not _is_unkept(world, command, agent) or world.worker.takers(agent.name):
        return None
    if not world.worker.reserve(agent.name, command.tenant):
        return None
    run = _unkept_run(world, command, agent, world.clock.now())
    return begin_unkept(world, run, agent, command.traceparent, stream=command.wants == "stream")


async def start_run(world: World, command: StartRun) -> Started:
    """Takes in a run. A second call with the same Idempotency-Key, or the same `run_id` of a called run, finds it."""
    agent = world.worker.find(command.agent)
    if agent is None:
        raise AgentNotFound(agent=command.agent)
    if world.is_draining and command.parent is None:  # a call is part of work that was taken in before
        raise Draining()
    if command.session is not None and agent.mode == "stateless":
        fault = {"path": "$.session", "message": f"the agent {agent.name} is stateless and has no sessions"}
        raise InvalidInput(faults=[fault])
    at = world.clock.now()
    if _is_unkept(world, command, agent):
        if agent.evaluation is not None:
            await _pass_gate(world, command, agent)
        takers = world.worker.takers(agent.name)
        if not takers:
            return await _start_unkept(world, command, agent, at)
        if _fits_a_message(world, command):
            return await _start_distant(world, command, agent, at, takers)
    return await _start_kept(world, command, agent, at)


async def _pass_gate(world: World, command: StartRun, agent: Agent) -> None:
    await require_evaluation(
        world, agent, command.tenant,
        run=command.run_id, parent=command.parent, metadata=command.metadata, principal=command.principal,
    )  # fmt: skip


def _is_unkept(world: World, command: StartRun, agent: Agent) -> bool:
    if agent.mode != "stateless" or command.wants == "later" or command.idempotency is not None:
        return False
    if command.delay_seconds > 0 or command.origin is not None or command.webhook is not None:
        return False
    if command.run_id is not None:
        return False  # who chooses the id of a run wants to find or cancel it by that
    keep = agent.keep
    if isinstance(keep, str):
        return True
    return keep < KEEP_ALL and (keep <= 0 or world.entropy.draw() >= keep)


# --- not kept -------------------------------------------------------------------------------------------------------

WAIT_FOR_PLACE = 10.0
"""Seconds a stateless request waits for a place before it is refused."""


async def _start_unkept(world: World, command: StartRun, agent: Agent, at: int) -> Started:
    run = _unkept_run(world, command, agent, at)
    unkept = await _place(world, run, agent, command.traceparent, is_stream=command.wants == "stream", waits=True)
    return Started(run, True, unkept, unkept.ended)


def _unkept_run(world: World, command: StartRun, agent: Agent, at: int) -> Run:
    return Run(
        tenant=command.tenant,
        id=ids.run_id(at, world.entropy.bits()),
        agent=agent.name,
        release=agent.release,
        mode="stateless",
        subject=command.subject,
        status="running",
        priority=command.priority,
        input=command.input,
        metadata=command.metadata,
        epoch=1,
        parent=command.parent,
        parent_key=command.parent_key,
        created_at=at,
        started_at=at,
        deadline_at=_deadline(command, at),
        started_by=command.started_by or command.by,
    )


async def _place(
    world: World, run: Run, agent: Agent, traceparent: str | None, *, is_stream: bool, waits: bool
) -> Unkept:
    """Stateless callers wait in line for a short time, in order, and no longer than callers like to wait."""
    if world.holds and (hold := hold_over(world, run)) is not None:
        raise Held(hold=hold.id, reason=hold.reason)
    if not world.worker.reserve(agent.name, run.tenant) and not (
        waits and await world.worker.wait_place(agent.name, run.tenant, WAIT_FOR_PLACE)
    ):
        raise Overloaded()
    return begin_unkept(world, run, agent, traceparent, stream=is_stream)


def _fits_a_message(world: World, command: StartRun) -> bool:
    said = (command.input, command.metadata, command.subject, command.agent, command.tenant, command.by)
    return has_room(world, *said, command.started_by, command.traceparent)


async def _start_distant(world: World, command: StartRun, agent: Agent, at: int, takers: Sequence[str]) -> Started:
    """A worker elsewhere does the run, and nothing of it is kept there either."""
    run = _unkept_run(world, command, agent, at)
    if world.holds and (hold := hold_over(world, run)) is not None:
        raise Held(hold=hold.id, reason=hold.reason)
    is_stream = command.wants == "stream"
    distant = await begin_distant(world, run, agent, command.traceparent, takers, is_stream=is_stream)
    return Started(run, True, distant, distant.ended)


async def place_run(world: World, ask: Ask) -> Unkept:
    """Begins a run that another node asks this one to do. Raises why not; then nothing has begun."""
    agent = world.worker.find(ask.agent)
    if agent is None or world.worker.takers(ask.agent):
        raise AgentNotFound(agent=ask.agent)
    if world.is_draining:
        raise Draining()
    command = StartRun(
        tenant=ask.tenant, agent=ask.agent, input=ask.input, subject=ask.subject, metadata=ask.metadata,
        started_by=ask.started_by,
    )  # fmt: skip
    if agent.evaluation is not None:
        await _pass_gate(world, command, agent)
    run = _unkept_run(world, command, agent, world.clock.now())
    run.id, run.deadline_at = ask.run, ask.deadline_at
    return await _place(world, run, agent, ask.traceparent, is_stream=ask.is_stream, waits=ask.waits)


# --- kept -----------------------------------------------------------------------------------------------------------


async def _start_kept(world: World, command: StartRun, agent: Agent, at: int) -> Started:
    repeat = await _find_repeat(world, command, at)
    if repeat is not None:
        return repeat
    if agent.evaluation is not None:
        await _pass_gate(world, command, agent)
    if not _surely_fits(agent, command.input) and command.origin is None:
        faults = await world.worker.check(agent.name, command.input)
        if faults:
            raise InvalidInput(faults=faults)
    await ready_seal(world, command.tenant, command.subject)
    if agent.mode == "session" and command.session is None:
        command.session = f"s_{world.entropy.bits():016x}"
    if command.session is not None and command.on_busy in ("enqueue", "reject"):
        await _look_for_way(world, command, agent)
    run_id = command.run_id or ids.run_id(at, world.entropy.bits())
    is_claimed = (
        command.delay_seconds <= 0
        and not _is_held(world, command, agent, run_id, at)
        and world.worker.reserve(agent.name, command.tenant)
    )
    if not is_claimed and command.parent is None:
        admit(world, command.tenant, agent.name, at)
    run = _new_run(world, command, agent, run_id, at, is_claimed)
    entry = Entry(world, run, agent, is_claimed, command.traceparent)
    world.records.submit(_insertion(world, command, run), entry.came)
    try:
        started = await entry.started
    except Conflict as fell:
        return await _explain(world, command, run_id, fell, at)
    if run.session is not None and run.status == "queued":
        await _interrupt(world, command, run)
        if command.on_busy == "enqueue":
            await _tell_question(world, run)
    if command.run_id is not None and run.status == "queued":
        started.run = await _apply_early_cancel(world, run)
    return started


def _is_held(world: World, command: StartRun, agent: Agent, run_id: str, at: int) -> bool:
    """Whether the run is to wait in the queue because of a hold. Raises `Held` when it is not taken in at all."""
    if not world.holds:
        return False
    run = _new_run(world, command, agent, run_id, at, False)
    refuse_held(world, run)
    return hold_over(world, run) is not None


def _surely_fits(agent: Agent, input: bytes) -> bool:
    """Whether the input fits without asking a host. Escapes are left to the host: not all of them make a string."""
    return agent.free_input or (agent.text_input and input[:1] == b'"' and b"\\u" not in input)


class Entry:
    """A run on its way into the records. What follows from its insertion is done when that is durable, also when the
    caller has gone meanwhile: a run that was born claimed begins, and a place that it does not need is given back."""

    def __init__(self, world: World, run: Run, agent: Agent, is_claimed: bool, traceparent: str | None) -> None:
        self._world, self._run, self._agent, self._is_claimed = world, run, agent, is_claimed
        self._traceparent = traceparent
        self.started: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self._count(1)

    def _count(self, step: int) -> None:
        run = self._run
        if run.session is not None:
            name = (run.tenant, run.agent, run.session)
            self._world.entering[name] = self._world.entering.get(name, 0) + step
            if not self._world.entering[name]:
                del self._world.entering[name]

    def came(self, result: Receipt | Conflict | Exception) -> None:
        world, run, started = self._world, self._run, Started(self._run)
        self._count(-1)
        if not isinstance(result, Receipt):
            if self._is_claimed:
                world.worker.unreserve(run.agent, run.tenant)
            if not self.started.done():
                self.started.set_exception(result)
            return
        run.status = result.status  # type: ignore[assignment]
        if run.status == "running":
            started.ended = begin_run(world, run, self._agent, self._traceparent).ended
        else:
            if self._is_claimed:
                world.worker.unreserve(run.agent, run.tenant)
                run.epoch, run.owner, run.lease_until, run.started_at = 0, None, None, None
            world.queued += 1
            world.taken_in += 1
            world.backlogs.take_in(run.tenant)
            if run.due_at is not None:
                world.bus.ring("timer", run.agent)
            else:
                ring_for(world, run.tenant, run.agent, run.session)
        if not self.started.done():
            self.started.set_result(started)


def _new_run(world: World, command: StartRun, agent: Agent, run_id: str, at: int, is_claimed: bool) -> Run:
    due_at = at + round(command.delay_seconds * 1e6) if command.delay_seconds > 0 else None
    return Run(
        tenant=command.tenant,
        id=run_id,
        agent=agent.name,
        release=agent.release,
        mode=agent.mode,
        session=command.session,
        subject=command.subject,
        status="running" if is_claimed else "queued",
        priority=command.priority,
        input=command.input,
        metadata=command.metadata,
        epoch=1 if is_claimed else 0,
        owner=world.worker.owner if is_claimed else None,
        lease_until=lease_until(at) if is_claimed else None,
        ready=due_at is None,
        due_at=due_at,
        deadline_at=_deadline(command, at),
        parent=command.parent,
        parent_key=command.parent_key,
        origin=command.origin,
        created_at=at,
        started_at=at if is_claimed else None,
        webhook=None if command.webhook is None else encode(command.webhook),
        started_by=command.started_by or command.by,
    )


def _insertion(world: World, command: StartRun, run: Run) -> Change:
    at, due_at = run.created_at, run.due_at
    statements: list[Statement] = []
    if command.idempotency is not None:
        until = at + round(world.limits.idempotency_ttl * 1e6)
        key = command.idempotency
        statements.append(InsertIdempotency(run.tenant, key.key, key.digest, run.id, at, until))
    insert = InsertRun(
        run.tenant, run.id, run.agent, run.release, run.mode, run.session, run.subject, run.status, run.priority,
        run.input, run.metadata, run.attempt, run.epoch, run.owner, run.lease_until, run.ready, run.due_at,
        run.deadline_at, run.parent, run.parent_key, run.origin, run.created_at, run.started_at, run.webhook,
        run.started_by,
    )  # fmt: skip
    statements.append(insert)
    statements.extend(AppendStep(run.tenant, run.id, row) for row in command.journal)
    body: dict[str, object] = {"agent": run.agent}
    if due_at is not None:
        body["due_at"] = instant(due_at)
    if command.traceparent is not None:
        body["traceparent"] = command.traceparent
    queued = line("run.queued", encode(body))
    statements.append(AppendEvents(run.tenant, run.id, at, 1, queued))
    statements += deliveries_of(world, run, at, (queued,))
    statements += command.beside
    digest = partial(world.seals.digest, run.tenant, run.subject)
    statements.append(
        entry(
            run.tenant, run.id, at, "run.queued", command.by, agent=run.agent, release=run.release, mode=run.mode,
            input=digest(run.input), session=digest(run.session), subject=digest(run.subject), parent=run.parent,
            origin=run.origin,
        )
    )  # fmt: skip
    return Change(tuple(statements))


async def _find_repeat(world: World, command: StartRun, at: int) -> Started | None:
    if command.idempotency is None:
        return None
    found = await world.records.find_idempotency(command.tenant, command.idempotency.key, at)
    if found is None:
        return None
    if found.digest != command.idempotency.digest:
        raise IdempotencyMismatch(key=command.idempotency.key)
    live = world.attempts.get((command.tenant, found.run))
    run = await get_run(world, command.tenant, found.run)
    return Started(run, False, None, live.ended if live is not None else None)


async def _explain(world: World, command: StartRun, run_id: str, fell: Conflict, at: int) -> Started:
    """An insert fell: somebody was faster with the same key, or the id is taken."""
    repeat = await _find_repeat(world, command, at)
    if repeat is not None:
        return repeat
    if command.parent is not None:
        return Started(await get_run(world, command.tenant, run_id), False)
    if fell.statement not in ("insert_run", "insert_idempotency"):
        raise fell
    raise RunExists(run=run_id) from fell


async def _look_for_way(world: World, command: StartRun, agent: Agent) -> None:
    """Refuses a turn that wants no other before it, and one too many in line; the insert puts the others in line."""
    assert command.session is not None
    if command.on_busy == "enqueue" and world.queued < world.limits.session_queue:
        return
    turns = await world.records.list_live_turns(command.tenant, agent.name, command.session)
    in_line = len(turns) + world.entering.get((command.tenant, agent.name, command.session), 0)
    match decide_turn(command.on_busy, in_line > 0):
        case "wait" if in_line >= world.limits.session_queue:
            raise Overloaded(f"The session {command.session!r} has {in_line} turns in line.")
        case "refuse":
            asked = await open_question(world, turns)
            hint = None if asked is None else f"A question is open ({asked.id}): decide it, then send the turn again."
            raise SessionBusy(session=command.session, hint=hint)


async def _tell_question(world: World, run: Run) -> None:
    """A turn that stands behind a question is told of it: whoever sent it can see why nothing happens, and decide."""
    assert run.session is not None
    turns = await world.records.list_live_turns(run.tenant, run.agent, run.session)
    asked = await open_question(world, turns)
    if asked is not None:
        body = encode({"review": asked.id, "of": asked.run, "question": asked.question})
        event = AppendEvents(run.tenant, run.id, world.clock.now(), 1, line("review.pending", body))
        await world.records.commit(Change((event,)))


async def _interrupt(world: World, command: StartRun, run: Run) -> None:
    """The turn stands in line. If it wants so, those before it that have begun end; its place is durable before."""
    if decide_turn(command.on_busy, True) not in ("interrupt", "rollback"):
        return
    assert run.session is not None
    for turn in await world.records.list_live_turns(run.tenant, run.agent, run.session):
        if turn.id == run.id:
            return
        if turn.status != "queued" or turn.started_at is not None:
            is_rollback = command.on_busy == "rollback"
            await request_cancel(world, turn, "a newer turn took its place", rollback=is_rollback)


async def _apply_early_cancel(world: World, run: Run) -> Run:
    """A cancel of an id that the caller chose may have come before the run."""
    found = await get_run(world, run.tenant, run.id)
    if found.cancel_at is None or found.is_terminal:
        return found
    await request_cancel(world, found, found.cancel_reason or "asked by a caller", rollback=False)
    return await get_run(world, run.tenant, run.id)


def _deadline(command: StartRun, at: int) -> int | None:
    return None if command.deadline_seconds is None else at + round(command.deadline_seconds * 1e6)


# --- asking ---------------------------------------------------------------------------------------------------------


async def get_run(world: World, tenant: str, run: str) -> Run:
    """The run as it is now. Raises `RunNotFound`, also for a run of another tenant."""
    found = await world.records.get_run(tenant, run)
    if found is None:
        live = world.attempts.get((tenant, run))
        if live is None:
            raise RunNotFound(run=run)
        return live.run
    return found


async def wait_started(world: World, started: Started, within: float | None) -> Run:
    """The run at its end, or as it is when `within` seconds are over. Raises what a stateless run was refused for."""
    ended, until = started.ended, None
    if ended is not None:
        if within is None:
            run = await asyncio.shield(ended) if started.unkept is None else await ended
        else:
            until = asyncio.get_running_loop().time() + within
            if not await wait_done(ended, within):
                return started.run
            run = ended.result()
        if started.unkept is not None and started.unkept.problem is not None:
            raise started.unkept.problem
        if run is not None:
            return run
    elif started.run.is_terminal:
        return started.run
    left = within if until is None else max(0.0, until - asyncio.get_running_loop().time())
    return await wait_run(world, started.run.tenant, started.run.id, left)


async def wait_run(world: World, tenant: str, run: str, within: float | None) -> Run:
    """Like `wait_started`, for a run that was started before. The records are asked again at each terminal event, and
    now and then, since a bus may lose one."""
    loop = asyncio.get_running_loop()
    until = None if within is None else loop.time() + within
    live = world.attempts.get((tenant, run))
    if live is not None and live.kept and await wait_done(live.ended, within) and not live.ended.cancelled():
        ended = live.ended.result()  # most runs end in the attempt that they are in
        if ended is not None:
            return ended
    while True:
        bell: asyncio.Future[None] = loop.create_future()
        stop = world.bus.watch(tenant, run, partial(_ring_at_end, bell))
        try:
            found = await get_run(world, tenant, run)
            left = None if until is None else until - loop.time()
            if found.is_terminal or (left is not None and left <= 0):
                return found
            await wait_done(bell, LOOK_AGAIN_EVERY if left is None else min(left, LOOK_AGAIN_EVERY))
        finally:
            stop()


def _ring_at_end(bell: asyncio.Future[None], segment: Segment) -> None:
    if segment.is_terminal and not bell.done():
        bell.set_result(None)


LOOK_AGAIN_EVERY = 5.0
"""Seconds after which a waiting verb reads the records although nothing was rung."""


async def list_runs(world: World, tenant: str, where: RunFilter, cursor: str | None, limit: int) -> Page:
    return await world.records.list_runs(tenant, where, cursor, limit)
