"""Waits: sleep, signal, review and call, and the parking of an attempt that does nothing else.

A wait is a step whose end comes from outside: the node says `Resolved`, or the clock says that it is due. Its beginning
is durable before it waits, so that a later attempt goes on waiting for the same thing. When an attempt only waits for
longer than `park_after`, it is ended (`Parked`) and its worker is free; what it waits for is rows.

The host writes the end of a sleep and of a signal that nobody sent in time; a review expires at the node. A wait that
ends by itself is never early: the clock is looked at again when the timer fires.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from math import ceil, isfinite
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pilothouse.domain.ids import AGENT_NAME, SIGNAL_NAME, child_run_id
from pilothouse.domain.journal import BEGUN, ENDED, StepKind, StepRow, signal_key
from pilothouse.domain.policy import hand_off_name
from pilothouse.domain.review import Answer, ReviewKind
from pilothouse.errors import CallFailed, LimitReached, NotKept, SignalTimeout, TooLarge
from pilothouse.sdk.agent import AgentDefinition
from pilothouse.sdk.failure import call_failure_in, failure_in, write_failure
from pilothouse.sdk.gate import Proposed
from pilothouse.sdk.journal import AttemptJournal
from pilothouse.sdk.schema import in_order, read_json, write_json
from pilothouse.wire.frames import AskReview, CallAgent, Message, StepStarted

QUESTION_LIMIT = 10_000
DETAILS_LIMIT = 1024 * 1024
INPUT_LIMIT = 16 * 1024 * 1024
SPAN_LIMIT = 100 * 366 * 86_400.0
"""Seconds: a hundred years. Longer is a mistake of units."""

CALLS_LIMIT = 10_000
"""Calls that one `call_all` makes at most."""

SHOWN_LIMIT = 1024 * 1024
"""Bytes of an input that the row keeps to be looked at; a called run has its own copy."""

LOOK_AGAIN_AFTER = 0.01
ENDS_HERE: frozenset[str] = frozenset({"sleep", "signal"})
"""Kinds whose end this host writes when they are due. A review expires at the node."""

_read_answer = msgspec.json.Decoder(Answer).decode


class Waiter(Protocol):
    """The attempt, as its waits see it."""

    slot: int
    kept: bool
    run_id: str
    loop: asyncio.AbstractEventLoop
    park_after: float

    def tell(self, message: Message) -> None: ...

    @property
    def journal(self) -> AttemptJournal: ...

    def clock(self) -> int: ...

    async def pause(self, seconds: float) -> None: ...

    def touch(self) -> None: ...

    @property
    def quiet_for(self) -> float:
        """Seconds in which the attempt did nothing but wait; 0 while a step runs or an ack is missing."""
        ...

    @property
    def is_ending(self) -> bool: ...

    def park(self, due_at: int | None) -> None: ...

    @property
    def is_gated(self) -> bool:
        """What is done to the world is proposed before it is done."""
        ...

    def pass_gate(self, call: Proposed) -> Coroutine[Any, Any, StepRow | None]: ...


class HandOff:
    """A call of another agent as an action: what is handed over is its argument `input`."""

    kind: StepKind = "call"
    risk = "reversible"

    def __init__(self, key: str, name: str, input: bytes) -> None:
        self.key, self.name, self.input = key, name, input

    @property
    def action(self) -> str:
        return hand_off_name(self.name)

    @property
    def proposed(self) -> bytes:
        return b'{"input":%b}' % self.input

    def use(self, arguments: dict[str, Any]) -> None:
        self.input = in_order(write_json(arguments.get("input")))


class Asked(Struct, frozen=True):
    """A wait that the agent asked for, with its key reserved and its recorded end, if there is one."""

    kind: StepKind
    key: str
    name: str
    input: bytes | None
    seconds: float | None
    recorded: StepRow | None


Frame = Callable[[int, StepRow], Message]
"""What tells the node of a wait that begins, from its ref and its row."""


class Wait:
    """`over` gets the row that ended the wait, or None when it became due."""

    __slots__ = ("due_at", "over", "ref", "timer")

    def __init__(self, ref: int, due_at: int | None, over: "asyncio.Future[StepRow | None]") -> None:
        self.ref = ref
        self.due_at = due_at
        self.over = over
        self.timer: asyncio.TimerHandle | None = None


class Waits:
    def __init__(self, attempt: Waiter) -> None:
        self._attempt = attempt
        self._pending: dict[str, Wait] = {}
        self._parking: asyncio.TimerHandle | None = None

    # --- the verbs ---

    def sleep(self, span: timedelta | float) -> Coroutine[Any, Any, None]:
        seconds = seconds_of(span)
        if not self._attempt.kept or seconds == 0:
            return self._attempt.pause(seconds)
        encoded = write_json({"seconds": seconds})
        key = self._journal.reserve("sleep", "sleep", encoded)
        return self._sleep(self._step("sleep", key, "sleep", encoded, seconds))

    async def _sleep(self, step: "Asked") -> None:
        await self._row(step, self._started)

    def signal(self, name: str, timeout: timedelta | float | None) -> Coroutine[Any, Any, Any]:
        if not SIGNAL_NAME.match(name):
            raise ValueError(f"{name!r} is no name of a signal: letters, digits and _.:-, at most 128")
        if not self._attempt.kept:
            raise NotKept(what="ctx.signal")
        seconds = None if timeout is None else seconds_of(timeout)
        encoded = None if seconds is None else write_json({"timeout": seconds})
        key = signal_key(name, self._journal.replay.occurrence(f"signal.{name}"))
        return self._signal(self._step("signal", key, name, encoded, seconds))

    async def _signal(self, step: "Asked") -> Any:
        row = await self._row(step, self._started)
        if row.status == "failed":
            raise failure_in(row)
        return read_json(row.output or b"null")

    def review(
        self, question: str, details: dict[str, Any] | None, within: timedelta | float | None
    ) -> Coroutine[Any, Any, Answer]:
        if not self._attempt.kept:
            raise NotKept(what="ctx.review")
        return self.ask(question, {} if details is None else details, "gate", within)

    def ask(
        self, question: Any, details: Any, kind: ReviewKind, within: timedelta | float | None
    ) -> Coroutine[Any, Any, Answer]:
        """A review of either kind: one that the agent asks for, or one about a step whose end nobody saw."""
        if not isinstance(question, str) or len(question) > QUESTION_LIMIT:
            raise ValueError(f"the question of a review is text of at most {QUESTION_LIMIT} characters")
        if not isinstance(details, dict):
            raise TypeError(f"the details of a review are a dict, not a {type(details).__name__}")
        encoded_details = in_order(write_json(details))
        if len(encoded_details) > DETAILS_LIMIT:
            raise TooLarge(what="`details` of the review", limit=DETAILS_LIMIT)
        seconds = None if within is None else seconds_of(within)
        encoded = b'{"question":%b,"details":%b}' % (write_json(question), encoded_details)
        key = self._journal.reserve("review", "review" if kind == "gate" else kind, encoded)

        def frame(ref: int, row: StepRow) -> Message:
            return AskReview(self._attempt.slot, ref, row, question, encoded_details, kind, row.due_at)

        return self._ask(self._step("review", key, "review", encoded, seconds), frame)

    async def _ask(self, step: "Asked", frame: "Frame") -> Answer:
        row = await self._row(step, frame)
        if row.status == "failed":
            raise failure_in(row)
        return _read_answer(row.output or b"null")

    def call(self, agent: Any, input: Any) -> Coroutine[Any, Any, Any]:
        return self._call(*self._asked_call(agent, input))

    def call_all(
        self, agent: Any, inputs: Iterable[Any], at_once: int, return_exceptions: bool
    ) -> Coroutine[Any, Any, list[Any]]:
        """All keys are reserved in the call itself, in the order of the inputs."""
        if at_once < 1:
            raise ValueError(f"at_once is {at_once}; at least one call is made at a time")
        asked: list[tuple[Asked, HandOff]] = []
        for one in inputs:
            if len(asked) >= CALLS_LIMIT:
                raise LimitReached(what="The calls of one call_all", limit=CALLS_LIMIT)
            asked.append(self._asked_call(agent, one))
        return self._call_all(asked, at_once, return_exceptions)

    async def _call_all(self, asked: "list[tuple[Asked, HandOff]]", at_once: int, return_exceptions: bool) -> list[Any]:
        """Waits until each has ended, also after one has failed: what was called goes on whatever became of others."""
        room = asyncio.Semaphore(at_once)

        async def call(step: Asked, over: HandOff) -> Any:
            async with room:
                return await self._call(step, over)

        found = await asyncio.gather(*(call(step, over) for step, over in asked), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException) and not (return_exceptions and isinstance(one, CallFailed)):
                raise one
        return found

    def _asked_call(self, agent: Any, input: Any) -> "tuple[Asked, HandOff]":
        name = agent.name if isinstance(agent, AgentDefinition) else agent
        if not isinstance(name, str) or not AGENT_NAME.match(name):
            raise ValueError(f"{name!r} is no name of an agent")
        encoded = in_order(write_json(input))
        if len(encoded) > INPUT_LIMIT:
            raise TooLarge(what=f"The input of {name!r}", limit=INPUT_LIMIT)
        key = self._journal.reserve("call", name, encoded)
        return self._step("call", key, name, encoded, None), HandOff(key, name, encoded)

    async def _call(self, step: "Asked", over: "HandOff") -> Any:
        row = step.recorded if step.recorded is not None else await self._hand_over(step, over)
        if row.status == "failed":
            raise call_failure_in(row, child_run_id(self._attempt.run_id, step.key))
        return read_json(row.output or b"null")

    async def _hand_over(self, step: "Asked", over: "HandOff") -> StepRow:
        """The end of a call that has none yet. One that begins is an action, and is decided like a call of a tool."""
        attempt = self._attempt
        if attempt.is_gated and self._journal.begun(step.key, "call") is None:
            await self._journal.admit(step.key)
            refused = await attempt.pass_gate(over)
            if refused is not None:
                return refused
            step = replace(step, input=over.input)

        def frame(ref: int, row: StepRow) -> Message:
            return CallAgent(attempt.slot, ref, row, over.name, over.input)

        return await self._row(step, frame)

    async def wait_known(self, key: str) -> None:
        """Waits for the end of a wait that the node itself has begun."""
        self._journal.replay.begun(key)
        wait = Wait(self._journal.next_ref(), None, self._attempt.loop.create_future())
        self._enter(key, wait)
        try:
            if self._journal.replay.ended(key) is None:
                await wait.over
        finally:
            self._pending.pop(key, None)

    # --- how a wait goes ---

    @property
    def _journal(self) -> AttemptJournal:
        return self._attempt.journal

    def _started(self, ref: int, row: StepRow) -> Message:
        return StepStarted(self._attempt.slot, ref, True, row)

    def _step(self, kind: StepKind, key: str, name: str, encoded: bytes | None, seconds: float | None) -> "Asked":
        """Looks into the journal in the call itself, before anything is awaited."""
        kept = self._attempt.kept
        row = self._journal.recorded(key, kind) if kept else None
        return Asked(kind, key, name, encoded, seconds, row)

    async def _row(self, step: "Asked", frame: "Frame") -> StepRow:
        """The end of a wait: as it is recorded, or as it comes."""
        if step.recorded is not None:
            return step.recorded
        attempt, journal = self._attempt, self._journal
        begun = journal.begun(step.key, step.kind)
        message, ref = None, journal.next_ref()
        if begun is None:
            await journal.admit(step.key)
            now = attempt.clock()
            due_at = None if step.seconds is None else now + ceil(step.seconds * 1_000_000)
            shown = step.input if step.input is None or len(step.input) <= SHOWN_LIMIT else None
            begun = StepRow(
                step.key, step.kind, step.name, BEGUN, "started", input=shown, due_at=due_at, started_at=now
            )
            message = frame(ref, begun)
        wait = Wait(ref, begun.due_at if step.kind in ENDS_HERE else None, attempt.loop.create_future())
        self._enter(step.key, wait)
        try:
            if message is not None and attempt.kept:
                await journal.ask(ref, message)
            elif message is not None:
                attempt.tell(message)
            row = await self._over(wait)
            return row if row is not None else await journal.end(ref, self._due_end(begun), started=True)
        finally:
            self._pending.pop(step.key, None)

    def _due_end(self, begun: StepRow) -> StepRow:
        """The end of a wait that became due: a sleep is over, a signal did not come."""
        error = write_failure(SignalTimeout(name=begun.name)) if begun.kind == "signal" else None
        return StepRow(
            begun.key,
            begun.kind,
            begun.name,
            ENDED,
            "succeeded" if error is None else "failed",
            input=begun.input,
            output=b"null" if error is None else None,
            error=error,
            due_at=begun.due_at,
            started_at=begun.started_at,
            finished_at=self._attempt.clock(),
        )

    async def _over(self, wait: Wait) -> StepRow | None:
        if wait.due_at is None:
            return await wait.over
        timer = self._attempt.loop.call_later(self._seconds_to(wait.due_at), self._due, wait)
        try:
            return await wait.over
        finally:
            (wait.timer or timer).cancel()

    def _due(self, wait: Wait) -> None:
        if wait.over.done() or wait.due_at is None:
            return
        if self._attempt.clock() >= wait.due_at:
            wait.over.set_result(None)
        else:  # timers of a loop may fire a little early
            wait.timer = self._attempt.loop.call_later(self._seconds_to(wait.due_at), self._due, wait)

    def _seconds_to(self, due_at: int) -> float:
        return max(0.0, (due_at - self._attempt.clock()) / 1_000_000)

    # --- what the node and the clock say ---

    def resolved(self, row: StepRow) -> None:
        """The node knows the end of a wait, asked for already or not yet."""
        wait = self._pending.get(row.key)
        if wait is not None:
            if not wait.over.done():
                wait.over.set_result(row)
            self._journal.acked((wait.ref,), row)

    def close(self) -> None:
        """The attempt ends: whoever waits is cancelled."""
        if self._parking is not None:
            self._parking.cancel()
            self._parking = None
        for wait in self._pending.values():
            wait.over.cancel()

    def _enter(self, key: str, wait: Wait) -> None:
        self._pending[key] = wait
        self._attempt.touch()
        if self._parking is None and self._attempt.kept:
            self._parking = self._attempt.loop.call_later(self._attempt.park_after, self._consider_parking)

    def _consider_parking(self) -> None:
        attempt = self._attempt
        self._parking = None
        if not self._pending or attempt.is_ending:
            return
        after = attempt.park_after - attempt.quiet_for
        if after <= 0:
            dues = [wait.due_at for wait in self._pending.values() if wait.due_at is not None]
            due_at = min(dues, default=None)
            left = None if due_at is None else self._seconds_to(due_at)
            if left is None or left >= max(attempt.park_after, LOOK_AGAIN_AFTER):
                attempt.park(due_at)
                return
            after = left
        self._parking = attempt.loop.call_later(max(after, LOOK_AGAIN_AFTER), self._consider_parking)


def seconds_of(span: timedelta | float) -> float:
    """Seconds of a span, at least 0. Raises `ValueError` for what is no span."""
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if not isfinite(seconds) or seconds > SPAN_LIMIT:
        raise ValueError(f"{span!r} is no span of time up to a hundred years")
    return max(0.0, seconds)
