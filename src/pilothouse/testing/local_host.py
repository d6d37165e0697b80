"""The host of a node under test: inline, heard word by word, and dead at the word that a test names.

A crash point stands at one of the three places where a crash matters to a step: before its effect, after the effect
and before anybody knows of it, and after its result is kept and before the agent goes on.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from pilothouse.compute.inline import InlineHost
from pilothouse.compute.worker import NodeWorker
from pilothouse.domain.journal import WAITS, StepRow
from pilothouse.sdk.scope import attempt_here
from pilothouse.testing.clock import ManualClock
from pilothouse.wire.frames import Acks, Message, StepEnded, StepStarted
from pilothouse.wire.host import HostConfig

When = Literal["before", "after_effect", "after_commit"]


class CrashPoint(Struct):
    """`occurrence`: at which execution of a step with this name, counted from 1 over all runs and restarts."""

    step: str
    when: When
    occurrence: int = 1


class Watch:
    """What a test wants to know of the hosts of its node, and does to them. Outlives their crashes."""

    def __init__(self, on_move: Callable[[], None], on_crash: Callable[[], None]) -> None:
        self.on_move, self.on_crash = on_move, on_crash
        self.executions: Counter[str] = Counter()
        self.points: list[CrashPoint] = []

    def is_struck(self, step: str, when: When) -> bool:
        """Whether a crash point stands here. Each strikes once."""
        for point in self.points:
            if (point.step, point.when) == (step, when):
                point.occurrence -= 1
                if point.occurrence <= 0:
                    self.points.remove(point)
                    return True
        return False


class WatchedHost(InlineHost):
    def __init__(self, *args: Any, watch: Watch) -> None:
        super().__init__(*args)
        self._watch = watch
        self._is_dead = False
        self._begun: dict[tuple[int, int], StepRow] = {}
        self._deadly: set[tuple[int, int]] = set()
        """Acks that the host does not live to hear."""

    def die(self) -> None:
        """At once, and without a word: what user code still does is not heard."""
        if not self._is_dead:
            self._is_dead = True
            self.is_up = False
            self._runtime.close()

    def say(self, message: Message) -> None:
        if self._is_dead:
            return
        self._watch.on_move()
        match message:
            case StepStarted(slot, ref, durable, row) if row.kind not in WAITS:
                if durable:
                    self._begun[slot, ref] = row
                else:
                    self._begin(row)
            case StepEnded(_, _, _, row) if self._watch.is_struck(row.name, "after_effect"):
                self._watch.on_crash()
                return
            case StepEnded(slot, ref, _, row) if self._watch.is_struck(row.name, "after_commit"):
                self._deadly.add((slot, ref))
            case _:
                pass
        super().say(message)

    def _begin(self, row: StepRow) -> None:
        """The function of the step is called next, unless the host dies here."""
        if self._watch.is_struck(row.name, "before"):
            self._watch.on_crash()
            raise asyncio.CancelledError
        self._watch.executions[row.name] += 1

    def send(self, message: Message) -> None:
        if self._is_dead:
            return
        self._watch.on_move()
        if isinstance(message, Acks):
            try:
                for ref in message.refs:
                    self._hear_ack(message.slot, ref)
            except asyncio.CancelledError:
                return
        super().send(message)

    def _hear_ack(self, slot: int, ref: int) -> None:
        if (slot, ref) in self._deadly:
            self._watch.on_crash()
            raise asyncio.CancelledError
        row = self._begun.pop((slot, ref), None)
        if row is not None:
            self._begin(row)


class WatchedClock:
    """Tells which runs sleep on the clock of a test: they rest, and move again when the clock is moved."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.sleeping: Counter[int] = Counter()
        """By slot."""

    def now(self) -> int:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:
        place = attempt_here.get()
        slot = -1 if place is None else place.slot
        self.sleeping[slot] += 1
        try:
            await self._clock.sleep(seconds)
        finally:
            self.sleeping[slot] -= 1


class LocalWorker(NodeWorker):
    """A worker with one inline host, which is watched."""

    watch: Watch
    watched: WatchedHost | None = None

    def inline_host(self, config: HostConfig) -> InlineHost:
        self.watched = WatchedHost(
            config,
            self._options.slots,
            self._options.cancel_grace,
            self._call,
            self._changed,
            self._held_clock,
            watch=self.watch,
        )
        return self.watched
