"""The routes of reviews: what waits for a person, and the decision.

Who decided is taken from the request's principal, never from its body.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct

from pilothouse.communication.http.call import Call, check_cursor, demand, principal_of, tenant_of
from pilothouse.communication.http.run import check_run_id
from pilothouse.domain.review import Answer, Review, ReviewKind, ReviewStatus
from pilothouse.engine import appeal as appeals
from pilothouse.engine import incident as incidents
from pilothouse.engine import review as verbs
from pilothouse.engine import vote as votes
from pilothouse.engine.appeal import Appeal
from pilothouse.engine.incident import Incident
from pilothouse.engine.review_link import NOBODY, check_link
from pilothouse.engine.verdict import give_verdict
from pilothouse.errors import InvalidInput
from pilothouse.wire.review import (
    AppealRequest,
    Decision,
    DelegationPage,
    DelegationRequest,
    IncidentRequest,
    ReviewPage,
    ReviewView,
    ballot_view,
    delegation_view,
    review_view,
)


class ReviewsQuery(Struct, forbid_unknown_fields=True):
    status: ReviewStatus | None = None
    run: Annotated[str, Meta(max_length=256)] | None = None
    kind: ReviewKind | None = None
    role: Annotated[str, Meta(max_length=64)] | None = None
    due_within: Annotated[float, Meta(gt=0, le=366 * 86_400)] | None = None
    newest: bool = False
    """The newest first; else the oldest, which have waited longest."""
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


async def list_reviews(call: Call, query: ReviewsQuery) -> None:
    check_cursor(query.cursor)
    world = call.front.world
    due_before = None if query.due_within is None else world.clock.now() + round(query.due_within * 1e6)
    found, cursor = await verbs.list_reviews(
        world,
        tenant_of(call),
        query.status,
        query.run,
        query.cursor,
        query.limit,
        role=query.role,
        due_before=due_before,
        kind=query.kind,
        newest=query.newest,
    )
    await call.show(ReviewPage([await _view(call, one) for one in found], cursor))


async def get_review(call: Call, review: str) -> None:
    await call.show(await _view(call, await verbs.get_review(call.front.world, tenant_of(call), review)))


async def _view(call: Call, review: Review) -> ReviewView:
    if review.kind not in verbs.BY_VOTE:
        return review_view(review)
    found = await votes.read_progress(call.front.world, review, call.principal)
    return review_view(review, ballot_view(found.terms, found.ballot, found.counted, found.open_to, found.refusal))


async def decide_review(call: Call, review: str, body: Decision) -> None:
    """A second decision is a conflict, also with the same verdict: the first one counts."""
    answer = Answer(
        verdict=body.verdict,
        edited=None if body.edited is UNSET else body.edited,
        response=body.response,
        reason=body.reason,
        by=principal_of(call),
    )
    check_decision(body)
    decided = await give_verdict(
        call.front.world,
        tenant_of(call),
        review,
        answer,
        call.principal,
        break_glass=body.break_glass,
        compensate=body.compensate,
    )
    await call.show(await _view(call, decided))


async def file_appeal(call: Call, run: str, body: AppealRequest) -> None:
    """Of a run that has ended. It becomes a review, answered by other people than those who decided."""
    check_run_id(run)
    asks = bytes(body.asks) if isinstance(body.asks, Raw) else None
    appeal = Appeal(reason=body.reason, about=body.review, asks=asks)
    await call.show(await _view(call, await appeals.file_appeal(call.front.world, call.principal, run, appeal)), 201)


async def open_incident(call: Call, body: IncidentRequest) -> None:
    """It becomes a review, closed by somebody else than who opened it."""
    incident = Incident(happened=body.happened, agent=body.agent or "", run=body.run or "", hold=body.hold or "")
    opened = await incidents.open_incident(call.front.world, call.principal, incident)
    await call.show(await _view(call, opened), 201)


def check_decision(body: Decision) -> None:
    if body.verdict == "edit" and body.edited is UNSET:
        raise InvalidInput(faults=[{"path": "$.edited", "message": "the verdict `edit` needs it"}])
    if body.verdict == "respond" and not body.response:
        raise InvalidInput(faults=[{"path": "$.response", "message": "the verdict `respond` needs it"}])


async def open_link(call: Call, link: str) -> None:
    """Browsers are sent to the page of the console, where people sign in; programs get the review."""
    world = call.front.world
    if b"text/html" in call.headers.get(b"accept", b""):
        found = check_link(world, link)
        call.reply(303, b"", [(b"location", f"../../#/reviews/{found.review}".encode())])
        return
    review = await verbs.open_link(world, link, call.principal)
    if call.principal is not NOBODY:
        demand(call, "reviews:read")
    await call.show(await _view(call, review))


async def list_delegations(call: Call) -> None:
    found = await votes.list_delegations(call.front.world, tenant_of(call))
    await call.show(DelegationPage([delegation_view(one) for one in found], None))


async def delegate(call: Call, body: DelegationRequest) -> None:
    """Your own roles only, and never one that was delegated to you."""
    made = await votes.delegate(call.front.world, call.principal, body.to, body.roles, body.seconds)
    await call.show(delegation_view(made), 201)


async def end_delegation(call: Call, delegation: str) -> None:
    await votes.end_delegation(call.front.world, call.principal, delegation)
    await call.answer_empty(204)
