"""A seat: the place of one attempt in a host. It carries words both ways and knows when the place is free again.

A slot of the link is given to another attempt only when the host has said its last word about this one: by its end, or,
after an `Abandon`, by the answer to a `Ping` that went behind it. So no late word is ever taken for another run's.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from pilothouse.domain.journal import StepRow
from pilothouse.domain.price import Price
from pilothouse.domain.scratch import ScratchAnswer
from pilothouse.ports.outgoing import Denial
from pilothouse.ports.worker import Actor, Assignment
from pilothouse.wire.frames import (
    Abandon,
    Acks,
    CallDenied,
    CallGranted,
    Cancel,
    Decided,
    Message,
    Resolved,
    ScratchUsed,
)


class Bench(Protocol):
    """What a seat needs of its host."""

    def send(self, message: Message) -> None: ...

    def free(self, seat: "Seat", *, after_ping: bool) -> None: ...

    def leave_behind(self) -> None:
        """The attempt is taken away, and its code goes on in the host: it did not obey."""
        ...


class Seat(Actor):
    def __init__(
        self, host: Bench, slot: int, assignment: Assignment, grace: float, on_over: Callable[["Seat"], None]
    ) -> None:
        self.host, self.slot, self.assignment = host, slot, assignment
        self.notebook = assignment.notebook
        self.agent = assignment.agent.name
        self.is_silent = False
        """The host has said its last word about this attempt."""
        self._grace, self._on_over = grace, on_over
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self.has_spoken = False
        self.began_at = asyncio.get_running_loop().time()

    def acked(self, refs: Sequence[int]) -> None:
        if not self.is_silent:
            self.host.send(Acks(self.slot, list(refs)))

    def resolved(self, row: StepRow) -> None:
        if not self.is_silent:
            self.host.send(Resolved(self.slot, row))

    def granted(self, ref: int, price: Price | None) -> None:
        if not self.is_silent:
            self.host.send(CallGranted(self.slot, ref, price))

    def denied(self, ref: int, denial: Denial) -> None:
        if not self.is_silent:
            facts = (denial.status, denial.code, denial.message, denial.retry_after, denial.budget, denial.asks)
            self.host.send(CallDenied(self.slot, ref, *facts, denial.hit))

    def scratch_used(self, ref: int, answer: ScratchAnswer) -> None:
        if not (self.is_silent or self._is_over):  # the store may answer when the slot is another attempt's
            self.host.send(ScratchUsed(self.slot, ref, answer))

    def decided(self, ref: int, row: StepRow) -> None:
        if not self.is_silent:
            self.host.send(Decided(self.slot, ref, row))

    def cancel(self, reason: str) -> None:
        """Asks once; after the grace the attempt is taken from the host whatever its code does."""
        if self.is_silent or self._timer is not None:
            return
        self.host.send(Cancel(self.slot, reason))
        self._timer = asyncio.get_running_loop().call_later(self._grace, self._give_up)

    def _give_up(self) -> None:
        if self.is_silent or self._is_over:
            return
        self.host.leave_behind()
        self.notebook.hand_back()
        self.notebook.flush()

    def over(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if not self.is_silent:
            self.host.send(Abandon(self.slot))
        self.host.free(self, after_ping=not self.is_silent)
        self._on_over(self)
