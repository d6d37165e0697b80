"""How what an attempt was told becomes durable, and its host hears of it.

Everything that was told while a Change was under way goes into the next one, so an attempt has at most one Change in
flight: rows and events of a run are kept in the order in which they happened, and a burst of deltas costs one row.
When the records cannot be written, it tries again and drops nothing. A Change whose fence fell means that another
attempt has the run: this one says nothing more (I6).
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pilothouse.domain.journal import ENDED, StepRow
from pilothouse.domain.run import Run
from pilothouse.domain.session import Trail
from pilothouse.engine.outbox import deliveries_of
from pilothouse.engine.told import Told
from pilothouse.engine.world import World, spawn
from pilothouse.ports.change import Change, Conflict, Fence, Receipt, Refused, Statement
from pilothouse.ports.worker import Actor

WRITE_AGAIN_AFTER = 0.25
WRITE_AGAIN_AT_MOST = 5.0


class Outcome(Protocol):
    """What an `Attempt` comes to. `statements` is asked at each try, since a try may fall."""

    leaves_waiting: bool
    """The run waits for what others do: all that its attempt began must be under way before."""

    def statements(self, attempt: Any, at: int) -> tuple[list[Statement], bytes]:
        """What to hand over, and the last events of the attempt as segment lines."""
        ...

    def done(self, attempt: Any, receipt: Receipt) -> None: ...

    def fell(self, attempt: Any, conflict: Conflict) -> None: ...


class Ends(Protocol):
    """What the words of a host come to; see `execution`."""

    def finished(self, attempt: Any, output: bytes, state: bytes | None, trail: Trail | None) -> Outcome: ...

    def failed(self, attempt: Any, error: bytes, kinds: list[str], retryable: bool) -> Outcome: ...

    def parked(self, attempt: Any, due_at: int | None) -> Outcome: ...

    def rejected(self, attempt: Any, faults: bytes) -> Outcome: ...

    def lost(self, attempt: Any) -> Outcome: ...

    def handed_back(self, attempt: Any) -> Outcome: ...

    def held(self, attempt: Any, hold: str) -> Outcome: ...

    def cancelled(self, attempt: Any, reason: str, rollback: bool) -> Outcome: ...

    def expired(self, attempt: Any) -> Outcome: ...

    def refused(self, attempt: Any) -> Outcome: ...


class Keeping:
    """What an attempt inherits; it sets what is declared here."""

    world: World
    ends: Ends
    run: Run
    actor: Actor | None
    traceparent: str | None
    ended: "asyncio.Future[Run | None]"
    outcome: Outcome | None
    is_over: bool
    starting: set[str]
    known_ends: set[str]
    _told: Told
    _in_flight = False
    _was_refused = False
    _write_again = WRITE_AGAIN_AFTER

    def flush(self) -> None:
        if self._in_flight or self.is_over:
            return
        outcome = self.outcome
        if outcome is not None and not (outcome.leaves_waiting and self.starting):
            self._hand_over_outcome(outcome)
        elif self._told:
            told, self._told = self._told, Told()
            self._hand_over(told)

    def _hand_over(self, told: Told) -> None:
        run, world = self.run, self.world
        at = world.clock.now()
        statements = told.statements(run, at, b"", Fence(run.tenant, run.id, run.epoch))
        if world.receivers or run.webhook is not None:
            statements += deliveries_of(world, run, at, told.lines)
        change = Change(tuple(statements))

        def done(result: Receipt | Conflict | Exception) -> None:
            if type(result) is Receipt:
                self._in_flight = False
                self._write_again = WRITE_AGAIN_AFTER
                self._acknowledge(told)
                if self.outcome is not None or self._told:
                    self.flush()
                return
            match result:
                case Conflict(statement="resolve_step"):
                    spawn(world, self._concede(told))
                case Conflict():
                    self.leave(None)
                case Refused():
                    self._refuse(result)
                case _:
                    self._later(lambda: world.records.submit(change, done))

        self._in_flight = True
        world.records.submit(change, done)

    def _acknowledge(self, told: Told) -> None:
        refs = told.refs()
        if refs and self.actor is not None and not self.is_over:
            self.actor.acked(refs)
        if told.after or told.kept:
            for act in (*told.after, *told.kept):
                act()

    async def _concede(self, told: Told) -> None:
        """Somebody else has ended one of the waits: that end counts, and the host hears it."""
        try:
            rows = await self.world.records.load_journal(self.run.tenant, self.run.id)
        except Exception:
            self._later(lambda: self._hand_over(told))
            return
        lost = told.ends & {row.key for row in rows if row.phase == ENDED}
        told.drop_ends(lost)
        self.known_ends -= lost
        self.learn(rows)
        self._hand_over(told)

    def _hand_over_outcome(self, outcome: Outcome) -> None:
        run, at, told = self.run, self.world.clock.now(), self._told
        told.is_answer = told.is_answer and outcome.leaves_waiting  # nobody wakes a run that has ended
        statements, last = outcome.statements(self, at)
        outgoing = deliveries_of(self.world, run, at, (*told.lines, last))
        change = Change((*statements, *told.statements(run, at, last), *outgoing))

        def done(result: Receipt | Conflict | Exception) -> None:
            match result:
                case Receipt():
                    self._landed()
                    self._told = Told()
                    for act in told.kept:
                        act()
                    outcome.done(self, result)
                case Conflict(statement="resolve_step", key=key) if key == (run.tenant, run.id):
                    self._landed()
                    told.drop_ends(told.ends)
                    self.flush()
                case Conflict():
                    self._landed()
                    outcome.fell(self, result)
                case Refused():
                    self._refuse(result)
                case _:
                    self._later(lambda: self.world.records.submit(change, done))

        self._in_flight = True
        self.world.records.submit(change, done)

    def _landed(self) -> None:
        self._in_flight = False
        self._write_again = WRITE_AGAIN_AFTER

    def _later(self, act: Callable[[], None]) -> None:
        """The records refuse to be written (a full disk): nothing is dropped, and tried again until they take it."""
        asyncio.get_running_loop().call_later(self._write_again, act)
        self._write_again = min(WRITE_AGAIN_AT_MOST, self._write_again * 2)

    def _refuse(self, refused: Refused) -> None:
        """What was handed over can never be kept: a fault of this program. The run fails loudly, without it."""
        context = {"message": f"the records refused a Change of {self.run.id}", "exception": refused}
        asyncio.get_running_loop().call_exception_handler(context)
        self._landed()
        self._told = Told()
        if self._was_refused:
            self.leave(None)
            return
        self._was_refused = True
        self.come_to_instead(self.ends.refused(self))

    def come_to_instead(self, outcome: Outcome) -> None:
        """The outcome fell and this one takes its place."""
        self.outcome = outcome
        self.flush()

    @abstractmethod
    def leave(self, run: Run | None) -> None:
        """The attempt is over, here."""

    @abstractmethod
    def learn(self, rows: Sequence[StepRow]) -> None:
        """Takes in ends that somebody else has written."""
