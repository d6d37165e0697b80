"""Actions and policies: nothing with a risk happens without an allow, and what happened is told (G1, G2, I15)."""

import json

import pytest

from pilothouse import Context, agent, tool
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.engine import evidence, policy
from pilothouse.errors import ActionDenied, Forbidden, PolicyInvalid, PolicyUnsigned
from pilothouse.sdk.agent import TOOLS
from pilothouse.testing import LocalNode

PAID: list[dict] = []


@tool(risk="irreversible")
async def refund(order: str, cents: int) -> str:
    PAID.append({"order": order, "cents": cents})
    return f"{cents} for {order}"


@tool(risk="read")
def look(order: str) -> str:
    return order


@agent(mode="event")
async def desk(ctx: Context, cents: int) -> str:
    await ctx.call_tool(look, order="a")
    try:
        return await ctx.call_tool(refund, order="a", cents=cents)
    except ActionDenied as denied:
        return f"denied: {denied.text}"


POLICIES = """
@id("small") permit (principal, action == Action::"refund", resource) when { context.arguments.cents <= 100 };
@id("large") @review("finance") @within("4h") @reason("over one euro")
permit (principal, action == Action::"refund", resource)
when { context.arguments.cents > 100 && context.arguments.cents < 100000 };
"""


@pytest.fixture(autouse=True)
def tools():
    """The last definition of a name counts, and one of these tests makes another refund."""
    TOOLS["refund"] = refund


@pytest.fixture
async def node():
    PAID.clear()
    async with LocalNode({"desk": desk}) as node:
        yield node


async def use(node, text, mode="enforce", signed=True):
    await policy.activate(node.world, LOCAL, text, mode, signed=signed)


async def told(node, prefix="action."):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    entries = [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]
    return [one for one in entries if one["kind"].startswith(prefix)]


def kinds(entries):
    return [one["kind"].removeprefix("action.") for one in entries]


async def test_without_policies_nothing_is_asked_and_nothing_is_written(node):
    assert (await node.run("desk", 5000)).output == "5000 for a"
    assert await told(node) == []


async def test_what_a_policy_permits_happens_and_its_outcome_is_told(node):
    await use(node, POLICIES)
    run = await node.run("desk", 50)
    assert run.output == "50 for a"
    found = await told(node)
    assert kinds(found) == ["allowed", "done"]
    assert found[0]["policies"] == ["small"]
    assert found[0]["id"] == found[1]["id"]
    assert found[0]["by"].startswith("policy:")


async def test_what_no_policy_permits_does_not_happen(node):
    await use(node, POLICIES)
    assert (await node.run("desk", 100_000)).output == "denied: no policy permits it"
    assert PAID == []
    assert kinds(await told(node)) == ["denied"]


async def test_a_denied_call_stays_denied_on_replay(node):
    await use(node, POLICIES)
    run = await node.run("desk", 100_000)
    steps = {step.name: step.status for step in run.steps if step.kind == "tool"}
    assert steps == {"look": "succeeded", "refund": "failed"}


async def test_an_ask_waits_for_people_and_runs_exactly_what_they_approved(node):
    await use(node, POLICIES)
    run = await node.start("desk", 500)
    review = await node.wait_review(run)
    assert review.details["arguments"] == {"order": "a", "cents": 500}
    assert (review.details["role"], review.details["reason"]) == ("finance", "over one euro")
    assert PAID == []
    await node.decide(review, "approve")
    assert (await node.wait(run)).output == "500 for a"
    assert PAID == [{"order": "a", "cents": 500}]
    assert kinds(await told(node)) == ["asked", "allowed", "done"]


@pytest.mark.parametrize(
    ("verdict", "more", "said"),
    [
        ("reject", {"reason": "too much"}, "denied: too much"),
        ("respond", {"response": "ask the customer"}, "ask the customer"),
    ],
)
async def test_a_reject_denies_and_a_response_executes_nothing(node, verdict, more, said):
    await use(node, POLICIES)
    run = await node.start("desk", 500)
    await node.decide(await node.wait_review(run), verdict, **more)
    assert (await node.wait(run)).output == said
    assert PAID == []


async def test_a_question_that_nobody_answers_in_time_is_a_deny(node):
    await use(node, POLICIES)
    run = await node.start("desk", 500)
    await node.wait_review(run)
    await node.advance(hours=5)
    assert (await node.wait(run)).output == "denied: nobody decided in time"
    assert PAID == []


async def test_an_edit_runs_with_the_edited_arguments_when_policy_lets_it(node):
    await use(node, POLICIES)
    run = await node.start("desk", 500)
    await node.decide(await node.wait_review(run), "edit", edited={"order": "a", "cents": 90})
    ended = await node.wait(run)
    assert ended.output == "90 for a", ended.error
    assert PAID == [{"order": "a", "cents": 90}]


async def test_an_edit_passes_policy_again(node):
    await use(node, POLICIES)
    run = await node.start("desk", 500)
    await node.decide(await node.wait_review(run), "edit", edited={"order": "a", "cents": 200_000})
    assert (await node.wait(run)).output == "denied: no policy permits it"
    assert PAID == []


async def test_an_approved_action_is_judged_again_under_the_policies_of_its_execution(node):
    await use(node, POLICIES)
    run = await node.start("desk", 500)
    review = await node.wait_review(run)
    await use(node, 'permit (principal, action == Action::"refund", resource) when { context.arguments.cents < 10 };')
    await node.decide(review, "approve")
    assert (await node.wait(run)).output == "denied: no policy permits it"
    assert PAID == []


async def test_a_question_survives_a_restart_and_is_asked_once(node):
    await use(node, POLICIES)
    run = await node.start("desk", 500)
    await node.wait_review(run)
    for _ in range(3):
        await node.restart()
        await node.settle()
    reviews = await node.reviews()
    assert len(reviews) == 1
    await node.decide(reviews[0], "approve")
    assert (await node.wait(run)).output == "500 for a"
    assert len(PAID) == 1


@pytest.mark.parametrize("when", ["before", "after_effect", "after_commit"])
async def test_a_crash_around_the_effect_is_told_as_unknown_and_judged_again(node, when):
    await use(node, POLICIES)
    node.crash_at_step("refund", when)
    run = await node.run("desk", 50)
    assert run.output == "50 for a"
    expected = ["allowed", "done"] if when == "after_commit" else ["allowed", "unknown", "allowed", "done"]
    assert kinds(await told(node)) == expected


async def test_a_cancelled_run_tells_of_the_action_whose_end_nobody_saw():
    @tool
    async def slow() -> None:
        import asyncio

        await asyncio.sleep(60)

    @agent(mode="event")
    async def stuck(ctx: Context) -> None:
        await ctx.call_tool(slow)

    async with LocalNode({"stuck": stuck}) as node:
        await use(node, "permit (principal, action, resource);")
        run = await node.start("stuck")
        while not await told(node):
            await node.settle()
        await node.cancel(run)
        await node.wait(run)
        assert kinds(await told(node)) == ["allowed", "unknown"]


async def test_a_policy_that_errors_denies(node):
    await use(
        node,
        """permit (principal, action == Action::"refund", resource);
        forbid (principal, action == Action::"refund", resource)
        when { context.arguments has cents && context.arguments.cents + 9223372036854775807 > 3 };""",
    )
    output = (await node.run("desk", 50)).output
    assert output.startswith("denied: a policy could not be evaluated")
    assert PAID == []


async def test_in_log_mode_nothing_is_denied_and_what_would_have_been_is_told(node):
    await use(node, POLICIES, "log")
    assert (await node.run("desk", 100_000)).output == "100000 for a"
    found = await told(node)
    assert [(one["kind"], one.get("would")) for one in found] == [("action.allowed", "deny"), ("action.done", None)]


async def test_policies_that_do_not_fit_the_tools_are_refused_with_every_fault(node):
    with pytest.raises(PolicyInvalid) as caught:
        await use(
            node,
            """@id("a") permit (principal, action == Action::"refund", resource) when { context.arguments.euros > 1 };
            @id("b") @quorum("0") permit (principal, action, resource);""",
        )
    assert {one["path"] for one in caught.value.faults} >= {"a", "b"}
    assert await policy.get_policies(node.world, "default") is None


async def test_newly_allowed_actions_need_the_signature_of_a_person(node):
    await use(node, POLICIES)
    await node.run("desk", 100_000)
    wider = 'permit (principal, action == Action::"refund", resource);'
    found = await policy.compare(node.world, "default", wider)
    assert (found.actions, found.newly_allowed, found.examples[0].difference) == (1, 1, "newly_allowed")
    robot = Principal("ci", "service", "default", frozenset({"policy:write"}))
    for by, signed in ((LOCAL, False), (robot, True), (robot, False)):
        with pytest.raises(PolicyUnsigned):
            await policy.activate(node.world, by, wider, "enforce", signed=signed)
    narrower = 'permit (principal, action == Action::"refund", resource) when { context.arguments.cents < 5 };'
    stored, _ = await policy.activate(node.world, robot, narrower, "enforce", signed=False)
    assert stored.signed_by is None
    stored, _ = await policy.activate(node.world, LOCAL, wider, "enforce", signed=True)
    assert stored.signed_by == "local"
    activated = await told(node, "policy.")
    assert [one["kind"] for one in activated] == ["policy.activated"] * 3


async def test_agents_write_no_policy(node):
    robot = Principal("agent:desk", "agent", "default", frozenset({"policy:write"}))
    with pytest.raises(Forbidden):
        await policy.activate(node.world, robot, POLICIES, "enforce", signed=True)
    with pytest.raises(Forbidden):
        await policy.deactivate(node.world, robot)


async def test_active_policies_outlive_a_restart(node):
    await use(node, POLICIES)
    await node.restart()
    assert (await node.run("desk", 100_000)).output == "denied: no policy permits it"


async def test_policies_that_no_longer_fit_the_tools_deny_everything(node):
    await use(node, POLICIES)

    @tool(risk="irreversible", name="refund")
    async def other(order: str) -> str:
        return order

    @agent(mode="event")
    async def desk2(ctx: Context, cents: int) -> str:
        try:
            return await ctx.call_tool(other, order="a")
        except ActionDenied as denied:
            return denied.text

    await node.restart({"desk": desk2})
    output = (await node.run("desk", 1)).output
    assert "do not fit the tools any more" in output


async def test_a_stateless_run_is_judged_too_and_people_cannot_be_asked():
    @agent
    async def quick(ctx: Context, cents: int) -> str:
        try:
            return await ctx.call_tool(refund, order="a", cents=cents)
        except ActionDenied as denied:
            return denied.text

    PAID.clear()
    async with LocalNode({"quick": quick}) as node:
        await use(node, POLICIES)
        assert (await node.run("quick", 50)).output == "50 for a"
        assert (await node.run("quick", 100_000)).output == "no policy permits it"
        assert len(PAID) == 1


async def test_a_tool_given_to_a_plain_step_goes_through_the_same_door():
    @agent(mode="event")
    async def sly(ctx: Context) -> str:
        return await ctx.step(refund, "a", cents=100_000)

    PAID.clear()
    async with LocalNode({"sly": sly}) as node:
        await use(node, POLICIES)
        run = await node.run("sly")
        assert (run.status, run.error["code"]) == ("failed", "action_denied")
        assert PAID == []


async def test_a_call_that_is_proposed_before_the_policies_were_read_waits_for_them(node):
    """A node that starts again has runs to go on with at once. It once let them call tools before it had read that it
    must ask: found by the races of `test_vote`."""
    await use(node, POLICIES)
    await node.restart()
    node.world.policies, node.world.knows_rules = {}, False
    node.worker.gate(True)
    assert (await node.run("desk", 100_000)).output == "denied: no policy permits it"
    assert PAID == []


async def test_hosts_ask_until_the_node_has_read_that_nobody_need_be_asked():
    from pilothouse.compute.options import WorkerOptions
    from pilothouse.compute.worker import NodeWorker

    worker = NodeWorker("node-1", WorkerOptions("/nowhere", {}), lambda: None)
    assert worker._is_gated
