"""What an agent may do is what it and whoever it acts for may: the intersection, along the whole chain of calls."""

import json

import pytest
from msgspec import Raw

from pilothouse import Context, agent, tool
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.principal import LOCAL, chain_below, read_chain
from pilothouse.domain.schedule import Rule, Schedule
from pilothouse.engine import evidence, key, policy, schedule
from pilothouse.engine.principal import acting_principal
from pilothouse.engine.retry import fork_run
from pilothouse.engine.run import start_run
from pilothouse.engine.subscriber import start_subscriber
from pilothouse.errors import ActionDenied, VoteRefused
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.ports.records import RunFilter
from pilothouse.testing import LocalNode
from tests.engine.agents import command
from tests.oversight.people import decide, hire, lose

DONE: list[str] = []


@tool(risk="irreversible", name="acting_pay", needs=("finance",))
async def pay(what: str) -> str:
    DONE.append(what)
    return f"paid {what}"


@agent(mode="event")
async def desk(ctx: Context, what: str) -> str:
    try:
        return await ctx.call_tool(pay, what=what)
    except ActionDenied as denied:
        return f"denied: {denied.text}"


@agent
async def quick(ctx: Context, what: str) -> str:
    try:
        return await ctx.call_tool(pay, what=what)
    except ActionDenied as denied:
        return f"denied: {denied.text}"


@agent(mode="event")
async def planner(ctx: Context, what: str) -> str:
    try:
        return await ctx.call("desk", what)
    except ActionDenied as denied:
        return f"not handed over: {denied.text}"


@agent(mode="event")
async def teller(ctx: Context, what: str) -> None:
    await ctx.publish("orders.new", what)


@pytest.fixture
async def node():
    DONE.clear()
    async with LocalNode({"desk": desk, "quick": quick, "planner": planner}) as node:
        yield node


async def run_by(node, by, name="desk"):
    started = await start_run(node.world, command(name, b'"a"', wants="later", by=by))
    return await node.wait(started.run.id)


async def told(node, prefix="action."):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    entries = [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]
    return [one for one in entries if one["kind"].startswith(prefix)]


async def grant_agent(node, name, *roles, scopes=("runs:write",)):
    made, _ = await key.create_key(node.world, LOCAL, name, "agent", list(scopes), list(roles), None)
    return made.principal


def test_a_chain_is_read_as_it_was_written():
    chain = read_chain(chain_below(chain_below("ada", "planner"), "desk"))
    assert (chain.principal, chain.agents) == ("ada", ("planner", "desk"))
    assert read_chain("ada").agents == ()


async def test_without_keys_nothing_is_bounded(node):
    assert (await run_by(node, "ada")).output == "paid a"


async def test_whoever_lacks_a_role_does_not_get_it_by_asking_an_agent(node):
    await hire(node, "ada", "finance")
    await hire(node, "eve", "sales")
    assert (await run_by(node, "ada")).output == "paid a"
    assert (await run_by(node, "eve")).output == "denied: desk acts for eve, and not both of them have the role finance"
    assert DONE == ["a"]
    assert [(one["kind"], one["on_behalf_of"]) for one in await told(node) if one["kind"] != "action.done"] == [
        ("action.denied", "eve")
    ]


async def test_an_agent_that_was_given_less_may_not_more_whoever_asks(node):
    ada = await hire(node, "ada", "finance")
    granted = await grant_agent(node, "desk", "sales")
    assert (await run_by(node, "ada")).output.startswith("denied: desk acts for ada")
    await grant_agent(node, "desk", "finance")
    assert (await run_by(node, "ada")).output == "paid a"
    await lose(node, ada)
    assert (await run_by(node, "ada")).output.startswith("denied")
    assert granted.kind == "agent"


async def test_an_agent_whose_keys_are_all_revoked_may_nothing(node):
    await hire(node, "ada", "finance")
    granted = await grant_agent(node, "desk", "finance")
    await lose(node, granted)
    assert (await run_by(node, "ada")).output.startswith("denied")
    assert DONE == []


async def test_a_called_agent_may_what_all_before_it_may_and_the_log_names_them(node):
    await hire(node, "ada", "finance", "sales")
    await policy.activate(node.world, LOCAL, "permit (principal, action, resource);", "enforce", signed=True)
    assert (await run_by(node, "ada", "planner")).output == "paid a"
    called = [one for one in await told(node) if one["kind"] == "action.allowed" and one["tool"] == "acting_pay"]
    assert [(one["on_behalf_of"], one["via"], one["agent"]) for one in called] == [("ada", ["planner"], "desk")]
    await grant_agent(node, "planner", "sales")
    assert (await run_by(node, "ada", "planner")).output.startswith("denied: desk acts for ada")


async def test_an_agent_without_the_scope_to_start_runs_hands_nothing_over(node):
    await hire(node, "ada", "finance")
    await grant_agent(node, "planner", "finance", scopes=("runs:read",))
    ended = await run_by(node, "ada", "planner")
    assert ended.output == "not handed over: planner acts for ada, and not both of them have the scope runs:write"
    assert DONE == []


async def test_policies_see_the_roles_that_are_left_and_the_agents_between(node):
    await hire(node, "ada", "finance", "sales")
    await grant_agent(node, "desk", "finance", "legal")
    rules = """
    permit (principal, action in Action::"hand_off", resource);
    permit (principal, action == Action::"acting_pay", resource)
    when { context.roles == ["finance"] && context.via.contains("planner") && context.on_behalf_of == "ada" };
    """
    await policy.activate(node.world, LOCAL, rules, "enforce", signed=True)
    assert (await run_by(node, "ada", "planner")).output == "paid a"
    assert (await run_by(node, "ada")).output == "denied: no policy permits it"


async def test_whoever_started_the_first_run_approves_nothing_that_agents_ask_for_further_down(node):
    ada, bob = await hire(node, "ada", "finance"), await hire(node, "bob", "finance")
    rules = """permit (principal, action in Action::"hand_off", resource);
    @id("pay") @review("finance") @within("1h") permit (principal, action == Action::"acting_pay", resource);"""
    await policy.activate(node.world, LOCAL, rules, "enforce", signed=True)
    run = (await start_run(node.world, command("planner", b'"a"', wants="later", by="ada"))).run.id
    await node.wait(run, "waiting")
    (called,) = await node.kept.list_live_children("default", run)
    asked = await node.wait_review(called)
    with pytest.raises(VoteRefused, match="does not approve it"):
        await decide(node, asked, ada)
    await decide(node, asked, bob)
    assert (await node.wait(run)).output == "paid a"


async def test_an_agent_that_starts_at_an_event_acts_for_whoever_started_the_run_that_told_of_it():
    DONE.clear()
    options = {"desk": {"subscribes": ["orders.*"]}}
    async with LocalNode({"desk": desk, "teller": teller}, options=options) as node:
        await hire(node, "eve", "sales")
        await run_by(node, "eve", "teller")
        (event,) = (await node.kept.list_deliveries("default", DeliveryFilter(), None, 10))[0]
        assert (await start_subscriber(node.world, event)).verdict == "delivered"
        (run,) = (await node.kept.list_runs("default", RunFilter(agent="desk"), None, 10)).items
        assert (await node.wait(run.id)).output.startswith("denied: desk acts for eve")
    assert DONE == []


async def test_a_run_that_is_done_again_acts_for_whoever_wants_it_again(node):
    await hire(node, "ada", "finance")
    await hire(node, "eve", "sales")
    first = await run_by(node, "ada")
    again = await fork_run(node.world, "default", first.id, None, {}, "eve")
    forked = await node.kept.get_run("default", again.run.id)
    assert acting_principal(node.world, forked).on_behalf_of == "eve"
    assert not acting_principal(node.world, forked).has_role("finance")


async def test_a_browser_of_a_key_that_is_revoked_lends_an_agent_nothing(node):
    ada = await hire(node, "ada", "finance")
    await key.open_signin(node.world, ada, 3600)
    await lose(node, ada)
    assert (await run_by(node, "ada")).output.startswith("denied: desk acts for ada")
    assert DONE == []


async def test_a_run_that_is_not_kept_acts_for_its_caller_too(node):
    await hire(node, "eve", "sales")
    started = await start_run(node.world, command("quick", b'"a"', wants="stream", by="eve"))
    assert started.unkept is not None
    assert b"not both of them have the role finance" in (await started.unkept.ended).output
    assert DONE == []


async def test_a_schedule_acts_for_who_made_it(node):
    """Else whoever may make schedules may all that an agent may."""
    await hire(node, "eve", "sales")
    nightly = Schedule(name="nightly", agent="desk", rule=Rule(every_seconds=3600.0), input=Raw(b'"a"'))
    await schedule.make_schedule(node.world, "default", nightly, "eve")
    await node.advance(hours=1, seconds=1)
    await schedule.fire_due(node.world)
    document = await schedule.get_schedule(node.world, "default", "nightly")
    fired = schedule.read(document).last_run
    assert (await node.wait(fired)).output.startswith("denied: desk acts for eve")
    assert DONE == []


async def test_what_the_settings_start_acts_for_the_installation(node):
    await hire(node, "ada", "finance")
    assert (await run_by(node, "source:orders")).output == "paid a"
    ended = await node.kept.get_run("default", (await run_by(node, "source:orders")).id)
    who = acting_principal(node.world, ended)
    assert (who.name, who.on_behalf_of, who.kind) == ("desk", "source:orders", "agent")
