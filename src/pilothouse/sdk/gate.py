"""The gate before a tool or a hand-off: the node decides whether it may happen, and the host waits for its word.

The host proposes what it is about to do and does exactly what it is answered: run it, run it with other arguments, keep
a person's answer as its result, fail it, or wait for a review and propose it again. It decides nothing itself, and a
call that a later attempt makes again is proposed again: what counts is the policy at the moment of execution (G1).
"""

from typing import Any, Protocol

import msgspec
from msgspec import Struct

from pilothouse.domain.journal import ENDED, StepKind, StepRow
from pilothouse.errors import ActionDenied
from pilothouse.sdk.agent import TOOLS
from pilothouse.sdk.failure import write_failure
from pilothouse.sdk.journal import AttemptJournal
from pilothouse.sdk.schema import read_json
from pilothouse.wire.frames import ProposeAction

UNKNOWN_RISK = "reversible"
"""Of a tool that says nothing of itself."""


class Answer(Struct):
    """What the node said: `allow`, `deny`, `respond`, or `ask` with the step that waits for people."""

    verdict: str
    reason: str = ""
    arguments: msgspec.Raw = msgspec.Raw()
    """Empty: as they were proposed."""
    response: str = ""
    wait: str = ""


class Applicant(Protocol):
    """The attempt, as the gate sees it."""

    slot: int
    kept: bool

    @property
    def journal(self) -> AttemptJournal: ...

    def clock(self) -> int: ...

    async def wait_for(self, key: str) -> None:
        """Until the wait `key`, which the node has begun, is over."""
        ...


class Proposed(Protocol):
    """What is about to be done: a call of a tool, or a hand-off to another agent."""

    @property
    def kind(self) -> StepKind: ...

    @property
    def key(self) -> str: ...

    @property
    def name(self) -> str:
        """Of the step."""
        ...

    @property
    def action(self) -> str:
        """What policies know it by."""
        ...

    @property
    def risk(self) -> str: ...

    @property
    def proposed(self) -> bytes: ...

    @property
    def input(self) -> bytes | None: ...

    def use(self, arguments: dict[str, Any]) -> None:
        """Other arguments than these: a person or a policy has edited them."""
        ...


_read_answer = msgspec.json.Decoder(Answer).decode


def risk_of(name: str, function: Any) -> str:
    """The risk that a tool declares, also when a framework knows it by its name only."""
    risk = getattr(function, "risk", None)
    if isinstance(risk, str):
        return risk
    known = TOOLS.get(name)
    return known.risk if known is not None else UNKNOWN_RISK


async def pass_gate(attempt: Applicant, call: Proposed) -> StepRow | None:
    """None: the call may run, with the arguments that `call` has now. Otherwise how it ended without running."""
    journal = attempt.journal
    while True:
        ref = journal.next_ref()
        message = ProposeAction(attempt.slot, ref, call.key, call.action, call.risk, call.proposed)
        answer = _read_answer((await journal.propose(ref, message)).output or b"{}")
        if answer.verdict == "ask":
            await attempt.wait_for(answer.wait)
            continue
        journal.replay.skip(journal.replay.reviews_of(call.key))
        match answer.verdict:
            case "allow":
                if edited := bytes(answer.arguments):
                    call.use(read_json(edited))
                return None
            case "respond":
                end = _end(call, attempt.clock(), output=msgspec.json.encode(answer.response))
            case _:
                error = ActionDenied(step=call.key, name=call.name, kind="ActionDenied", text=answer.reason)
                end = _end(call, attempt.clock(), error=error)
        if not attempt.kept:
            return end
        return await journal.end(ref, end, started=False)


def _end(call: Proposed, at: int, output: bytes | None = None, error: ActionDenied | None = None) -> StepRow:
    return StepRow(
        call.key,
        call.kind,
        call.name,
        ENDED,
        "succeeded" if error is None else "failed",
        tries=0,  # it was not executed, whatever it gives
        input=call.input,
        output=output,
        error=None if error is None else write_failure(error),
        started_at=at,
        finished_at=at,
    )
