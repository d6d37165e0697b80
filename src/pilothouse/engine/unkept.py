"""A stateless run that is not kept: it touches no disk, and its events live as long as somebody reads them.

The same words of a host as for a kept run, without the journal. Its events are numbered here. An agent whose failures
are kept (`keep = "errors"`) has its run written once, at the end, with all of its events: what a caller saw of a run
that turns out to be kept is in the records too.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

from pilothouse.domain.agent import Agent
from pilothouse.domain.event import Segment, line
from pilothouse.domain.journal import StepRow
from pilothouse.domain.run import Run, Status
from pilothouse.domain.session import Session, Trail, Turn
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.calling import Calling
from pilothouse.engine.encoding import decode, encode, error_json
from pilothouse.engine.ending import Ending, terminal_line
from pilothouse.engine.label import Seen
from pilothouse.engine.outbox import deliveries_of
from pilothouse.engine.world import World
from pilothouse.errors import (
    BudgetExceeded,
    Cancelled,
    DeadlineExceeded,
    Draining,
    HostLost,
    HostUnavailable,
    InvalidInput,
    NotKept,
    PilothouseError,
    TooLarge,
)
from pilothouse.ports.change import AppendEvents, Change, Conflict, KeepRun, Receipt, Row
from pilothouse.ports.outgoing import Denial
from pilothouse.ports.worker import Actor, Notebook

LOOK_AGAIN_AFTER = 0.05


class InMemory(Protocol):
    """A run that is not kept, here or in the node of a worker, as whoever waits for it sees it."""

    run: Run
    segments: list[Segment]
    problem: PilothouseError | None

    @property
    def ended(self) -> "asyncio.Future[Run | None]": ...


class Unkept(Calling, Notebook):
    """One stateless run in memory. `ended` gets the run at its end; `faults` is set when the input did not fit. Who
    waits for nothing else sets `on_end` instead, and needs no task to wait in."""

    kept = False
    strict = False
    session: Session | None = None

    def __init__(self, world: World, run: Run, agent: Agent, *, stream: bool, keeps_errors: bool) -> None:
        self.world, self.run, self.agent = world, run, agent
        self.stream = stream or keeps_errors
        self.now = self.began_at = run.created_at
        self.journal: list[StepRow] = []
        self.turns: list[Turn] = []
        self.trails: list[Trail] = []
        self.traceparent: str | None = None
        self.actor: Actor | None = None
        self.on_end: Callable[[], None] | None = None
        self.problem: PilothouseError | None = None
        self.segments: list[Segment] = []
        self.on_told: Callable[[], None] | None = None
        """Set when another node reads the segments, instead of the bus."""
        self._keeps_errors = keeps_errors
        self._lines: list[bytes] = []
        self._seq = 1
        self._held = 0
        self._doom: Ending | None = None
        self.again_at: int | None = None
        """When the next try is due; None while one is under way."""
        self._look: asyncio.TimerHandle | None = None
        self._is_over = False
        self._has_left = False

    # --- made when they are first needed: most runs need none ---

    @cached_property
    def ended(self) -> "asyncio.Future[Run | None]":
        ended: asyncio.Future[Run | None] = asyncio.get_running_loop().create_future()
        if self._has_left:
            ended.set_result(self.run)
        return ended

    @cached_property
    def open_waits(self) -> set[str]:
        return set()

    @cached_property
    def labels(self) -> set[str]:
        return set()

    @cached_property
    def seen(self) -> Seen:
        return Seen()

    @property
    def notebook(self) -> Notebook:
        return self

    # --- what the host tells ----------------------------------------------------------------------------------------

    def note(self, kind: str, body: bytes) -> None:
        if self.stream and not self._is_over and self._held <= self.world.limits.unkept_stream_bytes:
            self._lines.append(line(kind, body))

    def step_started(self, ref: int, row: StepRow, durable: bool) -> None:
        """Hosts say nothing of steps that are not kept, but for waits that need the node."""

    def step_ended(self, ref: int, row: StepRow, started: bool) -> None:
        """See `step_started`."""

    def ask_review(
        self, ref: int, row: StepRow, question: str, details: bytes, kind: str, expires_at: int | None
    ) -> None:
        self.fail(error_json(NotKept(what="A review")), ["NotKept"], None, False)

    def reviews_about(self, key: str) -> int:
        return 0

    def open_review(self, row: StepRow, question: str, details: bytes, expires_at: int | None) -> None:
        """Nobody can be asked: see `action.propose`."""

    def tell_decision(self, ref: int, row: StepRow, told: Sequence[Row], acts: str | None) -> None:
        if self.actor is not None and not self._is_over:
            self.actor.decided(ref, row)

    def handed(self, key: str) -> str | None:
        return None

    def hold_off(self, hold: str) -> None:
        """It cannot go on later: see `action.propose`."""

    @property
    def tools_at_work(self) -> set[str]:
        return set()

    def begin_call(self, ref: int, row: StepRow, then: Callable[[], None]) -> None:
        then()

    def call_began(self, key: str) -> None:
        """Its host waits for the end of the called run only."""

    def end_wait(self, row: StepRow) -> None:
        self.learn([row])

    def emit(self, delta: bytes, event: str) -> None:
        if event:
            self.note(event, delta)
        else:
            self.note("output.delta", b'{"delta":%b}' % delta)

    def log(self, stream: str, text: str) -> None:
        self.note("run.log", encode({"stream": stream, "text": text}))

    def finish(self, output: bytes, state: bytes | None, usage: bytes | None, trail: Trail | None) -> None:
        self._end(self._doom or Ending("succeeded", 0, output=output), usage)

    def fail(self, error: bytes, kinds: list[str], usage: bytes | None, retryable: bool) -> None:
        retry = self.agent.retry
        if self._doom is None and retryable and retry.covers(tuple(kinds)):
            delay = retry.delay_before(self.run.attempt, self.world.entropy.draw())
            if delay is not None and not self.world.is_draining:
                self._try_again(delay)
                return
        self._end(self._doom or Ending("failed", 0, error=error), usage)

    def park(self, due_at: int | None, usage: bytes | None) -> None:
        self._end(self._doom or Ending("failed", 0, error=error_json(NotKept(what="A long wait"))), usage)

    def reject(self, faults: bytes) -> None:
        self.problem = InvalidInput(faults=decode(faults))
        self._end(Ending("failed", 0, error=error_json(self.problem)), None)

    def stop(self, usage: bytes | None) -> None:
        if self._doom is None:
            self.problem = Draining() if self.world.is_draining else HostUnavailable(agent=self.agent.name)
            self._doom = Ending("failed", 0, error=error_json(self.problem))
        self._end(self._doom, usage)

    def lose(self) -> None:
        self._end(self._doom or Ending("failed", 0, error=error_json(HostLost(losses=1))), None)

    def hand_back(self) -> None:
        self.stop(None)

    # --- what the node wants ----------------------------------------------------------------------------------------

    def cancel(self, reason: str, *, rollback: bool = False) -> None:
        if self._doom is None:
            self._doom = Ending("cancelled", 0, error=error_json(Cancelled(reason=reason)))
        self._tell_to_end(reason)

    def expire(self) -> None:
        if self._doom is None:
            self._doom = Ending("failed", 0, error=error_json(DeadlineExceeded()))
            self._tell_to_end("the deadline has passed")

    def exceed(self, denial: Denial) -> None:
        if self._doom is None:
            self._doom = Ending("failed", 0, error=error_json(BudgetExceeded(denial.message)))
            self._tell_to_end(denial.message)

    def let_go(self) -> None:
        if self.again_at is not None:
            self.again_at = None
            self.stop(None)
        self._tell_to_end("the node is shutting down")

    def _tell_to_end(self, reason: str) -> None:
        if self.actor is not None and not self._is_over:
            self.actor.cancel(reason)
        else:
            self.wake()

    def learn(self, rows: Sequence[StepRow]) -> None:
        for row in rows:
            if self.actor is not None and not self._is_over:
                self.actor.resolved(row)

    # --- events and the end -----------------------------------------------------------------------------------------

    def flush(self) -> None:
        if self._lines:
            self._publish(self.world.clock.now())

    def _publish(self, at: int) -> None:
        data = b"".join(self._lines)
        segment = Segment(self.run.id, self._seq, len(self._lines), at, data)
        self._seq += len(self._lines)
        self._lines = []
        self._held += len(data)
        if self._held > self.world.limits.unkept_stream_bytes and self._doom is None:
            error = TooLarge(what="The stream of a run that is not kept", limit=self.world.limits.unkept_stream_bytes)
            self._doom = Ending("failed", 0, error=error_json(error))
            if self.actor is not None:
                self.actor.cancel(error.message)
        self.segments.append(segment)
        if self.on_told is None:
            self.world.bus.publish(self.run.tenant, segment)
        else:
            self.on_told()

    def _try_again(self, delay: float) -> None:
        actor, self.actor = self.actor, None
        if actor is not None:
            actor.over()
        self.run.attempt += 1
        self.again_at = self.world.clock.now() + round(delay * 1e6)
        self._look_after(delay)

    def wake(self) -> None:
        """Begins the next try when it is due and there is a place; also asked by the timers, which go by the clock."""
        if self.again_at is None or self._is_over:
            return
        if self._doom is not None:
            self.again_at = None
            self._end(self._doom, None)
        elif self.world.clock.now() >= self.again_at and self.world.worker.reserve(self.agent.name, self.run.tenant):
            self.again_at = None
            self.began_at = self.world.clock.now()
            self.actor = self.world.worker.begin(self)
        else:
            self._look_after(LOOK_AGAIN_AFTER)

    def _look_after(self, seconds: float) -> None:
        if self._look is not None:
            self._look.cancel()
        self._look = asyncio.get_running_loop().call_later(seconds, self.wake)

    def _end(self, ending: Ending, usage: bytes | None) -> None:
        if self._is_over:
            return
        run = self.run
        ending.at = self.world.clock.now()
        ending.usage = usage
        run.status, run.output, run.error = _status(ending.status), ending.output, ending.error
        run.usage, run.finished_at = usage, ending.at
        if self.stream:
            self._lines.append(terminal_line(ending))
            if not (self._keeps_errors and run.status != "succeeded"):
                self._publish(ending.at)
        self._is_over = True
        if self._keeps_errors and run.status != "succeeded" and self.problem is None:
            self._keep()
        else:
            self._leave()

    def _keep(self) -> None:
        run, finished_at = self.run, self.run.finished_at or 0
        keep = KeepRun(
            run.tenant, run.id, run.agent, run.release, run.subject, run.status, run.input, run.output, run.error,
            run.metadata, run.usage, run.attempt, run.created_at, run.started_at, finished_at,
        )  # fmt: skip
        last = Segment(run.id, self._seq, len(self._lines), finished_at, b"".join(self._lines))
        self._lines = []  # nobody sees them before they are kept
        lines = b"".join([segment.data for segment in (*self.segments, last)])

        def done(result: Receipt | Conflict | Exception) -> None:
            self.segments.append(last)
            if not isinstance(result, Receipt):  # otherwise the records have told the bus
                self.world.bus.publish(run.tenant, last)
            self._leave()

        code = None if run.error is None else decode(run.error).get("code")
        told = entry(run.tenant, run.id, finished_at, f"run.{run.status}", NODE, agent=run.agent, error=code)
        events = AppendEvents(run.tenant, run.id, finished_at, last.last, lines)
        change = Change((keep, events, told, *deliveries_of(self.world, run, finished_at, (lines,))))
        self.world.records.submit(change, done)

    def _leave(self) -> None:
        self.stop_calling()
        self.world.attempts.pop((self.run.tenant, self.run.id), None)
        self._has_left = True
        if "ended" in self.__dict__ and not self.ended.done():
            self.ended.set_result(self.run)
        actor, self.actor = self.actor, None
        try:
            if actor is not None:
                actor.over()
            self.world.on_end(self.run, self.traceparent)
        finally:
            if self.on_end is not None:
                self.on_end()


def _status(text: str) -> Status:
    return text  # type: ignore[return-value]


def begin_unkept(world: World, run: Run, agent: Agent, traceparent: str | None, *, stream: bool) -> Unkept:
    """Starts a run in memory. The place was reserved before; it is used up."""
    unkept = Unkept(world, run, agent, stream=stream, keeps_errors=agent.keep == "errors")
    unkept.traceparent = traceparent
    world.attempts[(run.tenant, run.id)] = unkept
    if unkept.stream:
        unkept.note("run.queued", b"{}")
        unkept.note("run.started", encode({"attempt": run.attempt, "release": run.release}))
    unkept.actor = world.worker.begin(unkept)
    unkept.watch_time()
    return unkept
