"""How far a decision of several people is, as those who wait for it and those who may decide see it."""

import pytest

from pilothouse import Context, agent, tool
from pilothouse.domain.principal import LOCAL
from pilothouse.engine import policy, review, vote
from pilothouse.engine.run import start_run
from pilothouse.testing import LocalNode
from pilothouse.wire.review import ballot_view, review_view
from tests.engine.agents import command
from tests.oversight.people import decide, hire, lose

RULES = """
@id("pay") @review("finance") @quorum("2") @within("8h") @escalate("chief after 2h")
permit (principal, action == Action::"ballot_pay", resource);
@id("tell") @review("press") @within("1h") permit (principal, action == Action::"ballot_tell", resource);
"""


@tool(risk="irreversible", name="ballot_pay")
async def pay(what: str) -> str:
    return what


@tool(risk="irreversible", name="ballot_tell")
async def tell(what: str) -> str:
    return what


@agent(mode="event")
async def desk(ctx: Context, what: str) -> str:
    if what == "ask":
        return (await ctx.review("plain?")).verdict
    return await ctx.call_tool(tell if what == "tell" else pay, what=what)


@pytest.fixture
async def node():
    async with LocalNode({"desk": desk}) as node:
        await policy.activate(node.world, LOCAL, RULES, "enforce", signed=True)
        yield node


async def ask(node, what="pay", by="customer"):
    started = await start_run(node.world, command("desk", f'"{what}"'.encode(), wants="later", by=by))
    asked = await node.wait_review(started.run.id)
    return started.run.id, asked


async def seen(node, asked, by):
    found = await review.get_review(node.world, "default", asked.id)
    progress = await vote.read_progress(node.world, found, by)
    return ballot_view(progress.terms, progress.ballot, progress.counted, progress.open_to, progress.refusal)


async def test_it_says_who_is_asked_who_agreed_who_still_may_and_what_comes_next(node):
    ada, bob, cleo = [await hire(node, name, "finance") for name in ("ada", "bob", "cleo")]
    chief, customer = await hire(node, "chief", "chief"), await hire(node, "customer", "finance")
    _, asked = await ask(node)
    before = await seen(node, asked, ada)
    assert (before.roles, before.quorum, before.counted, before.votes) == (["finance"], 2, 0, [])
    assert (before.open_to, before.refusal, before.requester) == (["ada", "bob", "cleo"], None, "customer")
    assert [(one.role, one.after_seconds, one.is_asked) for one in before.ladder] == [("chief", 7200.0, False)]
    assert before.until is not None
    await decide(node, asked, ada, reason="the bill is right")
    after = await seen(node, asked, ada)
    assert (after.counted, after.open_to, after.refusal) == (1, ["bob", "cleo"], "they have voted already")
    assert [(one.by, one.counts, one.reason) for one in after.votes] == [("ada", True, "the bill is right")]
    assert "does not approve it" in ((await seen(node, asked, customer)).refusal or "")
    await node.advance(hours=2, seconds=1)
    await node.settle()
    climbed = await seen(node, asked, chief)
    assert (climbed.roles, climbed.refusal, climbed.ladder[0].is_asked) == (["finance", "chief"], None, True)
    await lose(node, ada)
    lost = await seen(node, asked, bob)
    assert (lost.counted, lost.votes[0].counts) == (0, False)
    await decide(node, asked, bob)
    await decide(node, asked, cleo)
    closed = await seen(node, asked, chief)
    assert (closed.counted, closed.open_to, closed.refusal) == (2, [], "it is decided")


async def test_without_keys_nobody_is_named_and_a_quorum_says_why_it_cannot_be(node):
    _, asked = await ask(node)
    found = await seen(node, asked, LOCAL)
    assert found.open_to == []
    assert "without keys" in (found.refusal or "")


async def test_a_question_that_anybody_answers_has_no_ballot(node):
    _, asked = await ask(node, "ask")
    found = await review.get_review(node.world, "default", asked.id)
    assert found.kind not in review.BY_VOTE
    assert review_view(found).ballot is None


async def test_the_inbox_is_filtered_by_role_and_by_deadline(node):
    _, paying = await ask(node, "pay")
    _, telling = await ask(node, "tell")
    await ask(node, "ask")

    async def inbox(**wanted):
        found, _ = await review.list_reviews(node.world, "default", "open", None, None, 50, **wanted)
        return [one.id for one in found]

    assert len(await inbox()) == 3
    assert await inbox(role="finance") == [paying.id]
    assert await inbox(role="press") == [telling.id]
    assert await inbox(role="chief") == []
    soon = node.clock.now() + 90 * 60 * 1_000_000
    assert await inbox(due_before=soon) == [telling.id]
    await node.advance(minutes=121)
    await node.settle()
    assert await inbox(role="chief") == [paying.id]


async def test_a_filtered_page_goes_on_where_it_ended(node):
    wanted = [(await ask(node, what))[1].id for what in ("pay", "tell", "pay", "tell", "pay")][::2]
    seen_ids, cursor = [], None
    for _ in range(9):
        page, cursor = await review.list_reviews(node.world, "default", "open", None, cursor, 1, role="finance")
        seen_ids += [one.id for one in page]
        if cursor is None:
            break
    assert seen_ids == wanted
