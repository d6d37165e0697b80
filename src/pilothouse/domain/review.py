"""The review: a request for human judgement that outlives every process.

States: `open` -> `decided` | `expired` | `cancelled`; all three are final. The answer becomes the result of the step
that asked, so the run learns it by replay. `unknown_outcome` reviews are asked by the runtime about a `once` step that
began and whose end nobody saw, `budget` reviews about a budget that is used up, `action` ones about what a policy
leaves to people. After the fact come `audit` ones, about a decision that somebody took alone, `sample` ones, about a
run that was chosen to be looked at, `appeal` ones, by somebody who does not accept what came out, and `incident` ones,
about what went wrong: no run waits for those, and the end of a run closes none of them.
"""

from typing import Literal

from msgspec import Struct

Verdict = Literal["approve", "edit", "reject", "respond"]
ReviewStatus = Literal["open", "decided", "expired", "cancelled"]
ReviewKind = Literal["gate", "unknown_outcome", "budget", "action", "audit", "sample", "appeal", "incident"]

AFTERWARDS: frozenset[str] = frozenset({"audit", "sample", "appeal", "incident"})
"""Kinds about what was done: no run waits for them."""

VERDICTS: tuple[str, ...] = ("approve", "edit", "reject", "respond")


class Review(Struct, kw_only=True):
    """`details` is a JSON object for the reviewer; `answer` is the JSON of `Answer` once there is one."""

    tenant: str
    id: str
    run: str
    step: str
    agent: str
    kind: ReviewKind = "gate"
    question: str
    details: bytes = b"{}"
    status: ReviewStatus = "open"
    answer: bytes | None = None
    created_at: int
    expires_at: int | None = None
    decided_at: int | None = None
    overrides: bytes | None = None
    """What superseded its answer, as a JSON list of `override.Override`; the answer itself stays."""
    superseded: int = 0


class Answer(Struct, kw_only=True):
    """What a review gave: a verdict of a person, or `expired`. `edited` is any JSON value of the reviewer."""

    verdict: Literal["approve", "edit", "reject", "respond", "expired"]
    edited: object = None
    response: str = ""
    reason: str = ""
    by: str = ""
