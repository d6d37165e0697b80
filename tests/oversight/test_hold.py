"""Holds (G5, G10): they beat approvals, tell when they are effective, and wide ones take two people to lift."""

import asyncio
import json

import pytest

from pilothouse import Context, agent, tool
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.hold import Hold, Selector
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.run import Run
from pilothouse.engine import evidence, hold, policy
from pilothouse.errors import ActionDenied, Forbidden, Held, HoldNotFound, InvalidInput
from pilothouse.testing import LocalNode
from tests.oversight.people import hire, lose

DONE: list[str] = []


@tool(risk="irreversible", name="hold_pay")
async def pay(what: str) -> str:
    DONE.append(what)
    return f"paid {what}"


@agent(mode="event")
async def desk(ctx: Context, what: str) -> str:
    try:
        return await ctx.call_tool(pay, what=what)
    except ActionDenied as denied:
        return f"denied: {denied.text}"


@agent(mode="event")
async def patient(ctx: Context, what: str) -> str:
    return await ctx.signal("go")


@agent(mode="event")
async def busy(ctx: Context, what: str) -> str:
    while True:
        await asyncio.sleep(0.005)


@agent
async def quick(what: str) -> str:
    return what


class Door:
    """Where a call waits in the middle: made anew for each test, since an event belongs to its loop."""

    def __init__(self):
        self.entered, self.leave = asyncio.Event(), asyncio.Event()


DOORS: list[Door] = []


@tool(risk="reversible", name="hold_wait")
async def wait_for_leave(what: str) -> str:
    DOORS[-1].entered.set()
    await DOORS[-1].leave.wait()
    return f"waited {what}"


@agent(mode="event")
async def slow(ctx: Context, what: str) -> str:
    return await ctx.call_tool(wait_for_leave, what=what)


@agent
async def quick_slow(ctx: Context, what: str) -> str:
    return await ctx.call_tool(wait_for_leave, what=what)


@agent(mode="session")
async def talker(what: str) -> str:
    return what


@agent(mode="session")
async def listener(ctx: Context, what: str) -> str:
    return await ctx.signal("go")


@pytest.fixture
async def node():
    DONE.clear()
    DOORS.append(Door())
    agents = {one.name: one for one in (desk, patient, busy, quick, slow, quick_slow, talker, listener)}
    async with LocalNode(agents) as node:
        yield node


async def place(node, effect="pause", by=LOCAL, **selector):
    return await hold.place_hold(node.world, by, effect, Selector(**selector), "a reason")


async def told(node, prefix="hold."):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    entries = [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]
    return [one for one in entries if one["kind"].startswith(prefix)]


def run(**fields):
    facts = {"tenant": "acme", "id": "run_a", "agent": "desk", "release": "r1", "mode": "event", "status": "queued"}
    return Run(**facts | {"created_at": 0} | fields)


@pytest.mark.parametrize(
    ("selector", "covers"),
    [
        ({}, True),
        ({"agent": "desk"}, True),
        ({"agent": "other"}, False),
        ({"agent": "desk", "release": "r2"}, False),
        ({"session": "s"}, True),
        ({"run": "run_b"}, False),
        ({"tool": "pay"}, False),
        ({"region": "eu"}, False),
    ],
)
def test_a_selector_covers_what_matches_all_that_it_names(selector, covers):
    assert Selector(**selector).covers(run(session="s")) is covers


def test_a_hold_over_a_tool_covers_calls_of_it():
    assert Selector(tool="pay").covers_call(run(), "pay")
    assert not Selector(tool="pay", agent="x").covers_call(run(), "pay")
    assert not Selector(tool="pay").covers_call(run(), "look")


async def test_a_hold_over_a_region_is_refused_since_it_would_hold_nothing(node):
    with pytest.raises(InvalidInput) as refused:
        await place(node, "stop", region="eu")
    assert refused.value.faults[0]["path"] == "$.selector.region"
    assert node.world.holds == {}


async def test_a_paused_agent_starts_nothing_until_the_hold_is_lifted(node):
    placed = await place(node, agent="desk")
    assert placed.status == "effective"
    started = await node.start("desk", "a")
    await node.settle()
    assert (await node.get(started.id)).status == "queued"
    assert (await node.run("quick", "b")).output == "b"
    assert DONE == []
    await hold.lift_hold(node.world, LOCAL, placed.id)
    assert (await node.wait(started)).output == "paid a"


async def test_no_claim_sees_a_run_that_waits_for_a_hold(node):
    """It once was claimed and given back every five seconds, for as long as the hold stood."""
    placed = await place(node, agent="desk")
    started = await node.start("desk", "a")
    await node.settle()
    before = await node.kept.get_run("default", started.id)
    for _ in range(5):
        await node.advance(minutes=1)
        node.bus.ring("work", "desk")
        await node.settle()
    after = await node.kept.get_run("default", started.id)
    assert (after.status, after.epoch) == ("queued", before.epoch)
    assert await node.kept.list_holding() == [placed.id]
    assert len([one for one in await told(node, "run.held") if one["id"] == started.id]) == 1


async def test_of_two_holds_the_second_keeps_what_the_first_lets_go(node):
    first, second = await place(node, agent="desk"), await place(node, agent="desk")
    started = await node.start("desk", "a")
    await node.settle()
    (holding,) = await node.kept.list_holding()
    other = second if holding == first.id else first
    await hold.lift_hold(node.world, LOCAL, holding)
    await node.settle()
    assert await node.kept.list_holding() == [other.id]
    await hold.lift_hold(node.world, LOCAL, other.id)
    assert (await node.wait(started)).output == "paid a"


async def test_a_run_that_began_to_wait_as_the_hold_was_lifted_is_found(node):
    """The bell of the lifting node came before the run had let go: the next round of leases looks for such runs."""
    placed = await place(node, agent="desk")
    started = await node.start("desk", "a")
    await node.settle()
    kept = node.records.release_held
    node.records.release_held = lambda hold, limit: asyncio.sleep(0, 0)
    await hold.lift_hold(node.world, LOCAL, placed.id)
    node.records.release_held = kept
    assert (await node.get(started.id)).status == "queued"
    await node.loops.renew_round()
    assert (await node.wait(started)).output == "paid a"


async def test_a_held_turn_keeps_its_place_in_the_session(node):
    first = await node.start("talker", "one", session="s")
    await node.wait(first)
    second = await node.start("talker", "two", session="s", run_id="run_two", delay=60)
    placed = await place(node, run="run_two")
    await node.advance(minutes=2)
    await node.settle()
    third = await node.start("talker", "three", session="s")
    await node.settle()
    assert [(await node.get(one.id)).status for one in (second, third)] == ["queued", "queued"]
    await hold.lift_hold(node.world, LOCAL, placed.id)
    await node.wait(third)
    assert [turn.run for turn in await node.history("talker", "s")] == [first.id, second.id, third.id]


async def test_a_hold_over_a_tool_waits_for_the_call_that_is_under_way_also_without_policies(node):
    started = await node.start("slow", "a")
    await DOORS[-1].entered.wait()
    placed = await place(node, tool="hold_wait")
    assert placed.status == "placed"
    await hold.settle_holds(node.world)
    assert node.world.holds[placed.id].status == "placed"
    DOORS[-1].leave.set()
    assert (await node.wait(started)).output == "waited a"
    await hold.settle_holds(node.world)
    assert node.world.holds[placed.id].status == "effective"


async def test_a_hold_over_a_tool_waits_for_runs_that_are_not_kept_and_may_call_it(node):
    asked = asyncio.ensure_future(node.run("quick_slow", "a"))
    await DOORS[-1].entered.wait()
    placed = await place(node, tool="hold_wait")
    other = await place(node, tool="hold_pay", agent="quick")
    assert (placed.status, other.status) == ("placed", "effective")
    DOORS[-1].leave.set()
    assert (await asked).output == "waited a"
    await hold.settle_holds(node.world)
    assert node.world.holds[placed.id].status == "effective"


async def test_a_pause_lets_what_runs_go_and_is_effective_then(node):
    started = await node.start("busy", "a")
    while (await node.get(started.id)).status != "running":
        await node.settle()
    placed = await place(node, agent="busy")
    for _ in range(50):
        await asyncio.sleep(0.01)
        await hold.settle_holds(node.world)
        if node.world.holds[placed.id].status == "effective":
            break
    assert node.world.holds[placed.id].status == "effective"
    for _ in range(50):  # it may be taken and given back once more
        if (await node.get(started.id)).status == "queued":
            break
        await asyncio.sleep(0.01)
    assert (await node.get(started.id)).status == "queued"
    (effective,) = [one for one in await told(node) if one["kind"] == "hold.effective"]
    assert effective["took_seconds"] >= 0
    await node.cancel(started)


async def test_a_stop_ends_what_waits_and_what_is_queued(node):
    waiting = await node.start("patient", "a")
    delayed = await node.start("patient", "b", delay=600)
    await node.settle()
    await place(node, "stop", agent="patient")
    for one in (waiting, delayed):
        ended = await node.wait(one)
        assert ended.status == "cancelled"
        assert "on hold: a reason" in ended.error["message"]


async def test_a_hold_over_a_session_keeps_its_turns_in_their_order_and_no_other_session(node):
    placed = await place(node, session="s")
    assert placed.status == "effective"
    held = [await node.start("talker", what, session="s") for what in ("one", "two")]
    assert (await node.run("talker", "three", session="t")).output == "three"
    assert [(await node.get(one)).status for one in held] == ["queued", "queued"]
    await hold.lift_hold(node.world, LOCAL, placed.id)
    assert [(await node.wait(one)).output for one in held] == ["one", "two"]
    assert [turn.run for turn in await node.history("talker", "s")] == [one.id for one in held]


async def test_a_stop_of_a_session_ends_its_turns_refuses_new_ones_and_leaves_other_sessions(node):
    live = await node.start("listener", "a", session="s")
    await node.wait(live, "waiting")
    behind = await node.start("listener", "b", session="s")
    other = await node.start("listener", "c", session="t")
    await node.wait(other, "waiting")
    await place(node, "stop", session="s")
    assert [(await node.wait(one)).status for one in (live, behind)] == ["cancelled", "cancelled"]
    with pytest.raises(Held):
        await node.start("listener", "d", session="s")
    await node.signal(other, "go", "on")
    assert (await node.wait(other)).output == "on"


@pytest.mark.parametrize("effect", ["stop", "quarantine"])
async def test_a_stop_and_a_quarantine_take_no_new_runs_in(node, effect):
    await place(node, effect, agent="desk")
    with pytest.raises(Held):
        await node.start("desk", "a")


async def test_a_stateless_run_that_is_held_is_refused(node):
    await place(node, agent="quick")
    with pytest.raises(Held):
        await node.run("quick", "a")


async def test_a_stopped_tool_is_denied_also_when_it_was_approved(node):
    rules = '@review("") permit (principal, action == Action::"hold_pay", resource);'
    await policy.activate(node.world, LOCAL, rules, "enforce", signed=True)
    started = await node.start("desk", "a")
    asked = await node.wait_review(started)
    await place(node, "stop", tool="hold_pay")
    await node.decide(asked, "approve")
    assert (await node.wait(started)).output == "denied: on hold: a reason"
    assert DONE == []


async def test_a_paused_tool_brings_the_run_to_the_call_again_later(node):
    placed = await place(node, tool="hold_pay")
    started = await node.start("desk", "a")
    await node.settle()
    assert (await node.get(started.id)).status == "queued"
    assert DONE == []
    await node.advance(minutes=5)
    assert await node.kept.list_holding() == [placed.id]
    await hold.lift_hold(node.world, LOCAL, placed.id)
    assert (await node.wait(started)).output == "paid a"


async def test_a_hold_over_a_tenant_takes_two_people_to_lift(node):
    ada, bob = await hire(node, "ada"), await hire(node, "bob")
    placed = await place(node, by=ada)
    assert (await hold.lift_hold(node.world, ada, placed.id)).status != "lifted"
    again = await hold.lift_hold(node.world, ada, placed.id)
    assert (again.status != "lifted", again.lifts) == (True, ("ada",))
    assert node.world.holds
    assert (await hold.lift_hold(node.world, bob, placed.id)).status == "lifted"
    assert (await hold.lift_hold(node.world, bob, placed.id)).status == "lifted"
    assert not node.world.holds
    kinds = [one["kind"] for one in await told(node)]
    assert kinds.count("hold.lift_asked") == 2
    assert kinds[-1] == "hold.lifted"


async def test_who_has_lost_their_key_is_none_of_the_two_who_lift_a_hold_over_a_tenant(node):
    ada, bob, cleo = await hire(node, "ada"), await hire(node, "bob"), await hire(node, "cleo")
    placed = await place(node, by=ada)
    await hold.lift_hold(node.world, ada, placed.id)
    await lose(node, ada)
    assert (await hold.lift_hold(node.world, bob, placed.id)).lifts == ("bob",)
    assert node.world.holds
    assert (await hold.lift_hold(node.world, cleo, placed.id)).status == "lifted"


async def test_without_keys_a_wide_hold_is_not_lifted(node):
    placed = await place(node)
    with pytest.raises(Forbidden, match="two people"):
        await hold.lift_hold(node.world, LOCAL, placed.id)


async def test_agents_place_no_holds_and_machines_lift_none(node):
    robot = Principal("agent:desk", "agent", "default", frozenset({"holds:write"}))
    with pytest.raises(Forbidden):
        await place(node, by=robot)
    placed = await place(node, agent="desk")
    for kind in ("agent", "service"):
        with pytest.raises(Forbidden):
            await hold.lift_hold(node.world, Principal("x", kind, "default", frozenset({"*"})), placed.id)
    with pytest.raises(HoldNotFound):
        await hold.lift_hold(node.world, LOCAL, "hold_x")


async def test_a_hold_outlives_a_restart_and_reaches_a_node_that_was_away(node):
    placed = await place(node, agent="desk")
    await node.restart()
    assert placed.id in node.world.holds
    node.world.holds = {}
    await hold.load_holds(node.world)
    found: Hold = node.world.holds[placed.id]
    assert found.selector == Selector(agent="desk")


async def test_those_that_were_on_in_a_span_are_listed_and_those_lifted_before_are_not():
    async with LocalNode({"desk": desk}) as node:
        first = await hold.place_hold(node.world, LOCAL, "pause", Selector(agent="desk"), "old")
        await hold.lift_hold(node.world, LOCAL, first.id)
        second = await hold.place_hold(node.world, LOCAL, "pause", Selector(agent="desk"), "goes on")
        await node.advance(hours=2)
        third = await hold.place_hold(node.world, LOCAL, "pause", Selector(tool="hold_pay"), "short")
        await hold.lift_hold(node.world, LOCAL, third.id)
        for within, wanted in ((3600.0, [third.id, second.id]), (3 * 3600.0, [third.id, second.id, first.id])):
            found, _ = await hold.list_holds(node.world, "default", None, None, 50, within)
            assert [one.id for one in found] == wanted
