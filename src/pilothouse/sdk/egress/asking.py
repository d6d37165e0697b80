"""The attempt as the border sees it, and the one question that goes before a call: may it be made?

A budget that is used up ends the run or becomes a question to a person, so it is never an answer that a client library
would have to make sense of; all other denials are told to the client as a provider would tell them.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from pilothouse.domain.review import Answer as Decision
from pilothouse.domain.review import ReviewKind
from pilothouse.errors import BudgetExceeded, PilothouseError
from pilothouse.sdk.egress.passage import CallKind, Passage
from pilothouse.sdk.journal import AttemptJournal
from pilothouse.wire.frames import CallDenied, CallGranted


class Asker(Protocol):
    """The attempt, as the one that asks the node."""

    @property
    def passage(self) -> Passage: ...

    def check_alive(self) -> None: ...

    async def ask_person(self, question: str, details: dict[str, Any], kind: ReviewKind) -> Decision: ...

    def fail(self, error: PilothouseError) -> None: ...

    def call_began(self) -> None: ...

    def call_ended(self) -> None: ...


class Caller(Asker, Protocol):
    """The attempt, as the border sees it."""

    kept: bool
    loop: asyncio.AbstractEventLoop

    @property
    def journal(self) -> AttemptJournal: ...

    @property
    def is_ending(self) -> bool: ...

    @property
    def deadline_at(self) -> int | None: ...

    def clock(self) -> int: ...

    async def pause(self, seconds: float) -> None: ...

    def from_thread(self, begin: Callable[[], Any]) -> Any: ...

    def tell_call(self, event: str, body: dict[str, Any]) -> None:
        """An event of the run about a call."""
        ...


async def ask_node(caller: Asker, kind: CallKind, is_step: bool, *facts: Any) -> CallGranted | CallDenied:
    """The node's answer. A budget that is used up ends the run, or is a question to a person; so it is never an answer
    here. Raises `CancelledError` when the run ends."""
    passage = caller.passage
    while True:
        answer = await passage.ask(kind, is_step, *facts)
        if not isinstance(answer, CallDenied) or answer.status:
            return answer
        if answer.asks:
            number = passage.raised.get(answer.budget, 0) + 1
            details = {**msgspec.json.decode(answer.hit), "budget": answer.budget, "number": number}
            question = f"{answer.message} Grant the same amount once more to this run?"
            if kind == "model":
                caller.call_ended()  # a person may take days: meanwhile the run only waits, and can be parked
            decision = await caller.ask_person(question, details, "budget")
            if kind == "model":
                caller.call_began()
            if decision.verdict == "approve":
                passage.raised[answer.budget] = number
                continue
        caller.fail(BudgetExceeded(answer.message))
        caller.check_alive()
