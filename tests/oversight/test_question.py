"""A question that is open in a session survives new messages, and those are told of it."""

import pytest

from pilothouse import Context, agent
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
