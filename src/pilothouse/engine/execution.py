"""How attempts begin, and what they come to: an end, another try, or a wait.

`hold_run` makes a claimed (or born claimed) run known to this node, `set_out` puts it into the hands of the worker.
What the host says at the end of an attempt becomes an outcome here, decided with the pure rules of `domain`; `attempt`
hands it over with everything else that was told, so that the end of a run and its last events are one Change.
"""

from functools import partial

from msgspec import Struct

from pilothouse.domain.agent import Agent
from pilothouse.domain.event import line
from pilothouse.domain.journal import StepRow
from pilothouse.domain.run import Run
from pilothouse.domain.session import Session, Trail, Turn
from pilothouse.engine.attempt import Attempt
from pilothouse.engine.attempt_change import Ends, Outcome
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.cancel import cancel_children, ring_parent
from pilothouse.engine.encoding import encode, error_json, instant, raw
from pilothouse.engine.ending import Ending, ending_acts, terminal_line
from pilothouse.engine.evaluation_gate import gate_of, may_begin
from pilothouse.engine.evidence import ready_seal
from pilothouse.engine.naming import ring_for
from pilothouse.engine.sample import chosen_rows
from pilothouse.engine.trace import read_traceparent
from pilothouse.engine.world import World, persist, spawn
from pilothouse.errors import (
    Cancelled,
    DeadlineExceeded,
    HostLost,
    InvalidInput,
    PilothouseError,
    ReleaseChanged,
    StateConflict,
)
from pilothouse.ports.change import Conflict, FinishRun, ParkRun, Receipt, RequeueRun, Statement


class End(Outcome):
    """The run ends."""

    leaves_waiting = False

    def __init__(self, ending: Ending) -> None:
        self.ending = ending

    def statements(self, attempt: Attempt, at: int) -> tuple[list[Statement], bytes]:
        run, ending = attempt.run, self.ending
        attempt.attest_unknown()
        ending.at = at
        ending.usage = run.usage
        ending.digest = attempt.world.seals.digest(run.tenant, run.subject, ending.output)
        acts, rows = ending_acts(run, ending)
        if attempt.world.plans and ending.status == "succeeded":
            rows += chosen_rows(attempt.world, run, ending.output, at)
        end = FinishRun(run.tenant, run.id, run.epoch, ending.status, ending.output, ending.error, ending.usage, at)
        return [end, *acts, *rows], terminal_line(ending)

    def done(self, attempt: Attempt, receipt: Receipt) -> None:
        world, run, ending = attempt.world, attempt.run, self.ending
        run.status = ending.status  # type: ignore[assignment]
        run.output, run.error, run.finished_at = ending.output, ending.error, ending.at
        run.owner = run.lease_until = None
        if run.session is not None:
            _remember_turn(attempt, ending)
            if world.queued or (run.tenant, run.agent, run.session) in world.entering:  # a turn waits
                if world.is_draining:
                    world.bus.ring("work", run.agent)
                else:
                    ring_for(world, run.tenant, run.agent, run.session)
        attempt.leave(run)
        if run.parent is not None:
            ring_parent(world, run.tenant, run.parent)
        if ending.status != "succeeded" and attempt.has_calls:
            spawn(world, persist(partial(cancel_children, world, run.tenant, run.id)))

    def fell(self, attempt: Attempt, conflict: Conflict) -> None:
        match conflict.statement:
            case "resolve_step" | "wake_run":
                self.ending.tells_parent = False
                attempt.come_to_instead(self)
            case "take_turn":
                session = attempt.run.session or ""
                error = error_json(StateConflict(session=session, version="another"))
                _forget_session(attempt)
                attempt.come_to_instead(End(Ending("failed", 0, error=error)))
            case _:
                spawn(attempt.world, _look_again(attempt))


class Requeue(Outcome):
    """The run goes back to the queue: for another attempt, or as it was."""

    leaves_waiting = False

    def __init__(
        self,
        reason: str,
        attempt: int,
        losses: int,
        delay: float = 0.0,
        error: bytes | None = None,
        held: str | None = None,
    ) -> None:
        """`held`: the hold that it waits for."""
        self.reason, self.attempt, self.losses, self.delay, self.error = reason, attempt, losses, delay, error
        self.held = held

    def statements(self, attempt: Attempt, at: int) -> tuple[list[Statement], bytes]:
        run = attempt.run
        due_at = at + round(self.delay * 1e6) if self.delay > 0 else None
        body = {"reason": self.reason, "attempt": self.attempt, "error": raw(self.error)}
        statement = RequeueRun(run.tenant, run.id, run.epoch, self.attempt, self.losses, due_at, self.held)
        facts = {"reason": self.reason, "attempt": self.attempt, "hold": self.held}
        told = entry(run.tenant, run.id, at, "run.requeued", NODE, **facts)
        return [statement, told], line("run.queued", encode(body))

    def done(self, attempt: Attempt, receipt: Receipt) -> None:
        attempt.leave(None)
        attempt.world.bus.ring("timer" if self.delay > 0 else "work", attempt.run.agent)

    def fell(self, attempt: Attempt, conflict: Conflict) -> None:
        spawn(attempt.world, _look_again(attempt))


class Park(Outcome):
    """The run waits; nothing of it stays in memory."""

    leaves_waiting = True

    def __init__(self, due_at: int | None) -> None:
        self.due_at = due_at

    def statements(self, attempt: Attempt, at: int) -> tuple[list[Statement], bytes]:
        run = attempt.run
        body = {"waits": sorted(attempt.open_waits), "due_at": instant(self.due_at)}
        told = entry(run.tenant, run.id, at, "run.waiting", NODE, waits=body["waits"])
        return [ParkRun(run.tenant, run.id, run.epoch, attempt.wakes, self.due_at), told], line(
            "run.waiting", encode(body)
        )

    def done(self, attempt: Attempt, receipt: Receipt) -> None:
        attempt.leave(None)
        if receipt.status == "queued":  # an answer, or a wish to cancel, overtook it
            attempt.world.bus.ring("work", attempt.run.agent)
            attempt.world.bus.ring("timer")
        elif self.due_at is not None:
            attempt.world.bus.ring("timer", attempt.run.agent)

    def fell(self, attempt: Attempt, conflict: Conflict) -> None:
        spawn(attempt.world, _look_again(attempt))


class Rules(Ends):
    """The words of a host, decided."""

    def finished(self, attempt: Attempt, output: bytes, state: bytes | None, trail: Trail | None) -> Outcome:
        ending = Ending("succeeded", 0, output=output)
        if attempt.run.session is not None:
            session = attempt.session
            ending.keeps_turn = True
            ending.version = session.version if session is not None else 0
            ending.state = state
            ending.trail = trail
            ending.expires_at = _session_end(attempt)
        return End(ending)

    def failed(self, attempt: Attempt, error: bytes, kinds: list[str], retryable: bool) -> Outcome:
        run, retry = attempt.run, attempt.agent.retry
        if retryable and retry.covers(tuple(kinds)):
            delay = retry.delay_before(run.attempt, attempt.world.entropy.draw())
            if delay is not None:
                return Requeue("retry", run.attempt + 1, 0, delay, error)
        return End(Ending("failed", 0, error=error))

    def parked(self, attempt: Attempt, due_at: int | None) -> Outcome:
        return Park(due_at)

    def rejected(self, attempt: Attempt, faults: bytes) -> Outcome:
        plain = InvalidInput(faults=[])
        body = {"code": plain.code, "message": plain.message, "hint": plain.hint, "faults": raw(faults)}
        return End(Ending("failed", 0, error=encode(body)))

    def lost(self, attempt: Attempt) -> Outcome:
        run = attempt.run
        losses = 1 if attempt.has_progress else run.losses + 1
        if losses >= attempt.world.limits.losses:
            return End(Ending("failed", 0, error=error_json(HostLost(losses=losses))))
        return Requeue("host_lost", run.attempt + 1, losses)

    def handed_back(self, attempt: Attempt) -> Outcome:
        return Requeue("handed_back", attempt.run.attempt, attempt.run.losses)

    def held(self, attempt: Attempt, hold: str) -> Outcome:
        return Requeue("held", attempt.run.attempt, attempt.run.losses, held=hold)

    def cancelled(self, attempt: Attempt, reason: str, rollback: bool) -> Outcome:
        keeps_turn = attempt.run.session is not None and not rollback
        return End(
            Ending(
                "cancelled",
                0,
                error=error_json(Cancelled(reason=reason)),
                keeps_turn=keeps_turn,
                expires_at=_session_end(attempt),
            )
        )

    def expired(self, attempt: Attempt) -> Outcome:
        return End(Ending("failed", 0, error=error_json(DeadlineExceeded())))

    def refused(self, attempt: Attempt) -> Outcome:
        return End(Ending("failed", 0, error=error_json(PilothouseError())))

    def broken(self, attempt: Attempt) -> Outcome:
        return End(Ending("failed", 0, error=error_json(PilothouseError("The records refused what the run did."))))


RULES = Rules()


class Beginning(Struct):
    """What an attempt starts from, read after its claim."""

    journal: list[StepRow]
    session: Session | None
    turns: list[Turn]
    trails: list[Trail]


async def read_beginning(world: World, run: Run, agent: Agent) -> Beginning:
    await ready_seal(world, run.tenant, run.subject)
    # A first attempt has no journal, but for the signals that came before it: each of them has woken the run.
    has_none = run.epoch <= 1 and run.origin is None and run.wakes == 0
    journal = [] if has_none else await world.records.load_journal(run.tenant, run.id)
    if run.session is None:
        return Beginning(journal, None, [], [])
    name = _session_name(run)
    known = world.sessions.get(name)
    if known is None:
        session = await world.records.get_session(*name)
        if session is None:
            session = Session(tenant=run.tenant, agent=run.agent, key=run.session)
        past = world.sessions.recall(name, session)
        if past is None:
            turns = await world.records.list_turns(*name, None, agent.history_limit) if session.turns else []
            trails = await world.records.list_trails(*name) if session.turns and agent.keeps_trail else []
            world.sessions.put(name, session, turns, trails)
            past = turns, trails
        known = session, *past
    return Beginning(journal, *known)


def hold_run(world: World, run: Run, agent: Agent) -> Attempt:
    """Makes a run that this node has claimed known here: from now on a cancel finds it."""
    attempt = Attempt(world, RULES, run, agent)
    world.attempts[(run.tenant, run.id)] = attempt
    if run.epoch <= 1:
        attempt.note("run.started", encode({"attempt": run.attempt, "release": run.release}))
    else:
        attempt.note("run.resumed", encode({"attempt": run.attempt, "release": agent.release}))
    kind, owner = ("run.started" if run.epoch <= 1 else "run.resumed"), world.worker.owner
    attempt.attest(kind, NODE, attempt=run.attempt, epoch=run.epoch, release=agent.release, owner=owner)
    if run.cancel_at is not None:
        attempt.cancel(run.cancel_reason or "asked by a caller", rollback=run.rollback)
    return attempt


def begin_run(world: World, run: Run, agent: Agent, traceparent: str | None) -> Attempt:
    """Starts an attempt at a run that was born claimed. The place was reserved before; it is used up."""
    attempt = hold_run(world, run, agent)
    attempt.traceparent = traceparent
    known = (None, [], []) if run.session is None else world.sessions.get(_session_name(run))
    if known is None or run.origin is not None:
        spawn(world, set_out(attempt))
    else:
        _set_out(attempt, Beginning([], *known))
    return attempt


async def set_out(attempt: Attempt) -> None:
    """Reads what the attempt starts from, and puts it into the hands of the worker."""
    world, run, agent = attempt.world, attempt.run, attempt.agent
    try:
        if agent.evaluation is not None and not await may_begin(world, run, agent):
            attempt.come_to(Requeue("not_evaluated", run.attempt, run.losses, held=gate_of(agent.name)), None)
            world.worker.unreserve(agent.name, run.tenant)
            attempt.flush()
            return
        start = await read_beginning(world, run, agent)
        if world.is_traced and attempt.traceparent is None:
            attempt.traceparent = await read_traceparent(world, run)
    except PilothouseError:
        world.worker.unreserve(agent.name, run.tenant)
        attempt.come_to(attempt.doom or Requeue("handed_back", run.attempt, run.losses, AGAIN_AFTER), None)
        attempt.flush()
    else:
        _set_out(attempt, start)


def _set_out(attempt: Attempt, start: Beginning) -> None:
    world, run, agent = attempt.world, attempt.run, attempt.agent
    has_changed = bool(start.journal) and run.release != agent.release
    attempt.equip(start.journal, start.session, start.turns, start.trails, strict=has_changed)
    instead = attempt.doom
    if instead is None and has_changed and agent.on_release_change == "stop":
        error = error_json(ReleaseChanged(release=run.release, current=agent.release))
        instead = End(Ending("failed", 0, error=error))
    if instead is None and attempt.is_let_go:
        instead = RULES.handed_back(attempt)
    if instead is None:
        attempt.actor = world.worker.begin(attempt)
        attempt.watch_time()
        return
    world.worker.unreserve(agent.name, run.tenant)
    attempt.come_to(instead, None)
    attempt.flush()


AGAIN_AFTER = 1.0
"""Seconds until a run is tried again whose journal could not be read."""


async def _look_again(attempt: Attempt) -> None:
    """An end fell. Either a cancel was asked for meanwhile, and it wins; or the run is another attempt's now. To leave
    without knowing would strand a run whose lease this node goes on to renew."""
    run = attempt.run
    found = await persist(partial(attempt.world.records.get_run, run.tenant, run.id))
    if found is None or found.epoch != run.epoch or found.status != "running" or found.cancel_at is None:
        attempt.leave(None)
        return
    attempt.come_to_instead(RULES.cancelled(attempt, found.cancel_reason or "asked by a caller", found.rollback))


def _session_name(run: Run) -> tuple[str, str, str]:
    assert run.session is not None
    return run.tenant, run.agent, run.session


def _session_end(attempt: Attempt) -> int | None:
    ttl = attempt.agent.session_ttl
    return None if ttl is None else attempt.world.clock.now() + round(ttl * 1e6)


def _remember_turn(attempt: Attempt, ending: Ending) -> None:
    run, session = attempt.run, attempt.session
    if not ending.keeps_turn or session is None or run.session is None:
        return
    state = session.state if ending.state is None else ending.state
    version = session.version if ending.state is None else session.version + 1
    after = Session(
        tenant=run.tenant,
        agent=run.agent,
        key=run.session,
        turns=session.turns + 1,
        state=state,
        version=version,
        created_at=session.created_at or ending.at,
        updated_at=ending.at,
        expires_at=ending.expires_at,
    )
    turn = Turn(after.turns, run.id, run.input, ending.output, ending.status, ending.at)
    attempt.world.sessions.add_turn(_session_name(run), after, turn, ending.trail, attempt.agent.history_limit)


def _forget_session(attempt: Attempt) -> None:
    if attempt.run.session is not None:
        attempt.world.sessions.forget(_session_name(attempt.run))
