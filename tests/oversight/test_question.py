"""A question that is open in a session survives new messages, which are told of it, and what cuts the session down."""

from datetime import timedelta

import pytest

from pilothouse import Context, agent
from pilothouse.engine import retention
from pilothouse.errors import SessionBusy
from pilothouse.testing import LocalNode


@agent(mode="session")
async def chat(ctx: Context, text: str) -> str:
    if text == "ask":
        return (await ctx.review("may I?")).verdict
    return text


async def test_a_new_message_is_told_of_the_open_question_and_waits_behind_it():
    async with LocalNode({"chat": chat}) as node:
        first = await node.start("chat", "ask", session="ann")
        review = await node.wait_review(first)
        await node.settle()
        while (await node.get(first)).status != "waiting":
            await node.settle()
        second = await node.start("chat", "hello", session="ann")
        told = [event for event in (await node.get(second)).events if event.type == "review.pending"]
        assert [(event.body["review"], event.body["of"]) for event in told] == [(review.id, first.id)]
        with pytest.raises(SessionBusy) as refused:
            await node.start("chat", "now", session="ann", on_busy="reject")
        assert review.id in refused.value.hint
        await node.decide(review, "approve")
        assert (await node.wait(first)).output == "approve"
        assert (await node.wait(second)).output == "hello"


async def test_a_message_behind_a_turn_that_asks_nothing_is_told_nothing():
    async with LocalNode({"chat": chat}) as node:
        run = await node.run("chat", "hello", session="ann")
        assert "review.pending" not in [event.type for event in run.events]


@agent(mode="session")
async def recall(ctx: Context, text: str) -> list[str]:
    """The turns that it still sees, and this one."""
    before = [turn.input for turn in ctx.session.history]
    if text == "ask":
        text = (await ctx.review("may I?")).verdict
    return [*before, text]


async def test_an_open_question_survives_that_its_session_is_cut_swept_and_forgotten_by_the_node():
    """The history is compacted to two turns, the session and its turns are older than all that is kept, and what
    answers is another life of the node, which has to read the session anew."""
    async with LocalNode({"recall": recall}, options={"recall": {"history_limit": 2, "session_ttl": 60.0}}) as node:
        for text in "abc":
            await node.run("recall", text, session="ann")
        asked = await node.start("recall", "ask", session="ann")
        review = await node.wait_review(asked)
        await node.wait(asked, "waiting")
        node.loops._pruner = retention.Pruner(1, {}, {})
        await node.advance(timedelta(days=3))
        while await node.loops.sweep_round():
            pass
        await node.restart()
        assert [one.id for one in await node.reviews()] == [review.id]
        await node.decide(review, "approve")
        assert (await node.wait(asked)).output == ["b", "c", "approve"]
        assert (await node.run("recall", "d", session="ann")).output == ["c", "ask", "d"]
        assert await node.reviews() == []
