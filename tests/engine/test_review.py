"""Reviews: the verdicts, expiry, races, and that an answer reaches its run whatever happens next (I11)."""

import asyncio
from datetime import timedelta

import pytest

from pilothouse import Context, UnknownOutcome, agent, idempotency_key
from pilothouse.domain.review import Answer
from pilothouse.engine.review import decide_review, get_review, list_reviews
from pilothouse.errors import ReviewClosed, ReviewNotFound
from pilothouse.testing import LocalNode
from pilothouse.testing.invariants import check_one_end, check_step_once


@agent(mode="event")
async def asks(ctx: Context, within: int = 0) -> dict[str, object]:
    span = timedelta(seconds=within) if within else None
    answer = await ctx.review("Refund 12 EUR?", {"order": "A1"}, within=span)
    return {
        "verdict": answer.verdict,
        "edited": answer.edited,
        "response": answer.response,
        "reason": answer.reason,
        "by": answer.by,
    }


@pytest.mark.parametrize(
    ("verdict", "given"),
    [
        ("approve", {}),
        ("edit", {"edited": {"cents": 1000}}),
        ("reject", {"reason": "too much"}),
        ("respond", {"response": "ask again tomorrow"}),
    ],
)
async def test_a_verdict_reaches_the_run_with_all_that_was_said(verdict, given):
    async with LocalNode({"asks": asks}) as node:
        run = await node.start("asks")
        review = await node.wait_review(run)
        await node.wait(run, "waiting")
        assert (review.question, review.details, review.kind) == ("Refund 12 EUR?", {"order": "A1"}, "gate")
        await node.decide(review, verdict, **given, by="ann")
        ended = await node.wait(run)
        assert ended.output == {"verdict": verdict, "edited": None, "response": "", "reason": "", "by": "ann"} | given
        kinds = [event.type for event in ended.events]
        assert kinds.index("review.requested") < kinds.index("run.waiting") < kinds.index("review.decided")


async def test_a_review_waits_for_days_without_an_attempt_and_over_restarts():
    async with LocalNode({"asks": asks}) as node:
        run = await node.start("asks")
        review = await node.wait_review(run)
        await node.wait(run, "waiting")
        await node.settle()
        assert node.world.attempts == {}
        await node.advance(days=30)
        await node.restart()
        await node.decide(review, "approve")
        assert (await node.wait(run)).output["verdict"] == "approve"


async def test_a_review_is_answered_while_the_attempt_is_still_there():
    gate = asyncio.Event()

    @agent(mode="event")
    async def both(ctx: Context) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step(gate.wait, name="hold"))
            asked = group.create_task(ctx.review("now?"))
        return asked.result().verdict

    async with LocalNode({"both": both}) as node:
        run = await node.start("both")
        await node.decide(await node.wait_review(run), "approve")
        gate.set()
        assert (await node.wait(run)).output == "approve"


async def test_a_review_that_nobody_decides_in_time_expires_and_is_no_approval():
    async with LocalNode({"asks": asks}) as node:
        run = await node.start("asks", 60)
        review = await node.wait_review(run)
        await node.advance(seconds=59)
        assert (await node.get(run)).status == "waiting"
        await node.advance(seconds=2)
        assert (await node.wait(run)).output["verdict"] == "expired"
        assert (await get_review(node.world, "default", review.id)).status == "expired"
        with pytest.raises(ReviewClosed):
            await node.decide(review, "approve")


async def test_of_racing_verdicts_one_wins_and_the_others_learn_it():
    async with LocalNode({"asks": asks}) as node:
        run = await node.start("asks")
        review = await node.wait_review(run)
        verdicts = ["approve", "reject", "edit", "respond", "approve"]
        tries = [
            decide_review(node.world, "default", review.id, Answer(verdict=verdict, by=str(number)))
            for number, verdict in enumerate(verdicts)
        ]
        found = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(one, ReviewClosed) for one in found) == 4
        ended = await node.wait(run)
        assert ended.output["by"] == str([isinstance(one, ReviewClosed) for one in found].index(False))


async def test_a_verdict_and_the_expiry_at_the_same_time_leave_one_answer():
    async with LocalNode({"asks": asks}) as node:
        run = await node.start("asks", 60)
        review = await node.wait_review(run)
        await node.wait(run, "waiting")
        node.clock.advance(minutes=2)
        due = asyncio.create_task(node.run_due())
        decided = asyncio.create_task(node.decide(review, "approve"))
        await asyncio.wait((due, decided))
        ended = await node.wait(run)
        assert ended.output["verdict"] == ("expired" if decided.exception() else "approve")
        assert check_one_end(ended) == []


async def test_reviews_are_listed_by_status_and_run():
    async with LocalNode({"asks": asks}) as node:
        first, second = await node.start("asks"), await node.start("asks", 0)
        one, two = await node.wait_review(first), await node.wait_review(second)
        await node.decide(one, "reject")
        found, cursor = await list_reviews(node.world, "default", "open", None, None, 10)
        assert ([review.id for review in found], cursor) == ([two.id], None)
        found, _ = await list_reviews(node.world, "default", None, first.id, None, 10)
        assert [(review.id, review.status) for review in found] == [(one.id, "decided")]


async def test_a_review_that_is_not_there_is_told():
    async with LocalNode({"asks": asks}) as node:
        with pytest.raises(ReviewNotFound):
            await node.decide("rev_unknown", "approve")


# --- unknown outcomes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after_effect"])
@pytest.mark.parametrize(
    ("verdict", "given", "output", "charges"),
    [
        ("approve", {}, "paid", 1),
        ("edit", {"edited": "paid by hand"}, "paid by hand", 0),
        ("respond", {"response": "it was paid"}, "it was paid", 0),
        ("reject", {}, "given up", 0),
    ],
)
async def test_a_once_step_whose_end_nobody_saw_is_asked_about_and_not_repeated(when, verdict, given, output, charges):
    made = []

    @agent(mode="event")
    async def pay(ctx: Context) -> str:
        def charge() -> str:
            made.append(idempotency_key())
            return "paid"

        try:
            return str(await ctx.step(charge, once=True))
        except UnknownOutcome:
            return "given up"

    async with LocalNode({"pay": pay}) as node:
        node.crash_at_step("charge", when)
        run = await node.start("pay")
        review = await node.wait_review(run)
        assert node.crashes == 1
        assert (review.kind, review.details["name"]) == ("unknown_outcome", "charge")
        assert len(made) == (0 if when == "before" else 1)
        await node.decide(review, verdict, **given)
        ended = await node.wait(run)
        assert ended.output == output
        assert len(made) == charges + (0 if when == "before" else 1)
        assert len(set(made)) <= 1
        assert check_step_once(node.witness.marks) == []


async def test_a_once_step_whose_result_is_kept_is_never_asked_about():
    made = []

    @agent(mode="event")
    async def pay(ctx: Context) -> int:
        def charge() -> int:
            made.append(1)
            return len(made)

        return int(await ctx.step(charge, once=True))

    async with LocalNode({"pay": pay}) as node:
        node.crash_at_step("charge", "after_commit")
        ended = await node.run("pay")
        assert (ended.output, made, node.crashes) == (1, [1], 1)
        assert await node.reviews(None, None) == []
