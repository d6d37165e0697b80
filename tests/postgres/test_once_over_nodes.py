"""What every node of an installation does by the clock happens once, however many nodes do it at the same instant.

Worlds of a few gateways on one PostgreSQL, and a clock that the test holds; the agent is that of a worker which is only
in the roster.
"""

import asyncio

import pytest

from pilothouse.communication.bus.memory import MemoryBus
from pilothouse.compute.options import WorkerOptions
from pilothouse.compute.roster import SharedWorker
from pilothouse.compute.worker import NodeWorker
from pilothouse.domain.agent import Agent
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.schedule import Rule, Schedule
from pilothouse.engine import schedule as schedules
from pilothouse.engine.evidence import checkpoint_all, make_checkpoint, read_audit
from pilothouse.engine.roster import announce
from pilothouse.engine.world import Limits, World
from pilothouse.ports.records import RunFilter
from pilothouse.security.signing import SigningKey
from pilothouse.testing.clock import ManualClock, ManualEntropy

pytestmark = pytest.mark.slow
NOTE = Agent(name="note", mode="event", release="r1", free_input=True)


@pytest.fixture
async def worlds(nodes, tmp_path):
    """Three gateways that know the agent of a worker."""
    clock = ManualClock()
    found = []
    for number, records in enumerate(await nodes(3)):
        own = NodeWorker(f"node-{number}", WorkerOptions(str(tmp_path), {}), lambda: None)
        worker = SharedWorker(own, "gateway", lambda text: None)
        entropy = ManualEntropy(number)
        found.append(World(records, MemoryBus(), clock, entropy, worker, Limits()))
    clock.advance(hours=1)
    host = NodeWorker("host", WorkerOptions(str(tmp_path), {}), lambda: None)
    of_host = World(
        found[0].records, MemoryBus(), clock, ManualEntropy(9), SharedWorker(host, "worker", print), Limits()
    )
    await announce(of_host, "worker", (NOTE,))
    for world in found:
        await world.worker._beat(world)
    return found


async def test_each_firing_of_a_schedule_is_one_run_whichever_nodes_look_at_once(worlds):
    first, *_ = worlds
    hourly = Schedule(name="s", agent="note", rule=Rule(every_seconds=3600), overlap="allow")
    await schedules.make_schedule(first, "default", hourly, "ann")
    for hour in range(1, 11):
        first.clock.advance(hours=1)
        await asyncio.gather(*(schedules.fire_due(world) for world in (*worlds, *reversed(worlds))))
        found = await first.records.list_runs("default", RunFilter(), None, 100)
        assert len(found.items) == hour
    assert {run.status for run in found.items} == {"queued"}


async def test_a_log_to_which_all_nodes_write_gets_one_checkpoint_from_all_that_make_one(worlds):
    told = []

    class Witness:
        async def publish(self, tenant, note):
            told.append(note)

    key = SigningKey("pilothouse")
    for world in worlds:
        world.signer, world.witnesses = key, (Witness(),)
        await schedules.make_schedule(
            world,
            "default",
            Schedule(name=f"s-{id(world)}", agent="note", rule=Rule(every_seconds=60), overlap="allow"),
            "ann",
        )
    for _ in range(4):
        worlds[0].clock.advance(minutes=1)
        await asyncio.gather(*(schedules.fire_due(world) for world in worlds))
        told.clear()
        await asyncio.gather(*(checkpoint_all(world) for world in worlds))
        assert len(told) == 1
    segments = await read_audit(worlds[1], "default", 0, 1000)
    numbers = [number for segment in segments for number, _ in leaves_of(segment, 0)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert f"\n{len(numbers)}\n" in told[0]
    assert await make_checkpoint(worlds[2], "default") == told[0]
