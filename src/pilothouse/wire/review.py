"""The review as JSON: the question a run asks a person, and the decision that answers it.

A decision names its verdict and only what belongs to that verdict; who decided is never taken from the body.
"""

from collections.abc import Collection, Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from pilothouse.domain.review import Review, ReviewKind, ReviewStatus, Verdict
from pilothouse.domain.vote import Ballot, Delegation, Terms, roles_asked
from pilothouse.wire.instant import stamp, stamp_if
from pilothouse.wire.override import OverrideView, mark_overridden
from pilothouse.wire.payload import AnyJson, Instant, JsonObject, raw_if

TEXT_LIMIT = 100_000


class Decision(Struct, kw_only=True, forbid_unknown_fields=True):
    """`edited` belongs to the verdict `edit`, `response` to `respond`; `reason` may always be given."""

    verdict: Verdict
    edited: Any | UnsetType = UNSET
    response: Annotated[str, Meta(max_length=TEXT_LIMIT)] = ""
    reason: Annotated[str, Meta(max_length=TEXT_LIMIT)] = ""
    break_glass: bool = False
    """Decides alone, with the role `break-glass` and a reason; a review of that follows."""
    compensate: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    """Of an appeal that is approved or edited: the agent that corrects what was done."""


class AppealRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Why what came out is not accepted. `review`: the decision of people that is not; `asks`: what should have come
    out. An appeal is shown to those who answer it, and to nobody else."""

    reason: Annotated[str, Meta(min_length=1, max_length=10_000)]
    review: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    asks: AnyJson | UnsetType = UNSET


class IncidentRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """What went wrong, and what it is about: an agent, a run, a hold."""

    happened: Annotated[str, Meta(min_length=1, max_length=10_000)]
    agent: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    run: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    hold: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


AnswerJson = Annotated[
    Raw,
    Meta(
        extra_json_schema={
            "type": "object",
            "properties": {
                "verdict": {"enum": ["approve", "edit", "reject", "respond", "expired"]},
                "edited": {},
                "response": {"type": "string"},
                "reason": {"type": "string"},
                "by": {"type": "string"},
            },
            "required": ["verdict"],
        }
    ),
]


class VoteView(Struct, kw_only=True):
    """`counts`: whoever cast it, or in whose name, still has the role."""

    by: str
    on_behalf_of: str | None
    at: Instant
    reason: str
    counts: bool


class RungView(Struct, kw_only=True):
    """A role that is asked as well after so many seconds of silence, and whether it is by now."""

    role: str
    after_seconds: float
    is_asked: bool


class BallotView(Struct, kw_only=True):
    """How far a decision of several people is. `until`: silence so long is a deny. `open_to`: who may still vote.
    `refusal`: why whoever asks may not; null: they may."""

    roles: list[str]
    quorum: int
    counted: int
    votes: list[VoteView]
    ladder: list[RungView]
    until: Instant | None
    requester: str
    open_to: list[str]
    refusal: str | None


class ReviewView(Struct, kw_only=True):
    """A review. `kind` is `unknown_outcome` when the runtime asks about a `once` step whose end nobody saw. `ballot` is
    there where people decide by votes."""

    id: str
    run: str
    agent: str
    question: str
    details: JsonObject
    status: ReviewStatus
    created_at: Instant
    expires_at: Instant | None
    answer: AnswerJson | None
    kind: ReviewKind
    step: str
    decided_at: Instant | None
    override: OverrideView | None = None
    ballot: BallotView | None


class ReviewPage(Struct):
    """Oldest first, or newest first where that was asked for."""

    items: list[ReviewView]
    next_cursor: str | None


def ballot_view(
    terms: Terms, ballot: Ballot, counted: Collection[str], open_to: Sequence[str], refusal: str | None
) -> BallotView:
    return BallotView(
        roles=[role for role in roles_asked(terms, ballot.level) if role],
        quorum=terms.quorum,
        counted=len(counted),
        votes=[
            VoteView(
                by=one.by,
                on_behalf_of=one.on_behalf_of,
                at=stamp(one.at),
                reason=one.reason,
                counts=(one.on_behalf_of or one.by) in counted,
            )
            for one in ballot.votes
        ],
        ladder=[
            RungView(role=one.role, after_seconds=one.after, is_asked=number < ballot.level)
            for number, one in enumerate(terms.ladder)
        ],
        until=stamp_if(terms.until),
        requester=terms.requester,
        open_to=list(open_to),
        refusal=refusal,
    )


def review_view(review: Review, ballot: BallotView | None = None) -> ReviewView:
    answer, override = raw_if(review.answer), None
    if review.overrides is not None:
        answer, override = mark_overridden(review.answer, review.overrides)
    return ReviewView(
        id=review.id,
        run=review.run,
        agent=review.agent,
        question=review.question,
        details=Raw(review.details),
        status=review.status,
        created_at=stamp(review.created_at),
        expires_at=stamp_if(review.expires_at),
        answer=answer,
        kind=review.kind,
        step=review.step,
        decided_at=stamp_if(review.decided_at),
        override=override,
        ballot=ballot,
    )


class DelegationRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """`to` is the name of a principal; `roles` are your own."""

    to: Annotated[str, Meta(min_length=1, max_length=128)]
    roles: Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(min_length=1, max_length=50)]
    seconds: Annotated[float, Meta(gt=0, le=366 * 86_400)]


class DelegationView(Struct):
    id: str
    by: str
    to: str
    roles: list[str]
    until: Instant


class DelegationPage(Struct):
    """Oldest first."""

    items: list[DelegationView]
    next_cursor: str | None


def delegation_view(one: Delegation) -> DelegationView:
    return DelegationView(one.id, one.by, one.to, list(one.roles), stamp(one.until))
