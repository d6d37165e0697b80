"""One attempt at a run in this node: what its host tells, as rows and events in the order in which it was told.

While the records cannot be written an attempt holds what it has, up to a bound; past it the host is asked to let go,
and the next attempt goes on from the journal. Of a wait that somebody else has ended, the host hears that end.

How all of this becomes durable is in `attempt_change`; what an attempt ends in is in `execution`.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from pilothouse.domain.agent import Agent
from pilothouse.domain.event import line
from pilothouse.domain.ids import call_review_id
from pilothouse.domain.journal import (
    BEGUN,
    ENDED,
    WAITS,
    StepRow,
    actions_without_end,
    gate_review_key,
    hand_offs_begun,
    step_of,
)
from pilothouse.domain.policy import hand_off_name
from pilothouse.domain.run import Run
from pilothouse.domain.session import Session, Trail, Turn
from pilothouse.engine.attempt_change import Ends, Keeping, Outcome
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.calling import Calling
from pilothouse.engine.encoding import encode, error_json, raw, step_finished, step_lines, step_started
from pilothouse.engine.label import Seen
from pilothouse.engine.outbox import BELL
from pilothouse.engine.publication import publish_event
from pilothouse.engine.told import Told
from pilothouse.engine.world import World
from pilothouse.errors import BudgetExceeded, LimitReached
from pilothouse.ports.change import (
    AddCost,
    AddSpend,
    InsertReview,
    Row,
)
from pilothouse.ports.outgoing import Denial
from pilothouse.ports.worker import Actor, Notebook


class Attempt(Keeping, Calling, Notebook):
    """The node's side of an attempt that is kept. Known to the world from its first moment, so that a cancel finds it;
    it begins once it is equipped with what it starts from. `ended` is for who waits here: it gets the run at its end,
    or None when the run goes on elsewhere or later."""

    kept = True

    def __init__(self, world: World, ends: Ends, run: Run, agent: Agent) -> None:
        self.world, self.ends, self.run, self.agent = world, ends, run, agent
        self.journal: list[StepRow] = []
        self.session: Session | None = None
        self.turns: list[Turn] = []
        self.trails: list[Trail] = []
        self.strict = False
        self.stream = True
        self.now = self.began_at = world.clock.now()
        self.traceparent: str | None = None
        self.actor: Actor | None = None
        self.ended: asyncio.Future[Run | None] = asyncio.get_running_loop().create_future()
        self.outcome: Outcome | None = None
        self.doom: Outcome | None = None
        """What the attempt is to come to once its host has let go, whatever that says: a cancel, a deadline."""
        self.is_over = False
        self.is_let_go = False
        self.has_progress = False
        self.has_calls = False
        self.wakes = run.wakes
        """As its claim found it. Whether the host had heard of an end that came later before it parked cannot be known,
        so such a park is queued again and the next attempt finds the end in the journal."""
        self.starting: set[str] = set()
        """Steps whose called run is not durable yet."""
        self.open_waits: set[str] = set()
        self.labels: set[str] = set()
        """Where the data comes from that the run has seen, and how sensitive it is."""
        self.seen = Seen()
        self.acting: dict[str, str] = {}
        """Actions that were allowed and whose end nobody has seen yet, by their step."""
        self.handing: dict[str, str] = {}
        """Hand-offs that were allowed and whose called run is not durable yet: their action, by their step."""
        self._at_work: dict[str, str] = {}
        """The tools of steps that have begun and not ended, by step: also where nobody had to be asked."""
        self.known_ends: set[str] = set()
        self._begun: set[str] = set()
        self._told = Told()
        self._is_full = False
        self._log_left = world.limits.log_bytes
        self._steps_left = world.limits.steps

    def equip(
        self,
        journal: list[StepRow],
        session: Session | None,
        turns: list[Turn],
        trails: list[Trail],
        *,
        strict: bool,
    ) -> None:
        """What the attempt starts from. Called once, before it begins."""
        self.journal, self.session, self.turns, self.trails, self.strict = journal, session, turns, trails, strict
        self.known_ends.update(row.key for row in journal if row.phase == ENDED)
        self._begun.update(row.key for row in journal if row.phase == BEGUN)
        self.open_waits.update(row.key for row in journal if row.phase == BEGUN and row.kind in WAITS)
        self.open_waits -= self.known_ends
        self.has_calls = any(row.kind == "call" for row in journal)
        self._steps_left -= len(self.known_ends)
        self.acting.update(actions_without_end(journal))
        for key in hand_offs_begun(journal) & self.acting.keys():
            self.handing[key] = self.acting.pop(key)

    @property
    def notebook(self) -> Notebook:
        return self

    # --- what the host tells ----------------------------------------------------------------------------------------

    def note(self, kind: str, body: bytes) -> None:
        """An event of the run."""
        self._told.add_line(line(kind, body))

    def attest(self, kind: str, by: str, id: str | None = None, **facts: Any) -> None:
        """An entry of the audit log, durable with what was told beside it."""
        run = self.run
        self._told.add_row(entry(run.tenant, id or run.id, self.world.clock.now(), kind, by, **facts))

    def step_started(self, ref: int, row: StepRow, durable: bool) -> None:
        if row.key not in self._begun:
            self.note("step.started", step_started(row))
            if durable:
                self._begin(row)
        if row.kind in WAITS:
            self.open_waits.add(row.key)
        elif row.kind in ("tool", "step"):
            self._at_work[row.key] = row.name
        if durable:
            self._told.add_ref(ref)

    def _begin(self, row: StepRow) -> None:
        self._begun.add(row.key)
        self._told.add_step(self.run, row)

    def step_ended(self, ref: int, row: StepRow, started: bool) -> None:
        if row.key in self.known_ends:  # a wait that somebody else ended first: the host hears that end instead
            return
        if row.kind == "publish" and row.tries and not self._publish(row):
            return
        if self.acting and (action := self.acting.pop(step_of(row.key), None)) is not None:
            kind = "action.done" if row.status == "succeeded" else "action.failed"
            self.attest(kind, f"agent:{self.run.agent}", action, run=self.run.id, step=row.key, tool=row.name)
        self._at_work.pop(row.key, None)
        self._steps_left -= 1
        self.has_progress = True
        if started or row.kind in WAITS or row.kind == "checkpoint" or row.key in self._begun:
            if not started and row.kind in WAITS:
                self.note("step.started", step_started(row))
            self._end(row, ref)
        else:
            self.known_ends.add(row.key)
            self._told.add_ended(self.run, row, step_lines(row), ref)
        if self._steps_left < 0:
            self._doom_by(LimitReached(what="The steps of this run", limit=self.world.limits.steps))

    def _publish(self, row: StepRow) -> bool:
        """The event goes out with the end of its step. False: it went too far, and the run ends."""
        try:
            rows = publish_event(self.world, self.run, row, self.traceparent)
        except LimitReached as error:
            self._doom_by(error)
            return False
        for one in rows:
            self._told.add_row(one)
        if rows:
            self._told.after.append(lambda: self.world.bus.ring(BELL))
        return True

    def _doom_by(self, error: LimitReached) -> None:
        if self.doom is None:
            self.doom = self.ends.failed(self, error_json(error), [], False)
            self._tell_to_end(error.message)

    def _end(self, row: StepRow, ref: int | None) -> None:
        self.known_ends.add(row.key)
        self.open_waits.discard(row.key)
        if row.kind != "checkpoint":
            finished = line("step.finished", step_finished(row))
            if row.kind in WAITS:
                self._told.add_end(row, finished, ref)
                return
            self._told.add_step(self.run, row, finished, 1)
        else:
            self._told.add_step(self.run, row)
        if ref is not None:
            self._told.add_ref(ref)

    def ask_review(
        self, ref: int, row: StepRow, question: str, details: bytes, kind: str, expires_at: int | None
    ) -> None:
        if row.key not in self._begun:
            self._open_review(row, question, details, kind, expires_at)
        self.open_waits.add(row.key)
        self._told.add_ref(ref)

    def _open_review(self, row: StepRow, question: str, details: bytes, kind: str, expires_at: int | None) -> None:
        run = self.run
        review = call_review_id(run.id, row.key)
        if row.key not in self._begun:
            self._begin(row)
            at = self.world.clock.now()
            self._told.add_row(
                InsertReview(run.tenant, review, run.id, row.key, run.agent, kind, question, details, at, expires_at)
            )
            body = {"review": review, "step": row.key, "question": question, "details": raw(details)}
            self.note("review.requested", encode(body))
            digest = self.world.seals.digest(run.tenant, run.subject, question.encode() + b"\n" + details)
            self.attest("review.requested", run.id, review, run=run.id, step=row.key, review=kind, question=digest)
            if expires_at is not None:
                self._told.after.append(lambda: self.world.bus.ring("timer"))

    def reviews_about(self, key: str) -> int:
        number = 0
        while gate_review_key(key, number + 1) in self._begun:
            number += 1
        return number

    def open_review(self, row: StepRow, question: str, details: bytes, expires_at: int | None) -> None:
        self._open_review(row, question, details, "action", expires_at)
        self.open_waits.add(row.key)

    def tell_decision(self, ref: int, row: StepRow, told: Sequence[Row], acts: str | None) -> None:
        key = step_of(row.key.partition(".gate-")[0])
        if (lost := self.acting.pop(key, None)) is not None:
            self._attest_unknown(key, lost)
        if acts is not None:
            self.acting[key] = acts
        if not told:
            self._tell_decision(ref, row)
            return
        self._told.add_step(self.run, row)
        for one in told:
            self._told.add_row(one)
        self._told.after.append(lambda: self._tell_decision(ref, row))

    def _tell_decision(self, ref: int, row: StepRow) -> None:
        if self.actor is not None and not self.is_over:
            self.actor.decided(ref, row)

    def _attest_unknown(self, key: str, action: str) -> None:
        self.attest("action.unknown", NODE, action, run=self.run.id, step=key)

    def attest_unknown(self) -> None:
        """The run ends: nobody will see whether these came to anything. An attempt that only lets go leaves it to the
        next one, which finds them in the journal."""
        for key, action in (self.acting | self.handing).items():
            self._attest_unknown(key, action)
        self.acting.clear()
        self.handing.clear()

    def hold_off(self, hold: str) -> None:
        if self.doom is None:
            self.doom = self.ends.held(self, hold)
        self._tell_to_end("a hold")

    @property
    def tools_at_work(self) -> set[str]:
        return {key.rsplit("-", 2)[0] for key in self.acting}.union(self._at_work.values())

    def begin_call(self, ref: int, row: StepRow, then: Callable[[], None]) -> None:
        if row.key not in self._begun:
            self.note("step.started", step_started(row))
            self._begin(row)
        if row.key in self.acting:
            self.handing[row.key] = self.acting.pop(row.key)
        self.has_calls = True
        self.starting.add(row.key)
        self.open_waits.add(row.key)
        self._told.add_ref(ref)
        self._told.after.append(then)

    def handed(self, key: str) -> str | None:
        return self.handing.get(key)

    def call_began(self, key: str) -> None:
        self.starting.discard(key)
        self.handing.pop(key, None)
        self.flush()

    def end_wait(self, row: StepRow) -> None:
        """This node ends a wait of the attempt itself: what was asked for cannot be."""
        self.starting.discard(row.key)
        action = self.handing.pop(row.key, None)
        if row.key not in self.known_ends and not self.is_over:
            if action is not None:
                by = f"agent:{self.run.agent}"
                self.attest("action.failed", by, action, run=self.run.id, step=row.key, tool=hand_off_name(row.name))
            self._end(row, None)
            self._told.is_answer = True
            self._told.after.append(lambda: self._tell_end(row))
        self.flush()

    def emit(self, delta: bytes, event: str) -> None:
        if self._is_full:
            return
        told = self._told
        told.add_line(line(event, delta) if event else b'output.delta {"delta":%b}\n' % delta)
        if told.size > self.world.limits.held_bytes:
            self._look_at_size()

    def log(self, stream: str, text: str) -> None:
        if self._log_left <= 0 or self._is_full:
            return
        self._log_left -= len(text)
        if self._log_left <= 0:
            text = "(this attempt printed more than its limit; the rest is only in the log of the node)"
        self.note("run.log", encode({"stream": stream, "text": text}))
        self._look_at_size()

    def _look_at_size(self) -> None:
        """Deltas are not acked, so a host may emit without end while the records cannot be written. Past the bound it
        is asked to let go; the next attempt goes on from the journal."""
        if self._told.size > self.world.limits.held_bytes:
            self._is_full = True
            self.let_go()

    def finish(self, output: bytes, state: bytes | None, usage: bytes | None, trail: Trail | None) -> None:
        self.come_to(self.doom or self.ends.finished(self, output, state, trail), usage)

    def fail(self, error: bytes, kinds: list[str], usage: bytes | None, retryable: bool) -> None:
        self.come_to(self.doom or self.ends.failed(self, error, kinds, retryable), usage)

    def park(self, due_at: int | None, usage: bytes | None) -> None:
        self.come_to(self.doom or self.ends.parked(self, due_at), usage)

    def reject(self, faults: bytes) -> None:
        self.come_to(self.doom or self.ends.rejected(self, faults), None)

    def stop(self, usage: bytes | None) -> None:
        self.come_to(self.doom or self.ends.handed_back(self), usage)

    def lose(self) -> None:
        self.come_to(self.doom or self.ends.lost(self), None)

    def hand_back(self) -> None:
        self.come_to(self.doom or self.ends.handed_back(self), None)

    # --- what the node wants ----------------------------------------------------------------------------------------

    def cancel(self, reason: str, *, rollback: bool = False) -> None:
        """The first doom counts, but for a rollback, which takes the turn out whatever was asked before."""
        if self.doom is None or rollback:
            self.doom = self.ends.cancelled(self, reason, rollback)
        self._tell_to_end(reason)

    def expire(self) -> None:
        if self.doom is None:
            self.doom = self.ends.expired(self)
            self._tell_to_end("the deadline has passed")

    def exceed(self, denial: Denial) -> None:
        if self.doom is None:
            self.doom = self.ends.failed(self, error_json(BudgetExceeded(denial.message)), [], False)
            self._tell_to_end(denial.message)

    def keep_spend(self, rows: list[AddSpend], kept: Callable[[], None]) -> None:
        if self.is_over:
            super().keep_spend(rows, kept)
            return
        self._told.kept.append(kept)
        self._tell_rows(rows)

    def keep_costs(self, rows: list[AddCost]) -> None:
        if self.is_over:
            super().keep_costs(rows)
        else:
            self._tell_rows(rows)

    def _tell_rows(self, rows: Sequence[Row]) -> None:
        """They go with the step that used it, whose end the host tells in the same breath."""
        for row in rows:
            self._told.add_row(row)
        asyncio.get_running_loop().call_soon(self.flush)

    def let_go(self) -> None:
        self.is_let_go = True
        self._tell_to_end("the node needs the place")

    def _tell_to_end(self, reason: str) -> None:
        if self.actor is not None and not self.is_over:
            self.actor.cancel(reason)

    def come_to(self, outcome: Outcome, usage: bytes | None) -> None:
        """The first word counts; it is handed over with the next flush."""
        if self.outcome is None and not self.is_over:
            if usage is not None:
                self.run.usage = usage
            self.outcome = outcome

    def learn(self, rows: Sequence[StepRow]) -> None:
        for row in rows:
            if row.phase == ENDED and row.key not in self.known_ends:
                self.known_ends.add(row.key)
                self.open_waits.discard(row.key)
                self.has_progress = True
                self._tell_end(row)

    def _tell_end(self, row: StepRow) -> None:
        if self.actor is not None and not self.is_over:
            self.actor.resolved(row)

    def wake(self) -> None:
        """Everything that such an attempt waits for is a row."""

    def leave(self, run: Run | None) -> None:
        """The attempt is over, here: its slot is free and who waits is told. `run` None: it goes on without us."""
        if self.is_over:
            return
        self.is_over = True
        self.stop_calling()
        if self.world.attempts.get((self.run.tenant, self.run.id)) is self:
            del self.world.attempts[(self.run.tenant, self.run.id)]
        if not self.ended.done():
            self.ended.set_result(run)
        if self.actor is not None:
            self.actor.over()
        if run is not None:
            self.world.on_end(run, self.traceparent)
