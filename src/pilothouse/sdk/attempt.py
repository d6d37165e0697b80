"""One running attempt: one task around the agent's function, and exactly one last word to the node.

Theory: an attempt ends because its function returned or raised, or because it is to end (`fate`): parked, failed by its
own journal, cancelled, or abandoned. A fate cancels the task and everything that waits inside the context; from then on
every verb of the context raises `CancelledError`, and whatever the function still returns or raises counts no more. The
last word is said once; after it nothing of this slot is sent, however long orphaned tasks or threads go on.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from time import monotonic_ns
from typing import Any, Literal, Protocol

from pilothouse.domain.journal import StepKind, StepRow
from pilothouse.domain.policy import Tool
from pilothouse.domain.review import Answer, ReviewKind
from pilothouse.errors import PilothouseError, TooLarge
from pilothouse.sdk.egress.asking import ask_node
from pilothouse.sdk.egress.border import Border
from pilothouse.sdk.egress.passage import Passage
from pilothouse.sdk.failure import end_error, kinds_of, may_help, own_traceback, text_of
from pilothouse.sdk.gate import Proposed, pass_gate
from pilothouse.sdk.journal import AttemptJournal
from pilothouse.sdk.run import RunFacts
from pilothouse.sdk.schema import Codec
from pilothouse.sdk.scope import Scope, attempt_here, step_here
from pilothouse.sdk.scratch import ScratchDesk
from pilothouse.sdk.session import SessionMemory
from pilothouse.sdk.surroundings import Surroundings
from pilothouse.sdk.telemetry import join_trace
from pilothouse.sdk.usage import Usage
from pilothouse.sdk.wait import Waits
from pilothouse.wire.frames import (
    CallDenied,
    CallGranted,
    Failed,
    Finished,
    Message,
    Parked,
    ScratchUsed,
    Start,
    Stopped,
    UseScratch,
)

OUTPUT_LIMIT = 32 * 1024 * 1024
UNWIND_WITHIN = 10.0
"""Seconds a function may take to obey a park; then the node is told without it."""

Fate = Literal["park", "fail", "cancel", "abandon"]
WEIGHT: dict[Fate | None, int] = {None: 0, "park": 1, "fail": 2, "cancel": 3, "abandon": 4}
"""A heavier fate replaces a lighter one: a cancel always wins over a park."""


class Callee(Protocol):
    """The user's agent, as its bridge made it callable."""

    @property
    def output(self) -> Codec: ...

    @property
    def tools(self) -> Mapping[str, Tool]: ...

    async def run(self, attempt: Any, value: Any) -> object: ...


class Attempt:
    """The life of an attempt. What the agent asks through its context is in `execution`."""

    def __init__(
        self, surroundings: Surroundings, start: Start, callee: Callee, ended: Callable[["Attempt"], None]
    ) -> None:
        self.surroundings = surroundings
        self.loop = surroundings.loop
        self.park_after = surroundings.park_after
        self.start = start
        self.slot = start.slot
        self.kept = start.kept
        self.run_id = start.run
        self.is_over = False
        self._callee = callee
        self._ended = ended
        self._began_at = monotonic_ns()
        self._quiet_at = 0.0
        self._fate: Fate | None = None
        self._last_word: Message | None = None
        self._is_started = False
        self._busy: list[asyncio.Task[Any] | None] = []
        self._asking: list[Scope] = []
        """Steps under way that wait for a person, once for each question."""
        self._task: asyncio.Task[None] | None = None
        self._unwinding: asyncio.TimerHandle | None = None
        self.outside_usage: Usage | None = None

    # --- made when they are first needed: most stateless runs need none ---

    @cached_property
    def journal(self) -> AttemptJournal:
        return AttemptJournal(self, self.start.journal, self.start.strict)

    @cached_property
    def waits(self) -> Waits:
        return Waits(self)

    @cached_property
    def passage(self) -> Passage:
        return Passage(self.slot, self.tell, self._tell_still, self.loop)

    @cached_property
    def scratch_desk(self) -> ScratchDesk:
        return ScratchDesk(self.slot, self._ask_scratch, self.check_alive)

    @cached_property
    def session(self) -> SessionMemory:
        return SessionMemory(self.start.session, self.start.history, self.start.state, self.start.trails)

    @cached_property
    def run(self) -> RunFacts:
        return RunFacts(self.start)

    # --- what is decided before it is done ---

    @property
    def is_gated(self) -> bool:
        return self.surroundings.is_gated

    def pass_gate(self, call: Proposed) -> Coroutine[Any, Any, StepRow | None]:
        return pass_gate(self, call)

    async def wait_for(self, key: str) -> None:
        await self.waits.wait_known(key)

    # --- the life ---

    def begin(self, value: Any) -> None:
        self._task = self.loop.create_task(self._live(value))

    async def _live(self, value: Any) -> None:
        if self._is_doomed():  # before it began; no user code runs
            self._conclude(self._fated())
            return
        self._is_started = True
        attempt_here.set(self)
        join_trace(self.start.traceparent)
        try:
            message = self._finished(await self._callee.run(self, value))
        except GeneratorExit:  # the loop is closed under it: there is nobody to tell
            self.is_over = True
            raise
        except BaseException as error:
            message = self._failed(error) if self._fate is None else self._fated()
        self._conclude(self._fated() if self._is_doomed() else message)

    def _finished(self, output: object) -> Message:
        raw = self._callee.output.write(output)
        if len(raw) > OUTPUT_LIMIT:
            raise TooLarge(what="The output", limit=OUTPUT_LIMIT)
        state = trail = None
        if "session" in self.__dict__:
            state, trail = self.session.changed(), self.session.trail
        return Finished(self.slot, raw, state, self._usage(), trail)

    def _failed(self, error: BaseException) -> Message:
        try:
            retryable = may_help(error, self.kept)
            return Failed(self.slot, end_error(error), kinds_of(error), own_traceback(error), self._usage(), retryable)
        except Exception as other:  # an error that cannot even be told must not leave the node without a last word
            return Failed(self.slot, end_error(PilothouseError()), ["Exception"], text_of(other))

    def _fated(self) -> Message:
        return self._last_word if self._last_word is not None else Stopped(self.slot, self._usage())

    def _conclude(self, message: Message) -> None:
        if self.is_over:
            return
        self.surroundings.flush_lines(self)
        self.is_over = True
        self.surroundings.send(message)
        self._ended(self)
        self._close()

    def _close(self) -> None:
        """Lets go of everything that still waits or runs for this attempt, and of what refers back to it."""
        self._release_waiting()
        self.__dict__.pop("journal", None)
        self.__dict__.pop("waits", None)
        self.__dict__.pop("passage", None)
        self.__dict__.pop("scratch_desk", None)
        for task in self._busy:
            if task is not None and task is not self._task:
                task.cancel()
        if self._unwinding is not None:
            self._unwinding.cancel()
        self._task = None

    def _release_waiting(self) -> None:
        if "journal" in self.__dict__:
            self.journal.close()
        if "waits" in self.__dict__:
            self.waits.close()
        if "passage" in self.__dict__:
            self.passage.close()
        if "scratch_desk" in self.__dict__:
            self.scratch_desk.close()

    # --- fates ---

    def park(self, due_at: int | None) -> None:
        """Everything waits: the worker is needed elsewhere."""
        self._doom("park", Parked(self.slot, due_at, self._usage()))

    def fail(self, error: PilothouseError) -> None:
        """Ends the attempt whatever the agent does with what is raised."""
        failed = Failed(self.slot, end_error(error), kinds_of(error), "", self._usage(), may_help(error, self.kept))
        self._doom("fail", failed)

    def cancel(self) -> None:
        """The node wants the run to end."""
        self._doom("cancel", None)

    def abandon(self) -> None:
        """The node has given up the slot: no word of this attempt is wanted."""
        if not self.is_over:
            self.is_over = True
            self._ended(self)
            self._doom("abandon", None)
            self._close()

    def _doom(self, fate: Fate, last_word: Message | None) -> None:
        if WEIGHT[fate] <= WEIGHT[self._fate]:
            return
        self._fate = fate
        self._last_word = last_word
        if self._is_started and self._task is not None:
            self._release_waiting()
            self._task.cancel()
        if fate in ("park", "fail") and self._unwinding is None:
            self._unwinding = self.loop.call_later(UNWIND_WITHIN, self._give_up)

    def _give_up(self) -> None:
        """The function did not obey. Nothing of it can be heard any more, so its slot is safe to use again."""
        if not self.is_over and self._task is not None:
            self._task.cancel()
            self._conclude(self._fated())

    @property
    def is_ending(self) -> bool:
        return self._fate is not None or self.is_over

    def _is_doomed(self) -> bool:
        return self._fate is not None

    @property
    def is_cancelled(self) -> bool:
        return self._fate in ("cancel", "abandon")

    # --- what the node says ---

    def acked(self, refs: list[int]) -> None:
        if not self.is_over:
            self.journal.acked(refs)

    def resolved(self, row: StepRow) -> None:
        if not self.is_ending:
            self.journal.resolved(row)
            if "waits" in self.__dict__:
                self.waits.resolved(row)

    def answered(self, answer: CallGranted | CallDenied) -> None:
        if "passage" in self.__dict__:
            self.passage.answered(answer)

    def scratch_used(self, used: ScratchUsed) -> None:
        if "scratch_desk" in self.__dict__:
            self.touch()
            self.scratch_desk.answered(used)

    def _ask_scratch(self, wish: UseScratch) -> None:
        self.touch()
        self.tell(wish)

    # --- what the border needs ---

    @property
    def border(self) -> Border:
        return self.surroundings.border

    @property
    def agent(self) -> str:
        return self.start.agent

    @property
    def deadline_at(self) -> int | None:
        return self.start.deadline_at

    @cached_property
    def asks(self) -> frozenset[str]:
        return self.surroundings.border.asks_of(self.start.agent)

    async def may_begin(self, kind: StepKind) -> None:
        await ask_node(self, "tool" if kind == "tool" else "step", True)

    async def ask_person(self, question: str, details: dict[str, Any], kind: ReviewKind) -> Answer:
        """Asks, also in the middle of a step: that step only waits meanwhile, and is tried again by a later attempt."""
        scope = step_here.get()
        if scope is None:
            return await self.waits.ask(question, details, kind, None)
        self._asking.append(scope)
        try:
            return await self.waits.ask(question, details, kind, None)
        finally:
            self._asking.remove(scope)
            self.touch()

    def call_began(self) -> None:
        """A model call is under way outside of any step: the attempt does not only wait."""
        self._busy.append(None)

    def call_ended(self) -> None:
        if None in self._busy:
            self._busy.remove(None)
        self.touch()

    # --- what steps and waits need ---

    def tell(self, message: Message) -> None:
        if self._fate is None and not self.is_over:
            self.surroundings.send(message)

    def take_back(self, message: Message) -> bool:
        """Whether the node will not hear what was told last; see `Surroundings`."""
        return self.surroundings.take_back(message)

    def _tell_still(self, message: Message) -> None:
        if not self.is_over:
            self.surroundings.send(message)

    def clock(self) -> int:
        """The node's clock, as far as this host knows it: never ahead, so that nothing is early."""
        held = self.surroundings.held_clock
        return held.now() if held is not None else self.start.now + (monotonic_ns() - self._began_at) // 1000

    async def pause(self, seconds: float) -> None:
        """Waits without a row: between two tries, and in a run that is not kept."""
        await self.surroundings.sleep(seconds)

    def touch(self) -> None:
        """Something happened: the quiet begins anew."""
        self._quiet_at = self.loop.time()

    @property
    def quiet_for(self) -> float:
        """Seconds in which the attempt did nothing but wait; 0 while a step runs or an ack is missing."""
        if (
            len(self._busy) > len(set(map(id, self._asking)))
            or not self.journal.is_quiet
            or not self.surroundings.is_writable
        ):
            return 0.0
        return self.loop.time() - self._quiet_at

    def step_began(self) -> "asyncio.Task[Any] | None":
        task = asyncio.current_task(self.loop)
        self._busy.append(task)
        return task

    def step_ended(self, task: "asyncio.Task[Any] | None") -> None:
        self._busy.remove(task)
        self.touch()

    def check_alive(self) -> None:
        """Every verb of the context begins here."""
        if self._fate is not None or self.is_over:
            raise asyncio.CancelledError
        if threading.get_ident() != self.surroundings.thread:
            raise RuntimeError("this context belongs to the event loop; a sync agent or tool gets its own, named `ctx`")

    def _usage(self) -> bytes | None:
        if self.outside_usage is None and not self.start.journal and "journal" not in self.__dict__:
            return None
        total = Usage()
        total.add(self.journal.usage)
        if self.outside_usage is not None:
            total.add(self.outside_usage)
        return total.encoded()
