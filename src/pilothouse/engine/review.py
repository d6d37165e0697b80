"""Deciding reviews.

The answer is the end of the step that asked, in the Change that closes the review, so a decision that was acknowledged
reaches its run whatever happens next; of racing verdicts one wins and the other learns it.
"""

import contextlib
from collections.abc import Sequence

from pilothouse.domain.event import line
from pilothouse.domain.journal import ENDED, StepRow
from pilothouse.domain.review import Answer, Review
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import encode, raw
from pilothouse.engine.outbox import deliveries_of
from pilothouse.engine.world import World
from pilothouse.errors import ReviewClosed, ReviewNotFound
from pilothouse.ports.change import Act, AppendEvents, Change, CloseReview, Conflict, ResolveStep, Row, WakeRun


async def get_review(world: World, tenant: str, review: str) -> Review:
    found = await world.records.get_review(tenant, review)
    if found is None:
        raise ReviewNotFound(review=review)
    return found


async def list_reviews(
    world: World, tenant: str, status: str | None, run: str | None, cursor: str | None, limit: int
) -> tuple[Sequence[Review], str | None]:
    return await world.records.list_reviews(tenant, status, run, cursor, limit)


async def decide_review(world: World, tenant: str, review: str, answer: Answer) -> Review:
    """Closes an open review and wakes its run. Raises `ReviewNotFound`, and `ReviewClosed` when it is not open: also
    for the same verdict a second time, since the caller did not give the one that counts."""
    found = await get_review(world, tenant, review)
    if found.status == "open":
        status = "expired" if answer.verdict == "expired" else "decided"
        if await _close(world, found, answer, status):
            return await get_review(world, tenant, review)
        found = await get_review(world, tenant, review)
    raise ReviewClosed(review=review, status=found.status)


async def expire_review(world: World, review: Review) -> None:
    """An open review whose time is over is answered with `expired`: never an approval."""
    answer = Answer(verdict="expired", reason="nobody decided in time")
    await _close(world, review, answer, "expired")


async def _close(world: World, review: Review, answer: Answer, status: str) -> bool:
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
    facts = {"run": review.run, "step": review.step, "verdict": answer.verdict, "answer": digest}
    told = entry(review.tenant, review.id, at, kind, answer.by or NODE, **facts)
    rows: list[Row] = [AppendEvents(review.tenant, review.run, at, 1, decided), told]
    run = await world.records.get_run(review.tenant, review.run)
    if run is not None:
        rows += deliveries_of(world, run, at, (decided,))
    acts: list[Act] = [close, ResolveStep(review.tenant, review.run, row), WakeRun(review.tenant, review.run)]
    try:
        await world.records.commit(Change((*acts, *rows)))
    except Conflict as fell:
        if fell.statement != "close_review":
            with contextlib.suppress(Conflict):
                told = entry(review.tenant, review.id, at, "review.cancelled", NODE, run=review.run)
                await world.records.commit(Change((CloseReview(review.tenant, review.id, "cancelled", None, at), told)))
        return False
    world.bus.ring("resolved", f"{review.tenant}/{review.run}")
    world.bus.ring("work", review.agent)
    return True
