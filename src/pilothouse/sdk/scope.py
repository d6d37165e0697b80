"""Where code runs: in which attempt, and in which step of it. Context variables, so threads and tasks inherit both.

The step's scope carries the idempotency key that the outside may see, and collects the usage that belongs to the step.
Its `kind` tells who counts: what a `model` or `tool` step of a bridge calls outside is part of that step, and is
neither recorded nor counted a second time.
"""

import threading
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from pilothouse.domain.journal import StepKind
from pilothouse.errors import PilothouseError
from pilothouse.sdk.usage import Usage


class KeyMaker(Protocol):
    """The attempt, as its steps see it."""

    def idempotency_key_of(self, key: str) -> str: ...


class Scope:
    """One executing step. What it can tell is made when it is asked for: most steps need none of it."""

    __slots__ = ("_attempt", "_seen", "_usage", "key", "kind")

    def __init__(self, attempt: KeyMaker, key: str, kind: StepKind) -> None:
        self._attempt = attempt
        self.key = key
        self.kind = kind
        self._usage: Usage | None = None
        self._seen: Usage | None = None

    @property
    def idempotency_key(self) -> str:
        return self._attempt.idempotency_key_of(self.key)

    @property
    def usage(self) -> Usage:
        if self._usage is None:
            self._usage = Usage()
        return self._usage

    def see(self, usage: Usage) -> None:
        """What the border has counted in this step."""
        if self._seen is None:
            self._seen = Usage()
        self._seen.add(usage)

    def total(self) -> Usage | None:
        """What belongs to the step. Who counts model calls by hand, or in a bridge, is believed, and the border adds
        no second time; but what a call cost is known to the border alone."""
        told, seen = self._usage, self._seen
        if told is None or seen is None:
            return told or seen
        if not (told.model_calls or told.input_tokens or told.output_tokens):
            told.add(seen)
        elif not told.cost_usd:
            told.cost_usd = seen.cost_usd
        self._seen = None
        return told


class Place(Protocol):
    """The attempt, as those see it who only want to tell to whom a line belongs."""

    slot: int
    is_over: bool


class OutsideStep(PilothouseError):
    """There is no idempotency key here: this code does not run inside a step."""

    code = "outside_step"
    hint_text = "Call it from a function that was given to ctx.step or ctx.call_tool."


attempt_here: ContextVar[Place | None] = ContextVar("pilothouse_attempt", default=None)
step_here: ContextVar[Scope | None] = ContextVar("pilothouse_step", default=None)


counting_here: ContextVar[Callable[[], str] | None] = ContextVar("pilothouse_counting", default=None)
"""Tells in which part of a framework's run code is, where occurrences of equal steps are counted part by part: a part
that ended is not run again, so what it asked for must not be counted with what others ask for."""


def in_part(encoded: bytes) -> bytes:
    """What a step is told apart by, with the part it is asked for in."""
    counting = counting_here.get()
    if counting is None or not (part := counting()):
        return encoded
    return b"%b\n%b" % (encoded, part.encode())


class Timekeeper(Protocol):
    """The attempt, as code sees it that only wants to know the time."""

    surroundings: Any

    def now(self) -> datetime: ...

    def from_thread(self, begin: Callable[[], Any]) -> Any: ...


def now() -> datetime:
    """The time in UTC. Within a run it is recorded, as `ctx.now()` is, and so the same on every replay: what a node of
    a graph puts into a prompt asks the same question again. Inside a step, which is not replayed, and outside of every
    run it is what the clock says."""
    attempt = cast("Timekeeper | None", attempt_here.get())
    if attempt is None or step_here.get() is not None:
        return datetime.now(UTC)
    is_on_loop = threading.get_ident() == attempt.surroundings.thread
    at: datetime = attempt.now() if is_on_loop else attempt.from_thread(attempt.now)
    return at


def idempotency_key() -> str:
    """The key of the step that is executing: the same on every try and every attempt. Raises `OutsideStep`."""
    scope = step_here.get()
    if scope is None:
        raise OutsideStep
    return scope.idempotency_key
