"""Reviews of actions by several people (G2, G3, G8, I11): quorum, roles, ladder, delegation, glass, and races."""

import asyncio
import json

import pytest

from pilothouse import Context, agent, tool
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.principal import LOCAL
from pilothouse.domain.review import Answer
from pilothouse.engine import evidence, key, policy, review, vote
from pilothouse.engine.appeal import Appeal, file_appeal
from pilothouse.engine.run import start_run
from pilothouse.errors import ActionDenied, Forbidden, InvalidInput, ReviewClosed, VoteRefused
from pilothouse.testing import LocalNode
from tests.engine.agents import command
from tests.oversight.people import decide, hire, lose

DONE: list[str] = []


@tool(risk="consequential", name="vote_exempt")
async def exempt(package: str) -> str:
    DONE.append(package)
    return f"{package} is exempt"


@agent(mode="event")
async def desk(ctx: Context, package: str) -> str:
    try:
        return await ctx.call_tool(exempt, package=package)
    except ActionDenied as denied:
        return f"denied: {denied.text}"


def rules(quorum=2, more=""):
    return (
        f'@id("exempt") @review("legal") @quorum("{quorum}") @within("8h") {more}'
        'permit (principal, action == Action::"vote_exempt", resource);'
    )


async def open_node(text):
    DONE.clear()
    node = LocalNode({"desk": desk})
    await node.open()
    await policy.activate(node.world, LOCAL, text, "enforce", signed=True)
    return node


@pytest.fixture
async def node():
    node = await open_node(rules(2, '@escalate("chief after 2h")'))
    yield node
    await node.close()


async def ask(node, by="customer"):
    asked = command("desk", b'"left-pad"', wants="later", by=by)
    run = (await start_run(node.world, asked)).run.id
    return run, await node.wait_review(run)


async def told(node):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    return [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]


async def test_two_people_with_the_role_have_to_agree(node):
    ada, bob = await hire(node, "ada", "legal"), await hire(node, "bob", "legal")
    run, asked = await ask(node)
    assert (await decide(node, asked, ada)).status == "open"
    assert DONE == []
    decided = await decide(node, asked, bob)
    assert decided.status == "decided"
    assert json.loads(decided.answer)["by"] == "ada, bob"
    assert (await node.wait(run)).output == "left-pad is exempt"
    kinds = [one["kind"] for one in await told(node)]
    assert kinds.count("review.voted") == 2
    assert "action.done" in kinds


async def test_nobody_votes_twice_also_not_with_a_second_key(node):
    ada, again = await hire(node, "ada", "legal"), await hire(node, "ada", "legal")
    await hire(node, "bob", "legal")
    _, asked = await ask(node)
    await decide(node, asked, ada)
    with pytest.raises(VoteRefused, match="already"):
        await decide(node, asked, again)


async def test_whoever_asked_for_the_action_does_not_approve_it(node):
    ada = await hire(node, "ada", "legal")
    _, asked = await ask(node, by="ada")
    with pytest.raises(VoteRefused, match="does not approve it"):
        await decide(node, asked, ada)


async def test_who_does_not_have_the_role_is_refused_whatever_the_verdict(node):
    eve = await hire(node, "eve", "sales")
    _, asked = await ask(node)
    for verdict in ("approve", "reject", "edit", "respond"):
        with pytest.raises(VoteRefused, match="role legal"):
            await decide(node, asked, eve, verdict, edited={"package": "x"}, response="x")


@pytest.mark.parametrize("kind", ["agent", "service"])
async def test_a_machine_never_decides_about_an_action(node, kind):
    robot = await hire(node, "robot", "legal", kind=kind)
    _, asked = await ask(node)
    for verdict in ("approve", "reject"):
        with pytest.raises(VoteRefused, match="only people"):
            await decide(node, asked, robot, verdict)


async def test_one_reject_ends_it(node):
    ada, bob = await hire(node, "ada", "legal"), await hire(node, "bob", "legal")
    run, asked = await ask(node)
    await decide(node, asked, ada)
    await decide(node, asked, bob, "reject", reason="viral licence")
    assert (await node.wait(run)).output == "denied: viral licence"
    with pytest.raises(ReviewClosed):
        await decide(node, asked, ada)
    assert DONE == []


async def test_a_vote_of_somebody_who_lost_the_role_does_not_count(node):
    ada, bob, cleo = [await hire(node, name, "legal") for name in ("ada", "bob", "cleo")]
    run, asked = await ask(node)
    await decide(node, asked, ada)
    await lose(node, ada)
    assert (await decide(node, asked, bob)).status == "open"
    assert (await decide(node, asked, cleo)).status == "decided"
    assert (await node.wait(run)).output == "left-pad is exempt"


async def test_without_keys_nobody_can_be_two_people(node):
    _, asked = await ask(node)
    with pytest.raises(VoteRefused, match="without keys"):
        await node.decide(asked, "approve")


async def test_silence_climbs_the_ladder_and_then_is_a_deny(node):
    chief = await hire(node, "chief", "chief")
    run, asked = await ask(node)
    with pytest.raises(VoteRefused):
        await decide(node, asked, chief)
    await node.advance(hours=2, seconds=1)
    await node.settle()
    assert (await decide(node, asked, chief)).status == "open"
    await node.advance(hours=7)
    assert (await node.wait(run)).output == "denied: nobody decided in time"
    kinds = [one["kind"] for one in await told(node)]
    assert kinds.count("review.escalated") == 1
    assert "review.expired" in kinds
    assert DONE == []


async def test_a_delegate_votes_in_the_name_of_who_holds_the_role_and_only_one_deep(node):
    ada, bob, dan = await hire(node, "ada", "legal"), await hire(node, "bob", "legal"), await hire(node, "dan")
    finn = await hire(node, "finn")
    _, asked = await ask(node)
    with pytest.raises(InvalidInput):
        await vote.delegate(node.world, dan, "finn", ["legal"], 3600)
    await vote.delegate(node.world, ada, "dan", ["legal"], 3600)
    with pytest.raises(InvalidInput):
        await vote.delegate(node.world, dan, "finn", ["legal"], 3600)
    with pytest.raises(VoteRefused):
        await decide(node, asked, finn)
    await decide(node, asked, dan)
    with pytest.raises(VoteRefused, match="already"):
        await decide(node, asked, ada)
    assert (await decide(node, asked, bob)).status == "decided"
    voted = [one for one in await told(node) if one["kind"] == "review.voted"]
    assert [(one["by"], one.get("on_behalf_of")) for one in voted] == [("dan", "ada"), ("bob", None)]


async def test_a_delegation_ends_by_time_and_by_word(node):
    ada, dan = await hire(node, "ada", "legal"), await hire(node, "dan")
    eve = await hire(node, "eve")
    _, asked = await ask(node)
    made = await vote.delegate(node.world, ada, "dan", ["legal"], 3600)
    with pytest.raises(Forbidden):
        await vote.end_delegation(node.world, eve, made.id)
    await vote.end_delegation(node.world, ada, made.id)
    with pytest.raises(VoteRefused):
        await decide(node, asked, dan)
    await vote.delegate(node.world, ada, "dan", ["legal"], 60)
    await node.advance(minutes=2)
    with pytest.raises(VoteRefused):
        await decide(node, asked, dan)


# --- a delegate may never more than whoever they vote for, at the time of the verdict ---------------------------------


async def lend(node, by, to="dan", roles=("legal",), seconds=86_400):
    return await vote.delegate(node.world, by, to, roles, seconds)


async def test_a_vote_in_the_name_of_somebody_does_not_count_once_they_have_lost_the_role(node):
    ada, bob, cleo, dan = [await hire(node, name, role) for name, role in TEAM]
    run, asked = await ask(node)
    await lend(node, ada)
    await decide(node, asked, dan)
    await lose(node, ada)
    assert (await decide(node, asked, bob)).status == "open"
    assert (await decide(node, asked, cleo)).status == "decided"
    assert (await node.wait(run)).output == "left-pad is exempt"


async def test_a_role_that_was_not_delegated_is_not_lent_though_its_holder_has_it(node):
    """Ada delegates `legal`, loses it and stays `chief`: that one she has lent to nobody."""
    ada = await hire(node, "ada", "legal")
    await hire(node, "ada", "chief")
    bob, dan, eve = await hire(node, "bob", "legal"), await hire(node, "dan"), await hire(node, "eve")
    _, before = await ask(node)
    _, later = await ask(node)
    await lend(node, ada)
    await decide(node, before, dan)
    await lose(node, ada)
    await node.advance(hours=2, seconds=1)
    await node.settle()
    with pytest.raises(VoteRefused, match="role legal or chief"):
        await decide(node, later, dan)
    with pytest.raises(VoteRefused, match="role legal or chief"):
        await decide(node, later, eve)
    assert (await decide(node, before, bob)).status == "open", "the vote of dan rests on a role that ada has not"


async def test_a_vote_in_the_name_of_somebody_goes_with_the_delegation_that_they_take_back(node):
    ada, bob, _, dan = [await hire(node, name, role) for name, role in TEAM]
    run, asked = await ask(node)
    made = await lend(node, ada)
    await decide(node, asked, dan)
    await vote.end_delegation(node.world, ada, made.id)
    with pytest.raises(VoteRefused, match="role legal"):
        await decide(node, asked, dan)
    assert (await decide(node, asked, bob)).status == "open"
    await node.advance(seconds=1)
    await lend(node, ada)  # a new one does not bring the old vote back
    assert (await seen(node, asked)).counted == {"bob"}
    assert (await decide(node, asked, ada)).status == "decided"
    assert (await node.wait(run)).output == "left-pad is exempt"


async def test_a_vote_that_was_cast_in_time_counts_when_the_time_of_the_delegation_is_over(node):
    ada, bob, _, dan = [await hire(node, name, role) for name, role in TEAM]
    _, asked = await ask(node)
    await lend(node, ada, seconds=60)
    await decide(node, asked, dan)
    await node.advance(minutes=2)
    with pytest.raises(VoteRefused, match="already"):
        await decide(node, asked, ada)
    assert (await decide(node, asked, bob)).status == "decided"


async def test_a_vote_does_not_outlive_the_key_of_the_delegate_who_cast_it(node):
    ada, bob, _, dan = [await hire(node, name, role) for name, role in TEAM]
    _, asked = await ask(node)
    await lend(node, ada)
    await decide(node, asked, dan)
    await lose(node, dan)
    assert (await decide(node, asked, bob)).status == "open"
    assert (await decide(node, asked, ada)).status == "decided"


async def test_whoever_asked_does_not_approve_through_a_delegate_nor_as_one(node):
    ada, bob, _, dan = [await hire(node, name, role) for name, role in TEAM]
    _, by_ada = await ask(node, by="ada")
    _, by_dan = await ask(node, by="dan")
    await lend(node, ada)
    with pytest.raises(VoteRefused, match="role legal"):
        await decide(node, by_ada, dan)
    with pytest.raises(VoteRefused, match="does not approve it"):
        await decide(node, by_dan, dan)
    assert (await decide(node, by_ada, bob)).status == "open"


async def test_the_log_says_in_whose_name_a_delegate_said_no(node):
    ada, dan = await hire(node, "ada", "legal"), await hire(node, "dan")
    run, asked = await ask(node)
    await lend(node, ada)
    await decide(node, asked, dan, "reject", reason="viral")
    assert (await node.wait(run)).output == "denied: viral"
    said = [
        (one["by"], one["on_behalf_of"], one["verdict"]) for one in await told(node) if one["kind"] == "review.voted"
    ]
    assert said == [("dan", "ada", "reject")]


async def test_one_delegate_of_many_has_one_vote(node):
    ada, bob, cleo, dan = [await hire(node, name, role) for name, role in TEAM]
    _, asked = await ask(node)
    for one in (ada, bob, cleo):
        await lend(node, one)
    assert (await decide(node, asked, dan)).status == "open"
    with pytest.raises(VoteRefused, match="already"):
        await decide(node, asked, dan)
    assert len((await seen(node, asked)).counted) == 1


async def test_only_a_person_is_a_delegate_and_only_a_person_delegates(node):
    ada, robot = await hire(node, "ada", "legal"), await hire(node, "robot", "legal", kind="service")
    _, asked = await ask(node)
    await lend(node, ada, "robot")
    with pytest.raises(VoteRefused, match="only people"):
        await decide(node, asked, robot)
    with pytest.raises(Forbidden, match="only people"):
        await lend(node, robot)


async def test_the_key_of_a_program_gives_its_namesake_no_role(node):
    """A service that is called as a person is does not keep the vote of the person alive."""
    ada, bob = await hire(node, "ada", "legal"), await hire(node, "bob", "legal")
    await hire(node, "ada", "legal", kind="service")
    _, asked = await ask(node)
    await decide(node, asked, ada)
    await lose(node, ada)
    assert (await decide(node, asked, bob)).status == "open"


async def test_a_browser_that_was_signed_in_keeps_no_role_of_a_key_that_is_revoked(node):
    ada, bob = await hire(node, "ada", "legal"), await hire(node, "bob", "legal")
    browser, _ = await key.open_signin(node.world, ada, 3600)
    _, asked = await ask(node)
    await decide(node, asked, browser.principal)
    await lose(node, ada)
    assert (await decide(node, asked, bob)).status == "open"
    assert (await seen(node, asked)).open_to == ()


async def test_nobody_answers_an_appeal_against_what_was_decided_in_their_name(node):
    ada, bob, cleo, dan = [await hire(node, name, role) for name, role in TEAM]
    run, asked = await ask(node)
    await lend(node, ada)
    await decide(node, asked, dan)
    await decide(node, asked, bob)
    await node.wait(run)
    filed = await file_appeal(node.world, LOCAL, run, Appeal(reason="it is not ours", about=asked.id))
    for one in (ada, bob, dan):
        with pytest.raises(VoteRefused, match="they decided"):
            await decide(node, filed, one, "reject")
    assert (await decide(node, filed, cleo, "reject")).status == "decided"


async def test_delegations_are_found_however_many_there_were(node, monkeypatch):
    monkeypatch.setattr(vote, "PAGE", 2)
    ada, dan = await hire(node, "ada", "legal"), await hire(node, "dan")
    for _ in range(5):
        await lend(node, ada, "finn", seconds=1)
    await node.advance(seconds=2)
    await lend(node, ada)
    _, asked = await ask(node)
    assert (await decide(node, asked, dan)).status == "open"


TEAM = (("ada", "legal"), ("bob", "legal"), ("cleo", "legal"), ("dan", "sales"))


async def seen(node, asked):
    found = await review.get_review(node.world, "default", asked.id)
    return await vote.read_progress(node.world, found, LOCAL)


async def test_breaking_the_glass_decides_alone_and_is_looked_at_afterwards(node):
    ada, max_ = await hire(node, "ada", "legal"), await hire(node, "max", "break-glass")
    run, asked = await ask(node)
    for who, reason in ((ada, "urgent"), (max_, "")):
        with pytest.raises(VoteRefused, match="breaking the glass"):
            await decide(node, asked, who, break_glass=True, reason=reason)
    await decide(node, asked, max_, break_glass=True, reason="the release is tonight")
    assert (await node.wait(run)).output == "left-pad is exempt"
    (after,) = await node.reviews()
    assert after.kind == "audit"
    with pytest.raises(VoteRefused, match="does not approve"):
        await decide(node, after, max_)
    assert (await decide(node, after, ada)).status == "decided"
    assert "review.glass_broken" in [one["kind"] for one in await told(node)]


async def test_an_edit_is_one_vote_for_another_action_and_a_second_person_has_to_agree(node):
    ada, bob = await hire(node, "ada", "legal"), await hire(node, "bob", "legal")
    run, asked = await ask(node)
    await decide(node, asked, ada, "edit", edited={"package": "right-pad"})
    second = await node.wait_review(run)
    assert second.id != asked.id
    assert second.details["arguments"] == {"package": "right-pad"}
    with pytest.raises(VoteRefused, match="already"):
        await decide(node, second, ada)
    await decide(node, second, bob)
    assert (await node.wait(run)).output == "right-pad is exempt"
    assert DONE == ["right-pad"]


async def test_a_grant_serves_one_call_only():
    @agent(mode="event")
    async def greedy(ctx: Context, package: str) -> list[str]:
        return [await ctx.call_tool(exempt, package=package), await ctx.call_tool(exempt, package=package)]

    DONE.clear()
    async with LocalNode({"greedy": greedy}) as node:
        await policy.activate(node.world, LOCAL, rules(1), "enforce", signed=True)
        run = await node.start("greedy", "left-pad")
        first = await node.wait_review(run)
        await node.decide(first, "approve")
        second = await node.wait_review(run)
        assert second.id != first.id
        assert DONE == ["left-pad"]
        await node.decide(second, "approve")
        assert (await node.wait(run)).status == "succeeded"


async def test_of_votes_at_the_same_moment_each_counts_once_and_one_completes_the_quorum(node):
    people = [await hire(node, f"p{number}", "legal") for number in range(6)]
    run, asked = await ask(node)
    outcomes = await asyncio.gather(*(decide(node, asked, who) for who in people), return_exceptions=True)
    closed = [one for one in outcomes if isinstance(one, ReviewClosed)]
    assert len(closed) == 4
    assert sum(getattr(one, "status", "") == "decided" for one in outcomes) == 1
    assert (await node.wait(run)).output == "left-pad is exempt"
    assert DONE == ["left-pad"]


async def test_the_answer_of_a_plain_review_is_still_anybodys():
    @agent(mode="event")
    async def plain(ctx: Context) -> str:
        return (await ctx.review("go on?")).by

    async with LocalNode({"plain": plain}) as node:
        run = await node.start("plain")
        asked = await node.wait_review(run)
        await review.decide_review(node.world, "default", asked.id, Answer(verdict="approve", by="ada"))
        assert (await node.wait(run)).output == "ada"
