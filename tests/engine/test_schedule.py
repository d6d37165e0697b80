"""Schedules by a clock that the test holds: effective once over nodes, crashes and restarts, and every policy (I9)."""

import asyncio
import contextlib
import json

import pytest
from msgspec import Raw

from pilothouse import Context, agent
from pilothouse.domain.schedule import Rule, Schedule
from pilothouse.engine import schedule as verbs
from pilothouse.engine.run import list_runs
from pilothouse.errors import AgentNotFound, RecordsUnavailable, ScheduleExists, ScheduleNotFound, ScheduleRefused
from pilothouse.ports.records import RunFilter
from pilothouse.testing import LocalNode, NodeCrashed
from tests.engine.agents import held, note

HOURLY = Rule(every_seconds=3600)


def every_hour(agent: str = "note", **more) -> Schedule:
    return Schedule(**({"name": "s", "agent": agent, "rule": HOURLY, "input": Raw(b'"tick"')} | more))


async def make(node: LocalNode, schedule: Schedule):
    return await verbs.make_schedule(node.world, "default", schedule, "ann")


async def runs(node: LocalNode, *statuses: str):
    found = (await list_runs(node.world, "default", RunFilter(statuses=statuses), None, 100)).items
    return list(reversed(found))


async def kept(node: LocalNode) -> Schedule:
    return verbs.read(await verbs.get_schedule(node.world, "default", "s"))


async def pass_hours(node: LocalNode, hours: float, *, looks: bool = True) -> None:
    node.clock.advance(hours=hours)
    if looks:
        await verbs.fire_due(node.world)
        await node.settle()


async def test_each_hour_becomes_one_run_that_knows_what_started_it():
    async with LocalNode({"note": note}) as node:
        made = verbs.read(await make(node, every_hour(metadata={"team": "blue"})))
        for _ in range(3):
            await pass_hours(node, 1)
            await verbs.fire_due(node.world)
        found = await runs(node, "succeeded")
        assert len(found) == 3
        assert found[0].output == b'"TICK"'
        assert b'"schedule":"s"' in found[0].metadata
        assert b'"team":"blue"' in found[0].metadata
        assert (await kept(node)).next_at == made.made_at + 4 * 3600 * 1_000_000


async def test_nothing_fires_early():
    async with LocalNode({"note": note}) as node:
        made = await make(node, every_hour(jitter_seconds=600))
        at = verbs.next_firings(verbs.read(made), 1)[0]
        node.clock.advance_to(at - 1)
        assert await verbs.fire_due(node.world) == at
        assert await runs(node) == []
        node.clock.advance_to(at)
        await verbs.fire_due(node.world)
        assert len(await runs(node)) == 1


async def test_nodes_that_look_at_once_fire_once():
    async with LocalNode({"note": note}) as node:
        await make(node, every_hour())
        for _ in range(5):
            node.clock.advance(hours=1)
            await asyncio.gather(*[verbs.fire_due(node.world) for _ in range(5)])
            node.clock.advance(seconds=2)
            await verbs.fire_due(node.world)
            await node.settle()
        assert len(await runs(node)) == 5


async def calls_of_a_firing() -> int:
    async with LocalNode({"note": note}) as node:
        await make(node, every_hour())
        node.clock.advance(hours=1)
        before = node.records.calls
        await verbs.fire_due(node.world)
        return node.records.calls - before


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["before", "after", "fail"])
async def test_a_crash_at_any_call_leaves_each_firing_exactly_once(mode):
    count = await calls_of_a_firing()
    assert count >= 4
    for nth in range(1, count + 1):
        async with LocalNode({"note": note}) as node:
            await make(node, every_hour())
            node.clock.advance(hours=1)
            node.records.strike(nth, mode)
            for _ in range(3):
                with contextlib.suppress(NodeCrashed, RecordsUnavailable):
                    await node._or_die(verbs.fire_due(node.world))
                if node.is_dead:
                    await node.restart()
                node.clock.advance(seconds=2)
            await node.settle()
            assert len(await runs(node)) == 1, nth
            assert (await kept(node)).left_out == 0


@pytest.mark.parametrize(("misfire", "count"), [("skip", 0), ("once", 1), ("all", 5)])
async def test_what_passed_while_the_node_was_off_is_made_up_for_as_it_says(misfire, count):
    async with LocalNode({"note": note}) as node:
        await make(node, every_hour(misfire=misfire, overlap="allow"))
        await pass_hours(node, 5.5, looks=False)
        await node.restart()
        await verbs.fire_due(node.world)
        await node.settle()
        assert len(await runs(node, "succeeded")) == count
        await pass_hours(node, 0.5)
        assert len(await runs(node, "succeeded")) == count + 1


async def test_a_firing_is_left_out_while_the_run_before_lives():
    gate, hold = held()
    async with LocalNode({"hold": hold}) as node:
        await make(node, every_hour("hold", overlap="skip"))
        for _ in range(3):
            await pass_hours(node, 1)
        assert len(await runs(node)) == 1
        assert (await kept(node)).left_out == 2
        gate.set()
        await node.settle()
        await pass_hours(node, 1)
        assert len(await runs(node, "succeeded")) == 2


async def test_firings_wait_for_the_run_before_in_their_order_and_over_a_restart():
    @agent(mode="event")
    async def waits(ctx: Context, text: str) -> str:
        return await ctx.signal("go")

    async with LocalNode({"waits": waits}) as node:
        await make(node, every_hour("waits", overlap="queue"))
        for _ in range(3):
            await pass_hours(node, 1)
        assert len(await runs(node)) == 1
        assert len((await kept(node)).waiting) == 2
        await node.restart()
        for count in (1, 2, 3):
            [live] = await runs(node, "queued", "running", "waiting")
            await node.signal(live.id, "go", "x")
            await node.wait(live.id)
            node.clock.advance(seconds=1)
            assert await verbs.fire_due(node.world) is not None
            await node.settle()
            assert len(await runs(node)) == min(count + 1, 3)
        assert (await kept(node)).waiting == []


async def test_a_firing_takes_the_place_of_the_run_before():
    gate, hold = held()
    async with LocalNode({"hold": hold}) as node:
        await make(node, every_hour("hold", overlap="replace"))
        await pass_hours(node, 1)
        await pass_hours(node, 1)
        gate.set()
        await node.settle()
        assert [run.status for run in await runs(node)] == ["cancelled", "succeeded"]


async def test_a_paused_one_fires_not_and_makes_up_for_nothing():
    async with LocalNode({"note": note}) as node:
        await make(node, every_hour(misfire="all"))
        await verbs.pause_schedule(node.world, "default", "s", "ann")
        await verbs.pause_schedule(node.world, "default", "s", "ann")
        await pass_hours(node, 3)
        assert await runs(node) == []
        await verbs.resume_schedule(node.world, "default", "s", "ann")
        await verbs.fire_due(node.world)
        assert await runs(node) == []
        await pass_hours(node, 1)
        assert len(await runs(node)) == 1


async def test_one_is_fired_by_hand_and_goes_on_as_before():
    async with LocalNode({"note": note}) as node:
        made = verbs.read(await make(node, every_hour()))
        run = await verbs.run_schedule(node.world, "default", "s", "ann")
        assert (await node.wait(run.id)).status == "succeeded"
        assert (await kept(node)).next_at == made.next_at


async def test_once_fires_once_and_stays_to_be_seen():
    async with LocalNode({"note": note}) as node:
        at = (node.clock.at.replace(microsecond=0)).isoformat()
        await make(node, every_hour(rule=Rule(at=at)))
        assert await verbs.fire_due(node.world) is None
        node.clock.advance(days=400)
        await verbs.delete_schedule(node.world, "default", "s", "ann")
        at = node.clock.at.replace(year=node.clock.at.year + 1, day=1).isoformat()
        await make(node, every_hour(rule=Rule(at=at)))
        node.clock.advance(days=800)
        await verbs.fire_due(node.world)
        await verbs.fire_due(node.world)
        await node.settle()
        assert len(await runs(node)) == 1
        assert (await kept(node)).next_at is None


async def test_what_cannot_start_is_told_and_does_not_stop_the_others():
    @agent(mode="event")
    def counts(number: int) -> int:
        return number

    async with LocalNode({"counts": counts, "note": note}) as node:
        await make(node, every_hour("counts"))
        await make(node, every_hour(name="t"))
        await pass_hours(node, 1)
        assert (await kept(node)).problem.startswith("invalid_input")
        assert [run.agent for run in await runs(node)] == ["note"]


async def test_what_the_file_says_is_brought_into_the_records_and_what_it_says_no_more_goes():
    async with LocalNode({"note": note}) as node:
        keep = lambda *wanted: verbs.keep_schedules(node.world, {"default": wanted})  # noqa: E731
        await make(node, every_hour(name="api"))
        await keep(every_hour(), every_hour(name="t"))
        await verbs.pause_schedule(node.world, "default", "s", "ann")
        await pass_hours(node, 1)
        moved = await kept(node)
        await keep(every_hour())
        assert await kept(node) == moved
        changed = every_hour(rule=Rule(every_seconds=60))
        await asyncio.gather(keep(changed), keep(changed))
        found, _ = await verbs.list_schedules(node.world, "default", None, 10)
        assert sorted((one.id, one.state) for one in found) == [("schedule/api", "active"), ("schedule/s", "paused")]
        assert (await kept(node)).rule.every_seconds == 60


async def test_schedules_of_the_file_belong_to_their_tenants_and_go_when_the_file_has_none_of_theirs_any_more():
    """The last one of a tenant once stayed and fired for ever: nobody looked at tenants that the file did not name."""
    async with LocalNode({"note": note}) as node:
        await verbs.keep_schedules(
            node.world, {"default": [every_hour()], "blue": [every_hour(), every_hour(name="t")]}
        )
        await pass_hours(node, 1)
        theirs = (await list_runs(node.world, "blue", RunFilter(statuses=("succeeded",)), None, 100)).items
        assert sorted(json.loads(run.metadata)["schedule"] for run in theirs) == ["s", "t"]
        assert len(await runs(node, "succeeded")) == 1
        await verbs.keep_schedules(node.world, {"default": [every_hour()]})
        await pass_hours(node, 1)
        assert len((await list_runs(node.world, "blue", RunFilter(), None, 100)).items) == 2
        assert len(await runs(node)) == 2
        assert await verbs.list_schedules(node.world, "blue", None, 10) == ([], None)


async def test_what_is_wrong_is_refused():
    async with LocalNode({"note": note}) as node:
        with pytest.raises(ScheduleRefused):
            await make(node, every_hour(rule=Rule(cron="never")))
        with pytest.raises(AgentNotFound):
            await make(node, every_hour("nobody"))
        await make(node, every_hour())
        with pytest.raises(ScheduleExists):
            await make(node, every_hour())
        await verbs.delete_schedule(node.world, "default", "s", "ann")
        for verb in (verbs.delete_schedule, verbs.pause_schedule, verbs.run_schedule):
            with pytest.raises(ScheduleNotFound):
                await verb(node.world, "default", "s", "ann")


async def test_runs_of_the_same_name_and_instant_are_not_made_twice_after_a_deletion():
    async with LocalNode({"note": note}) as node:
        await make(node, every_hour(rule=Rule(cron="0 * * * *")))
        await pass_hours(node, 1)
        count = len(await runs(node))
        await verbs.delete_schedule(node.world, "default", "s", "ann")
        document = await make(node, every_hour(rule=Rule(cron="0 * * * *")))
        earlier = verbs.read(document)
        earlier.next_at -= 3600 * 1_000_000
        await node.records.commit(verbs.Change((verbs._write(document, earlier, node.clock.now()),)))
        await verbs.fire_due(node.world)
        await node.settle()
        assert len(await runs(node)) == count == 1
