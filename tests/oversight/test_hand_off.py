"""A call of another agent is an action: decided before it happens, with a digest, and told with its outcome."""

import json

import pytest

from pilothouse import Context, agent
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.ids import child_run_id
from pilothouse.domain.principal import LOCAL
from pilothouse.engine import evidence, hold, policy
from pilothouse.errors import ActionDenied, CallFailed
from pilothouse.testing import LocalNode

SEEN: list[dict] = []


@agent(mode="event")
async def biller(order: str, cents: int) -> str:
    SEEN.append({"order": order, "cents": cents})
    return f"billed {cents}"


@agent(mode="event")
async def desk(ctx: Context, cents: int) -> str:
    try:
        return await ctx.call("biller", {"order": "a", "cents": cents})
    except ActionDenied as denied:
        return f"denied: {denied.text}"


@agent(mode="event")
async def patient(ctx: Context, cents: int) -> str:
    try:
        said = await ctx.call("biller", {"order": "a", "cents": cents})
    except ActionDenied as denied:
        said = f"denied: {denied.text}"
    await ctx.signal("go")
    return said


@agent(mode="event")
async def lost(ctx: Context) -> str:
    try:
        return await ctx.call("nobody", {"x": 1})
    except CallFailed as failed:
        return f"failed: {failed.message}"


@agent
async def quick(ctx: Context, cents: int) -> str:
    try:
        return await ctx.call("biller", {"order": "a", "cents": cents})
    except ActionDenied as denied:
        return f"denied: {denied.text}"


RULES = """
@id("small") permit (principal, action == Action::"call:biller", resource)
when { context.arguments.input.cents <= 100 };
@id("large") @review("") permit (principal, action == Action::"call:biller", resource)
when { context.arguments.input.cents > 100 && context.arguments.input.cents < 100000 };
@id("unknown") permit (principal, action == Action::"any_tool", resource) when { context.tool == "call:nobody" };
"""


@pytest.fixture
async def node():
    SEEN.clear()
    async with LocalNode({one.name: one for one in (biller, desk, patient, lost, quick)}) as node:
        yield node


async def use(node, text=RULES):
    await policy.activate(node.world, LOCAL, text, "enforce", signed=True)


async def told(node):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    entries = [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]
    return [one for one in entries if one["kind"].startswith("action.")]


def kinds(entries):
    return [one["kind"].removeprefix("action.") for one in entries]


async def test_without_policies_nobody_is_asked(node):
    assert (await node.run("desk", 5000)).output == "billed 5000"
    assert await told(node) == []


async def test_what_is_permitted_is_handed_over_and_told_in_the_change_of_the_called_run(node):
    await use(node)
    run = await node.run("desk", 50)
    assert run.output == "billed 50"
    allowed, done = await told(node)
    assert kinds([allowed, done]) == ["allowed", "done"]
    assert (allowed["tool"], allowed["policies"], allowed["id"]) == ("call:biller", ["small"], done["id"])
    assert allowed["digest"].startswith("hmac:")
    assert done["called"] == child_run_id(run.id, done["step"])


async def test_what_nobody_permits_starts_no_run_and_stays_denied_on_replay(node):
    await use(node)
    run = await node.run("desk", 100_000)
    assert run.output == "denied: no policy permits it"
    assert SEEN == []
    assert kinds(await told(node)) == ["denied"]
    patient = await node.start("patient", 100_000)
    await node.settle()
    await node.restart()
    await node.signal(patient, "go")
    assert (await node.wait(patient)).output == "denied: no policy permits it"
    assert kinds(await told(node)) == ["denied", "denied"]


async def test_people_approve_exactly_what_is_handed_over(node):
    await use(node)
    run = await node.start("desk", 500)
    asked = await node.wait_review(run)
    assert asked.details["arguments"] == {"input": {"order": "a", "cents": 500}}
    await node.restart()
    await node.decide(asked, "approve")
    assert (await node.wait(run)).output == "billed 500"
    assert SEEN == [{"order": "a", "cents": 500}]
    assert kinds(await told(node)) == ["asked", "allowed", "done"]


async def test_what_people_edit_is_what_the_other_agent_gets(node):
    await use(node)
    run = await node.start("desk", 500)
    asked = await node.wait_review(run)
    await node.decide(asked, "edit", edited={"input": {"order": "b", "cents": 90}})
    assert (await node.wait(run)).output == "billed 90"
    assert SEEN == [{"order": "b", "cents": 90}]


@pytest.mark.parametrize(
    ("verdict", "more", "said"),
    [("reject", {"reason": "not today"}, "denied: not today"), ("respond", {"response": "ask them"}, "ask them")],
)
async def test_a_reject_and_a_response_hand_nothing_over(node, verdict, more, said):
    await use(node)
    run = await node.start("desk", 500)
    await node.decide(await node.wait_review(run), verdict, **more)
    assert (await node.wait(run)).output == said
    assert SEEN == []


async def test_a_hand_off_that_cannot_be_is_told_as_failed(node):
    await use(node)
    assert (await node.run("lost")).output.startswith("failed:")
    assert kinds(await told(node)) == ["allowed", "failed"]


async def test_a_hand_off_is_decided_once_however_often_its_caller_starts_again(node):
    await use(node)
    run = await node.start("desk", 50)
    for _ in range(3):
        await node.restart()
    assert (await node.wait(run)).output == "billed 50"
    assert kinds(await told(node)).count("done") == 1
    assert len(SEEN) == 1


async def test_a_run_that_is_not_kept_is_judged_too(node):
    await use(node)
    assert (await node.run("quick", 50)).output == "billed 50"
    assert (await node.run("quick", 100_000)).output == "denied: no policy permits it"


async def test_all_hand_offs_can_be_permitted_at_once(node):
    await use(node, 'permit (principal, action in Action::"hand_off", resource);')
    assert (await node.run("desk", 100_000)).output == "billed 100000"


async def test_a_hand_off_is_held_like_a_tool(node):
    placed = await hold.place_hold(node.world, LOCAL, "stop", hold.Selector(tool="call:biller"), "a reason")
    assert (await node.run("desk", 50)).output == "denied: on hold: a reason"
    assert kinds(await told(node)) == ["denied"]
    await hold.lift_hold(node.world, LOCAL, placed.id)
    assert (await node.run("desk", 50)).output == "billed 50"


async def test_a_crash_at_each_step_of_a_hand_off_leaves_one_called_run_and_its_outcome():
    """The node dies at every write of the way there, is started again, and nothing is lost or done twice."""
    at = 1
    while True:
        SEEN.clear()
        async with LocalNode({"desk": desk, "biller": biller}) as node:
            await use(node)
            before = node.records.calls
            node.records.strike(at, "after", "submit")
            run = await node.run("desk", 50)
            assert run.output == "billed 50"
            found = await told(node)
            assert kinds(found).count("done") == 1
            assert {one["id"] for one in found} == {found[0]["id"]}
            assert len(SEEN) >= 1
            if node.crashes == 0:
                assert node.records.calls > before
                break
        at += 1
    assert at > 4
