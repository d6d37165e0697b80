"""Publishing an event is an outgoing message, and so an action: decided before it leaves, with its outcome told."""

import json

import pytest

from pilothouse import Context, agent
from pilothouse.domain.delivery import Receiver, Receivers
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.label import RULE_OF_TWO
from pilothouse.domain.principal import LOCAL
from pilothouse.engine import evidence, policy
from pilothouse.errors import ActionDenied
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.testing import LocalNode


@agent(mode="event")
async def desk(ctx: Context, topic: str) -> str:
    try:
        said = await ctx.publish(topic, {"cents": 5})
    except ActionDenied as denied:
        said = f"denied: {denied.text}"
    await ctx.signal("go")
    return said


RULES = """
@id("orders") permit (principal, action == Action::"topic:publish", resource)
when { context.arguments.topic == "orders.paid" };
@id("press") @review("") @within("4h") permit (principal, action == Action::"topic:publish", resource)
when { context.arguments.topic == "press.release" };
"""


@pytest.fixture
async def node():
    async with LocalNode({"desk": desk}) as node:
        node.world.receivers = Receivers((Receiver(name="all", events=(), topics=(">",)),), signs=True)
        yield node


async def use(node, text=RULES):
    await policy.activate(node.world, LOCAL, text, "enforce", signed=True)


async def sent(node):
    found, _ = await node.kept.list_deliveries("default", DeliveryFilter(), None, 50)
    return [(one.type, json.loads(one.body)["data"]["payload"]) for one in found]


async def kinds(node):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    entries = [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]
    return [one["kind"].removeprefix("action.") for one in entries if one["kind"].startswith("action.")]


async def end(node, run):
    await node.restart()
    node.world.receivers = Receivers((Receiver(name="all", events=(), topics=(">",)),), signs=True)
    await node.signal(run, "go")
    return await node.wait(run)


async def test_without_policies_nobody_is_asked(node):
    run = await node.start("desk", "anything.at_all")
    await node.settle()
    assert await sent(node) == [("anything.at_all", {"cents": 5})]
    assert await kinds(node) == []
    assert (await end(node, run)).output.startswith("evt_")


async def test_what_is_permitted_leaves_and_is_told_with_it(node):
    await use(node)
    run = await node.start("desk", "orders.paid")
    await node.settle()
    assert await sent(node) == [("orders.paid", {"cents": 5})]
    assert await kinds(node) == ["allowed", "done"]
    assert (await end(node, run)).output.startswith("evt_")
    assert len(await sent(node)) == 1


async def test_what_nobody_permits_does_not_leave_also_not_on_replay(node):
    await use(node)
    run = await node.start("desk", "secrets.all")
    await node.settle()
    assert (await end(node, run)).output == "denied: no policy permits it"
    assert await sent(node) == []
    assert await kinds(node) == ["denied"]


@pytest.mark.parametrize(
    ("verdict", "more", "said", "left"),
    [
        ("approve", {}, "evt_", [("press.release", {"cents": 5})]),
        ("edit", {"edited": {"topic": "orders.paid", "event": {"cents": 1}}}, "evt_", [("orders.paid", {"cents": 1})]),
        ("reject", {"reason": "not yet"}, "denied: not yet", []),
        ("respond", {"response": "evt_0 says the reviewer"}, "evt_0 says the reviewer", []),
    ],
)
async def test_people_decide_what_leaves(node, verdict, more, said, left):
    await use(node)
    run = await node.start("desk", "press.release")
    asked = await node.wait_review(run)
    assert asked.details["arguments"] == {"topic": "press.release", "event": {"cents": 5}}
    assert await sent(node) == []
    await node.decide(asked, verdict, **more)
    await node.settle()
    assert await sent(node) == left
    assert (await end(node, run)).output.startswith(said)
    assert await sent(node) == left


async def test_the_rule_of_two_holds_for_messages(node):
    await use(node, RULES + RULE_OF_TWO.replace('@review("owner")', '@review("")'))
    run = await node.start("desk", "orders.paid", metadata={"labels": ["external", "sensitive"]})
    asked = await node.wait_review(run)
    assert asked.details["reason"] == "the run has read untrusted and sensitive data"
    assert await sent(node) == []
    await node.decide(asked, "reject")
    assert (await end(node, run)).output.startswith("denied")
