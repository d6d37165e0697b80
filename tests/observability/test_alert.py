"""The node's own evaluator over real records: what is unusual; restarts and other nodes repeat and lose nothing.

Time is that of a clock which the test holds. A node here is what a process remembers (its metrics, and what of them is
kept); two of them share the records, as after a restart or beside each other.
"""

import asyncio
import json

import msgspec
import pytest

from pilothouse.domain.delivery import Receiver, Receivers
from pilothouse.domain.objective import Objectives
from pilothouse.domain.usual import IN_A_ROW, RECENT
from pilothouse.engine.alert import judge_alerts, list_alerts, retire_alerts
from pilothouse.engine.delivery import list_deliveries
from pilothouse.observability.alert import Alerts
from pilothouse.observability.metric import Metrics
from pilothouse.observability.objective import agent_alerts
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.testing import LocalNode
from pilothouse.wire.alert import alert_view

HEARD = Receiver(name="oncall", events=("alert.fired", "alert.resolved"))
SMALL = {"anomalies": False, "share": 0.9}


def facts_of(alert):
    return msgspec.json.encode(alert_view(alert))


def echo(text: str) -> str:
    return text


@pytest.fixture
async def local():
    async with LocalNode({"desk": echo}) as node:
        node.world.receivers = Receivers((HEARD,))
        yield node


class Process:
    """What a process of a node remembers. Runs of 2 s that cost a tenth of a dollar, thirty in five minutes, looked at
    each minute."""

    def __init__(self, local, **promised):
        self.local = local
        self.metrics = Metrics()
        self.metrics.objectives = {"desk": Objectives(**promised)}
        self.told = []
        self.alerts = Alerts(
            self.metrics.objectives, self.metrics.objective_counts, self.metrics.totals,
            lambda agent, known, gained, last: judge_alerts(local.world, agent, known, gained, facts_of, is_last=last),
            lambda agents: retire_alerts(local.world, agents, facts_of), self.told.append,
        )  # fmt: skip
        self.metrics.firing = self.alerts.firing

    def count(self, runs, seconds=2.0, cost=0.1, status="succeeded"):
        for _ in range(runs):
            self.metrics.run_ended("desk", status, seconds, b'{"cost_usd":%f}' % cost)

    async def go_on(self, slots, runs=6, seconds=2.0, cost=0.1, status="succeeded"):
        for _ in range(slots * 5):
            self.local.clock.advance(60)
            self.count(runs, seconds, cost, status)
            await self.alerts.round()

    def gauges(self):
        lines = self.metrics.render().decode().splitlines()
        return [line for line in lines if line.startswith("pilothouse_unusual{")]


async def heard(local):
    """What the receiver is told, oldest first."""
    found, _ = await list_deliveries(local.world, "default", DeliveryFilter(), None, 100)
    return [(one.type, json.loads(one.body)["data"]["objective"]) for one in reversed(found)]


FIRED, RESOLVED = ("alert.fired", "ended"), ("alert.resolved", "ended")


@pytest.mark.slow
async def test_what_is_far_from_usual_is_a_ticket_that_says_how_far_and_ends_by_itself(local):
    habit = Process(local)
    await habit.go_on(RECENT * 2)
    assert (habit.told, habit.gauges()) == ([], [])
    await habit.go_on(IN_A_ROW + 1, seconds=20.0)
    [alert] = habit.alerts.firing()
    assert alert_view(alert).summary == "A run of desk took 20 s on average in 5 minutes; 2 s are usual."
    assert habit.gauges() == ['pilothouse_unusual{agent="desk",quantity="seconds"} 1.0']
    await habit.go_on(IN_A_ROW + 1)
    assert habit.alerts.firing() == []
    assert [one.resolved_at is None for one in habit.told] == [True, False]


@pytest.mark.slow
async def test_runs_that_stay_away_are_told_also_by_a_process_that_has_seen_none_of_them(local):
    await Process(local).go_on(RECENT * 2)
    again = Process(local)
    await again.go_on(IN_A_ROW + 1, runs=0)
    assert [alert_view(one).summary for one in again.alerts.firing()] == [
        "0 runs of desk ended in 5 minutes; 30 are usual."
    ]


@pytest.mark.slow
async def test_a_time_in_which_no_node_looked_says_nothing_of_what_is_usual(local):
    await Process(local).go_on(RECENT * 2)
    local.clock.advance(hours=2)
    again = Process(local)
    await again.go_on(IN_A_ROW + 2)
    assert again.told == []


async def test_who_does_not_want_to_hear_of_the_unusual_does_not(local):
    habit = Process(local, anomalies=False)
    await habit.go_on(RECENT + IN_A_ROW)
    await habit.go_on(IN_A_ROW + 1, runs=0)
    assert habit.told == []
    assert [rule["alert"] for rule in agent_alerts("desk", Objectives(anomalies=False))] == [
        "PilothouseObjectiveBurns"
    ] * 2
    assert agent_alerts("desk", Objectives())[-1]["alert"] == "PilothouseUnusual"


@pytest.mark.slow
async def test_a_day_that_costs_more_than_planned_is_a_ticket_until_the_day_is_over(local):
    habit = Process(local, cost_usd_a_day=50, anomalies=False)
    await habit.go_on(16)
    assert habit.told == []
    await habit.go_on(1)
    [alert] = habit.alerts.firing()
    assert alert_view(alert).summary == "desk cost 50.40 USD in 24 hours; 50.00 are planned."
    local.clock.advance(hours=24)
    await habit.go_on(1, runs=0)
    assert habit.alerts.firing() == []


async def test_an_alert_outlives_the_process_that_told_of_it_and_the_next_one_tells_that_it_is_over(local):
    first = Process(local, **SMALL)
    await first.go_on(1, status="failed")
    assert await heard(local) == [FIRED]
    second = Process(local, **SMALL)  # the first was killed
    await second.go_on(1, status="failed")
    assert await heard(local) == [FIRED], "a restart repeats nothing"
    assert [one.objective for one in second.alerts.firing()] == ["ended"]
    third = Process(local, **SMALL)  # and so was the second
    local.clock.advance(hours=7)
    await third.alerts.round()
    assert await list_alerts(local.world, with_resolved=False) == []
    assert await heard(local) == [FIRED, RESOLVED], "and loses nothing"
    [over] = await list_alerts(local.world, with_resolved=True)
    assert over.resolved_at == local.clock.now()


async def test_a_failure_right_after_a_restart_is_one_of_many_runs_and_not_of_one(local):
    first = Process(local, **SMALL)
    await first.go_on(1)
    first.count(50)
    await first.alerts.round(is_last=True)
    second = Process(local, **SMALL)
    await second.go_on(1, runs=1, status="failed")
    assert (second.told, await heard(local)) == ([], [])


async def test_of_two_nodes_one_tells_and_both_know(local):
    one, other = Process(local, **SMALL), Process(local, **SMALL)
    for _ in range(5):
        local.clock.advance(60)
        one.count(10, status="failed")
        other.count(10, status="failed")
        await one.alerts.round()
        await other.alerts.round()
    assert await heard(local) == [FIRED]
    assert len(one.told) + len(other.told) == 1
    assert one.alerts.firing() == other.alerts.firing() == await list_alerts(local.world, with_resolved=False)


async def test_of_two_nodes_that_look_at_once_one_tells_and_what_both_counted_stands(local):
    one, other = Process(local, **SMALL), Process(local, **SMALL)
    one.count(15, status="failed")
    other.count(5, status="failed")
    await asyncio.gather(one.alerts.round(), other.alerts.round())
    assert await heard(local) == [FIRED]
    local.clock.advance(60)
    await asyncio.gather(one.alerts.round(is_last=True), other.alerts.round(is_last=True))
    book = await local.world.records.get_document("", "alert:desk")
    assert sum(total for _, total, _ in json.loads(book.body)["counts"]["ended"]) == 20


async def test_runs_of_all_nodes_are_judged_together(local):
    """One run in five fails on a node that has few of them: of all, too few do."""
    busy, small = Process(local, **SMALL), Process(local, **SMALL)
    for _ in range(10):
        local.clock.advance(60)
        busy.count(100)
        small.count(4)
        small.count(1, status="failed")
        await busy.alerts.round()
        await small.alerts.round()
    assert await heard(local) == []


async def test_a_round_that_the_records_refused_is_made_up_for(local):
    process = Process(local, **SMALL)
    process.count(20, status="failed")
    found = Alerts(
        process.metrics.objectives, process.metrics.objective_counts, process.metrics.totals, refuse,
        process.alerts._retire, process.told.append,
    )  # fmt: skip
    with pytest.raises(OSError, match="away"):
        await found.round()
    found._judge = process.alerts._judge
    await found.round()
    assert await heard(local) == [FIRED]


async def refuse(*_):
    raise OSError("away")


async def test_an_agent_that_is_judged_no_more_leaves_no_alert_behind(local):
    process = Process(local, **SMALL)
    await process.go_on(1, status="failed")
    process.metrics.objectives.clear()
    await process.alerts.retire()
    assert len(await list_alerts(local.world, with_resolved=False)) == 1, "another node may still judge it"
    local.clock.advance(hours=2)
    await process.alerts.retire()
    assert await list_alerts(local.world, with_resolved=True) == []
    assert await heard(local) == [FIRED, RESOLVED]
