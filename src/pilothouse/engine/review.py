"""Deciding reviews.

The answer is the end of the step that asked, in the Change that closes the review, so a decision that was acknowledged
reaches its run whatever happens next; of racing verdicts one wins and the other learns it. A review about an action is
decided by votes; see `vote`.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from pilothouse.domain.event import line
from pilothouse.domain.journal import ENDED, StepRow
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.review import AFTERWARDS, Answer, Review
from pilothouse.domain.run import Run
from pilothouse.domain.vote import roles_asked
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import encode, raw
from pilothouse.engine.outbox import deliveries_of, tell_review
from pilothouse.engine.review_link import NOBODY, check_link
from pilothouse.engine.vote import Cast, cast_vote, climb, read_ballot, terms_of
from pilothouse.engine.world import World
from pilothouse.errors import LinkRefused, Overloaded, ReviewClosed, ReviewNotFound, Unauthenticated
from pilothouse.ports.change import (
    Act,
    AppendEvents,
    Change,
    CloseReview,
    Conflict,
    ResolveStep,
    Row,
    Statement,
    WakeRun,
)

Keep = Callable[[Answer, tuple[Statement, ...]], Awaitable[None]]
"""Commits the answer of a review with the statements that close it. Raises `Conflict` when they fell."""

TRIES = 50
"""How often a vote is counted again because another one came at the same moment."""

PAGES_LOOKED_AT = 20
"""Of a list that is filtered, before a page is answered that may be empty."""

BY_VOTE = frozenset({"action", *AFTERWARDS})
"""Kinds whose terms say who may decide, and how many of them."""


async def get_review(world: World, tenant: str, review: str) -> Review:
    found = await world.records.get_review(tenant, review)
    if found is None:
        raise ReviewNotFound(review=review)
    return found


async def list_reviews(
    world: World,
    tenant: str,
    status: str | None,
    run: str | None,
    cursor: str | None,
    limit: int,
    *,
    role: str | None = None,
    due_before: int | None = None,
    kind: str | None = None,
    newest: bool = False,
) -> tuple[Sequence[Review], str | None]:
    """The oldest first, or the `newest`. `kind`: only that one. `role`: only those in which it is asked now;
    `due_before`: only those that end before this instant; a page of these may hold fewer than `limit` although there
    are more."""
    for _ in range(PAGES_LOOKED_AT):
        page, cursor = await world.records.list_reviews(tenant, status, run, cursor, limit, kind=kind, newest=newest)
        found = [one for one in page if await _fits(world, one, role, due_before)]
        if found or cursor is None:
            return found, cursor
    return [], cursor


async def _fits(world: World, review: Review, role: str | None, due_before: int | None) -> bool:
    if due_before is not None and (review.expires_at is None or review.expires_at >= due_before):
        return False
    if role is None:
        return True
    if review.kind not in BY_VOTE:
        return False
    _, ballot = await read_ballot(world, review)
    return role in roles_asked(terms_of(review), ballot.level)


async def decide_review(
    world: World,
    tenant: str,
    review: str,
    answer: Answer,
    by: Principal | None = None,
    *,
    break_glass: bool = False,
    keep: Keep | None = None,
) -> Review:
    """Closes an open review and wakes its run; a review about an action stays open until its quorum is there. Raises
    `ReviewNotFound`, `VoteRefused`, and `ReviewClosed` when it is not open: also for the same verdict a second time,
    since the caller did not give the one that counts. `keep`: commits what closes it, with what follows from the
    answer; of kinds about what was done."""
    for _ in range(TRIES):
        found = await get_review(world, tenant, review)
        if found.status != "open":
            break
        status = "expired" if answer.verdict == "expired" else "decided"
        counted, cast = answer, Cast([], [], answer)
        if found.kind in BY_VOTE and status == "decided":
            cast = await cast_vote(world, found, answer, by or named(answer.by, tenant), break_glass=break_glass)
            if cast.answer is None:
                if await _stands(_commit(world, (*cast.acts, *cast.rows))):
                    return found
                continue
            counted = cast.answer
        if await _close(world, found, counted, status, cast, keep):
            return await get_review(world, tenant, review)
    else:
        raise Overloaded()
    raise ReviewClosed(review=review, status=found.status)


def named(by: str, tenant: str) -> Principal:
    """Somebody at this machine, by the name that they give: for tests, and where there are no keys."""
    return replace(LOCAL, name=by or LOCAL.name, tenant=tenant)


async def _commit(world: World, statements: tuple[Statement, ...]) -> None:
    await world.records.commit(Change(statements))


async def _stands(kept: Awaitable[None]) -> bool:
    try:
        await kept
    except Conflict:
        return False
    return True


async def expire_review(world: World, review: Review) -> None:
    """An open review whose time is over asks the next on its ladder, or is answered with `expired`: never approved."""
    if review.kind in BY_VOTE and await climb(world, review):
        return
    answer = Answer(verdict="expired", reason="nobody decided in time")
    await _close(world, review, answer, "expired", Cast([], [], answer))


async def _close(
    world: World, review: Review, answer: Answer, status: str, cast: Cast, keep: Keep | None = None
) -> bool:
    """Whether the answer counts. When the run or the step has ended meanwhile, the review is closed without one."""
    at = world.clock.now()
    encoded = encode(answer)
    close = CloseReview(review.tenant, review.id, status, encoded, at)
    row = StepRow(
        key=review.step,
        kind="review",
        name="review",
        phase=ENDED,
        status="succeeded",
        output=encoded,
        started_at=review.created_at,
        finished_at=at,
    )
    body = {"review": review.id, "step": review.step, "verdict": answer.verdict, "answer": raw(encoded)}
    decided = line("review.decided", encode(body))
    digest = world.seals.digest(review.tenant, None, encoded)
    kind = "review.expired" if status == "expired" else "review.decided"
    facts = {"run": review.run or None, "step": review.step, "verdict": answer.verdict, "answer": digest}
    told = entry(review.tenant, review.id, at, kind, answer.by or NODE, **facts)
    run = await world.records.get_run(review.tenant, review.run) if review.run else None
    if review.kind in AFTERWARDS:
        says = tell_review(
            world, review.tenant, run, "review.decided", review.agent, encode(body | {"kind": review.kind})
        )
        statements = (close, *cast.acts, *cast.rows, told, *says)
        return await _stands(keep(answer, statements) if keep else _commit(world, statements))
    rows: list[Row] = [AppendEvents(review.tenant, review.run, at, 1, decided), *cast.rows, told]
    if run is not None:
        rows += deliveries_of(world, run, at, (decided,))
    resolve = ResolveStep(review.tenant, review.run, row)
    acts: list[Act] = [close, *cast.acts, resolve, WakeRun(review.tenant, review.run)]
    try:
        await world.records.commit(Change((*acts, *rows)))
    except Conflict as fell:
        if fell.statement not in ("close_review", "write_document"):
            with contextlib.suppress(Conflict):
                told = entry(review.tenant, review.id, at, "review.cancelled", NODE, run=review.run)
                await world.records.commit(Change((CloseReview(review.tenant, review.id, "cancelled", None, at), told)))
        return False
    world.bus.ring("resolved", f"{review.tenant}/{review.run}")
    world.bus.ring("work", review.agent)
    return True


async def open_question(world: World, turns: Sequence[Run]) -> Review | None:
    """The oldest review that one of these runs waits for."""
    for turn in turns:
        if turn.status == "waiting":
            found, _ = await world.records.list_reviews(turn.tenant, "open", turn.id, None, 1)
            if found:
                return found[0]
    return None


async def open_link(world: World, text: str, by: Principal) -> Review:
    """The review that the link names. Raises `LinkRefused`, and `Unauthenticated` where the link alone does not do. A
    link that needs no key counts only while the question is open; one of another tenant is nobody's."""
    found = check_link(world, text)
    assert world.links is not None
    if by is NOBODY and world.links.needs_signin:
        raise Unauthenticated(reason="a link opens a question only to who is signed in")
    if by is not NOBODY and by.tenant != found.tenant:
        raise LinkRefused(reason="it is for another tenant")
    try:
        review = await get_review(world, found.tenant, found.review)
    except ReviewNotFound:
        raise LinkRefused(reason="its question is gone") from None
    if by is NOBODY and review.status != "open":
        raise LinkRefused(reason=f"its question is {review.status}")
    return review
