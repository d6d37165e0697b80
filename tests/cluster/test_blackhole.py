"""A network between nodes and PostgreSQL that swallows everything for longer than anybody's patience, keeps the
connections, and then delivers what was on its way (I1, I2, I4, I6, I7, I8).

All times are those of the product, and the hole lasts for sixty seconds at least, most of which is waiting.
"""

import asyncio

import pytest

from pilothouse.testing.proxy import Proxy
from tests.cluster.test_takeover import read_all, started
from tests.cluster.test_watch import follow
from tests.faults.checkers import (
    check_bounded,
    check_intake,
    check_one_end,
    check_resumed,
    check_run,
    check_stays_ended,
    check_timers,
)
from tests.faults.client import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RUNS = [f"run_{number}" for number in range(3)]
NAP = 2.0
SPAN = 60.0
ANSWERED_WITHIN = 60.0
"""Seconds; only who waits for ever takes that long."""


class Hole:
    """Two nodes behind proxies, and beside them two that nothing happens to."""

    def __init__(self, cluster, receiver, ways):
        self.receiver, self.ways = receiver, ways
        self.first = cluster("worker", port=ways[0].port)
        self.cut_off = cluster("gateway", port=ways[1].port)
        self.second = cluster("worker")
        self.gateway = cluster("gateway")
        self.seen, self.sent = [], []
        self.stream = None

    async def fall_in(self):
        """Runs stand in their second step on the first worker; it hears of their ends once nothing gets through."""
        await started(self.first, self.gateway, self.cut_off)
        # After their effects: an attempt that is superseded meanwhile must not have one later than its successor.
        gates = [self.receiver.hold(run, "1", "after") for run in RUNS]
        for run, gate in zip(RUNS, gates, strict=True):
            await self.gateway.caller.start_known("chain", run, {"steps": 4})
            await gate.wait_reached()
        await self.cut_off.caller.start_known("rest", "run_nap", NAP)
        self.stream = asyncio.create_task(follow(self.cut_off, RUNS[0], self.seen))
        await wait_until(lambda: has_some(self.seen))
        self.further = [self.receiver.hold(run, "2", "after") for run in RUNS]
        await self.second.start()
        for way in self.ways:
            way.delay()
        self.began = asyncio.get_running_loop().time()
        for gate in gates:
            gate.open()

    def left_of(self, span):
        return max(0.0, span - (asyncio.get_running_loop().time() - self.began))

    async def is_taken_over(self):
        for gate in self.further:
            await gate.wait_reached()
        assert not {gate.host for gate in self.further} & {host.pid for host in self.first.hosts()}
        for gate in self.further:
            gate.open()

    async def ask_the_gateway(self):
        """Whatever it is asked, it says soon that it cannot."""
        for node in (self.first, self.cut_off):
            await wait_until(lambda node=node: is_unready(node))
        asked = [self.start(number) for number in range(4)]
        asked += [self.cut_off.caller.ask("GET", f"/v1/runs/{run}") for run in RUNS for _ in range(10)]
        async with asyncio.timeout(ANSWERED_WITHIN):
            found = await asyncio.gather(*asked)
        assert {answer.status for answer in found} == {503}, found
        assert check_bounded(found, (), 0) == []

    async def start(self, number):
        """Asks the gateway to take in a run, under a key that stays the same."""
        key, headers = f"order-{number}", {"prefer": "respond-async", "idempotency-key": f"order-{number}"}
        answer = await self.cut_off.caller.start("chain", {"steps": 1}, headers=headers)
        self.sent.append((key, b"", answer))
        return answer

    async def heal(self):
        """All has ended on the second worker; what was on its way arrives, and changes nothing."""
        readings = await read_all(self.gateway.caller, RUNS)
        for way in self.ways:
            way.heal()
        assert all(way.late for way in self.ways)
        for node in (self.first, self.cut_off):
            await wait_until(lambda node=node: is_ready(node))
        # What the first worker had waiting is settled before that.
        answer = await self.first.caller.start_at_last("chain", {"steps": 1})
        runs = [answer.body["id"], "run_nap"]
        for number in range(4):
            await wait_until(lambda number=number: self.is_taken_in(number))
            runs.append(self.sent[-1][2].body["id"])
        assert check_intake(self.sent) == []
        readings |= await read_all(self.cut_off.caller, runs)
        assert check_one_end([*RUNS, *runs], readings) == []
        for run, reading in readings.items():
            assert check_run(reading, self.receiver.of(run)) == []
            assert reading.run["status"] == "succeeded"
        for run in RUNS:
            assert readings[run].run["attempt"] > 1
            assert check_stays_ended(readings[run], await self.cut_off.caller.read(run)) == []
        assert check_timers(readings["run_nap"], NAP, within=90.0) == []
        await self.stream
        assert check_resumed([self.seen], readings[RUNS[0]].events) == []

    async def is_taken_in(self, number):
        answer = await self.start(number)
        assert answer.status in (202, 503), answer
        return answer.status == 202


@pytest.fixture
async def hole(cluster, receiver, postgres_server):
    ways = [Proxy("127.0.0.1", postgres_server.port) for _ in range(2)]
    for way in ways:
        await way.start()
    made = Hole(cluster, receiver, ways)
    yield made
    if made.stream is not None:
        made.stream.cancel()
        await asyncio.gather(made.stream, return_exceptions=True)
    for way in ways:
        await way.stop()


async def test_nodes_in_a_hole_for_a_minute_say_so_lose_their_runs_and_cannot_write_when_it_is_over(hole):
    await hole.fall_in()
    await asyncio.gather(hole.ask_the_gateway(), hole.is_taken_over())
    await asyncio.sleep(hole.left_of(SPAN))  # the span is the case: longer than what any connection is tried for
    await hole.heal()


async def has_some(seen):
    return bool(seen)


async def is_ready(node):
    return (await node.caller.ask("GET", "/readyz")).status == 200


async def is_unready(node):
    return (await node.caller.ask("GET", "/readyz")).status == 503
