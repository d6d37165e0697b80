"""One test for each rule of oversight, through the verbs that callers use (G7 and G9 are with sampling and feedback).

What others of this folder prove in detail is here once as a whole, so that a rule that breaks is red by its name.
"""

import json

import pytest
from msgspec import json as msgjson

from pilothouse import Context, agent, tool
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.hold import Selector
from pilothouse.domain.policy import PolicyRequest, digest_action
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.engine import evidence, hold, key, policy, review, vote
from pilothouse.engine.run import start_run
from pilothouse.errors import (
    ActionDenied,
    Forbidden,
    InvalidInput,
    PolicyUnsigned,
    ReviewClosed,
    VoteRefused,
)
from pilothouse.testing import LocalNode
from tests.engine.agents import command
from tests.oversight.people import decide, hire, lose

DONE: list[str] = []


@tool(risk="consequential", name="rule_grant")
async def grant(who: str) -> str:
    DONE.append(who)
    return f"granted to {who}"


@agent(mode="event")
async def desk(ctx: Context, who: str) -> str:
    try:
        return await ctx.call_tool(grant, who=who)
    except ActionDenied as denied:
        return f"denied: {denied.text}"


@agent(mode="event")
async def twice(ctx: Context, who: str) -> str:
    await ctx.call_tool(grant, who=who)
    return await ctx.call_tool(grant, who=who)


PERMIT = 'permit (principal, action == Action::"rule_grant", resource);'
ASK = f'@id("ask") @review("") @within("4h") {PERMIT}'
TWO = f'@id("ask") @review("legal") @quorum("2") @within("4h") @escalate("chief after 1h") {PERMIT}'


@pytest.fixture
async def node():
    DONE.clear()
    async with LocalNode({"desk": desk, "twice": twice}) as node:
        yield node


async def use(node, text):
    await policy.activate(node.world, LOCAL, text, "enforce", signed=True)


async def ask(node, who="ann", by="customer"):
    started = await start_run(node.world, command("desk", json.dumps(who).encode(), wants="later", by=by))
    return started.run.id, await node.wait_review(started.run.id)


async def told(node, *kinds):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    entries = [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]
    return [one for one in entries if one["kind"] in kinds]


async def test_g1_what_runs_is_what_was_allowed_by_its_digest_under_the_policy_of_that_moment(node):
    await use(node, ASK)
    run, asked = await ask(node)
    await node.decide(asked, "approve")
    assert (await node.wait(run)).output == "granted to ann"
    (allowed,) = await told(node, "action.allowed")
    agent_now = node.worker.find("desk")
    schema = next(one.schema for one in agent_now.tools if one.name == "rule_grant")
    ran = PolicyRequest(
        tenant="default",
        agent="desk",
        release=agent_now.release,
        tool="rule_grant",
        risk="consequential",
        arguments=msgjson.encode({"who": DONE[0]}),
    )
    assert allowed["digest"] == node.world.seals.digest("default", None, digest_action(ran, schema))
    other = PolicyRequest(
        **{name: getattr(ran, name) for name in ran.__struct_fields__} | {"arguments": b'{"who":"x"}'}
    )
    assert allowed["digest"] != node.world.seals.digest("default", None, digest_action(other, schema))
    run, asked = await ask(node, "bea")
    await use(node, 'permit (principal, action == Action::"any_tool", resource);')
    await node.decide(asked, "approve")
    assert (await node.wait(run)).output == "denied: no policy permits it"
    assert DONE == ["ann"]


async def test_g2_a_grant_serves_once_and_silence_error_and_response_execute_nothing(node):
    await use(node, ASK)
    greedy = await node.start("twice", "ann")
    first = await node.wait_review(greedy)
    await node.decide(first, "approve")
    second = await node.wait_review(greedy)
    assert (second.id != first.id, DONE) == (True, ["ann"])
    await node.decide(second, "reject")
    await node.wait(greedy)
    run, asked = await ask(node)
    await node.advance(hours=5)
    assert (await node.wait(run)).output == "denied: nobody decided in time"
    run, asked = await ask(node)
    await node.decide(asked, "respond", response="call them first")
    assert (await node.wait(run)).output == "call them first"
    never = PERMIT.replace("permit", "forbid").replace(";", ' when { context.arguments.who == "eve" };')
    await use(node, f'{ASK} @id("never") {never}')
    run, asked = await ask(node)
    await node.decide(asked, "edit", edited={"who": "eve"})
    assert (await node.wait(run)).output.startswith("denied")
    assert DONE == ["ann"]


async def test_g3_it_takes_distinct_people_who_hold_the_role_and_did_not_ask_and_one_no_ends_it(node):
    await use(node, TWO)
    people = {name: await hire(node, name, "legal") for name in ("ada", "bob", "cleo", "customer")}
    dan, finn = await hire(node, "dan"), await hire(node, "finn")
    _, asked = await ask(node)
    await vote.delegate(node.world, people["cleo"], "dan", ["legal"], 3600)
    with pytest.raises(InvalidInput):
        await vote.delegate(node.world, dan, "finn", ["legal"], 3600)
    await decide(node, asked, people["ada"])
    for who in (people["ada"], people["customer"], finn):
        with pytest.raises(VoteRefused):
            await decide(node, asked, who)
    await lose(node, people["ada"])
    assert (await decide(node, asked, dan)).status == "open"
    assert DONE == []
    await decide(node, asked, people["bob"])
    await node.settle()
    assert DONE == ["ann"]
    run, asked = await ask(node)
    await decide(node, asked, people["bob"], "reject", reason="no")
    assert (await node.wait(run)).output == "denied: no"
    glass = await hire(node, "max", "break-glass")
    run, asked = await ask(node, "kim")
    await decide(node, asked, glass, break_glass=True, reason="it burns")
    assert (await node.wait(run)).output == "granted to kim"
    assert [one.kind for one in await node.reviews()] == ["audit"]


async def test_g4_a_decision_is_never_edited(node):
    """What takes its place is another decision, which says so; see the tests of overrides."""
    await use(node, ASK)
    run, asked = await ask(node)
    await node.decide(asked, "reject", reason="no", by="ada")
    before = await review.get_review(node.world, "default", asked.id)
    for verdict in ("approve", "reject", "edit", "respond"):
        with pytest.raises(ReviewClosed):
            await node.decide(asked, verdict, edited={"who": "x"}, response="x", by="bob")
    await node.advance(hours=5)
    await node.cancel(run)
    assert await review.get_review(node.world, "default", asked.id) == before
    assert len(await told(node, "review.decided", "review.expired", "review.cancelled")) == 1


async def test_g5_a_hold_beats_approvals_is_effective_when_nothing_runs_and_wide_ones_take_two_to_lift(node):
    await use(node, ASK)
    run, asked = await ask(node)
    await node.settle()
    placed = await hold.place_hold(node.world, LOCAL, "pause", Selector(agent="desk"), "look first")
    assert placed.status == "effective"
    await node.decide(asked, "approve")
    await node.settle()
    assert DONE == []
    await hold.lift_hold(node.world, LOCAL, placed.id)
    assert (await node.wait(run)).output == "granted to ann"
    ada, bob = await hire(node, "ada"), await hire(node, "bob")
    wide = await hold.place_hold(node.world, ada, "pause", Selector(), "all of it")
    assert (await hold.lift_hold(node.world, ada, wide.id)).is_on
    assert not (await hold.lift_hold(node.world, bob, wide.id)).is_on


async def test_g6_what_would_newly_be_allowed_needs_a_person_and_policies_can_rule_without_being_obeyed(node):
    await use(node, 'permit (principal, action == Action::"any_tool", resource);')
    assert (await node.run("desk", "ann")).output.startswith("denied")
    found = await policy.compare(node.world, "default", PERMIT)
    assert (found.same, found.newly_denied, found.newly_asked, found.newly_allowed) == (0, 0, 0, 1)
    machine = Principal("ci", "service", "default", frozenset({"policy:write"}))
    for by, signed in ((machine, True), (LOCAL, False)):
        with pytest.raises(PolicyUnsigned):
            await policy.activate(node.world, by, PERMIT, "enforce", signed=signed)
    await policy.activate(node.world, LOCAL, PERMIT, "log", signed=True)
    assert (await node.run("desk", "ann")).output == "granted to ann"
    await policy.activate(node.world, LOCAL, 'permit (principal, action == Action::"any_tool", resource);', "log",
                          signed=True)  # fmt: skip
    assert (await node.run("desk", "bea")).output == "granted to bea"
    assert [one["would"] for one in await told(node, "action.allowed")] == ["allow", "deny"]


@pytest.mark.parametrize("kind", ["agent", "service"])
async def test_g8_no_machine_approves_what_is_irreversible_or_consequential(node, kind):
    await use(node, TWO)
    robots = [await hire(node, f"robot{number}", "legal", kind=kind) for number in range(3)]
    _, asked = await ask(node)
    for robot in robots:
        for verdict in ("approve", "edit", "reject"):
            with pytest.raises(VoteRefused, match="only people"):
                await decide(node, asked, robot, verdict, edited={"who": "x"})
    assert DONE == []


async def test_g10_an_agent_writes_no_policy_no_hold_and_no_role(node):
    ada = await hire(node, "ada")
    placed = await hold.place_hold(node.world, ada, "pause", Selector(agent="desk"), "look first")
    rogue = Principal("desk", "agent", "default", frozenset({"*"}), frozenset({"*"}))
    for attempt in (
        policy.activate(node.world, rogue, PERMIT, "enforce", signed=True),
        policy.deactivate(node.world, rogue),
        hold.place_hold(node.world, rogue, "pause", Selector(agent="other"), "x"),
        hold.lift_hold(node.world, rogue, placed.id),
        key.create_key(node.world, rogue, "friend", "human", ["*"], ["legal"], None),
        key.revoke_key(node.world, rogue, ada.key),
        vote.delegate(node.world, rogue, "friend", ["legal"], 60),
    ):
        with pytest.raises(Forbidden):
            await attempt
    with pytest.raises(InvalidInput):
        await key.create_key(node.world, LOCAL, "desk", "agent", ["*"], [], None)
    assert await policy.get_policies(node.world, "default") is None
    assert node.world.holds[placed.id].is_on
