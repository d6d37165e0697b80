"""Stateless runs that a gateway hands to a worker over the bus: answered once and begun at most once, whatever the bus
does to the messages, and nothing of them is in the records."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from pilothouse.communication.bus.carried import CarriedBus
from pilothouse.compute.clock import SystemClock, SystemEntropy
from pilothouse.compute.options import AgentOptions, WorkerOptions
from pilothouse.compute.roster import SharedWorker
from pilothouse.compute.worker import NodeWorker
from pilothouse.domain.event import events_of
from pilothouse.engine import direct, run, taking
from pilothouse.engine.cancel import cancel_run
from pilothouse.engine.direct import Ask, More, encode
from pilothouse.engine.run import place_run, start_run, wait_started
from pilothouse.engine.taking import Takings
from pilothouse.engine.world import World
from pilothouse.errors import Draining, InvalidInput, Overloaded, WorkerLost
from pilothouse.ports.records import RunFilter
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.lossy import Wire
from tests.engine import direct_agents as agents
from tests.engine.agents import command

NAMES = ("echo", "talk", "hold")
BAD = {"drop": 0.3, "repeat": 0.3, "delay": 0.5}


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Messages are said again soon, and nobody is given up, however slow the machine is."""
    for module in (direct, taking):
        monkeypatch.setattr(module, "GOOD_FOR", 120.0)
        monkeypatch.setattr(module, "SILENT_FOR", 120.0)
    monkeypatch.setattr(direct, "AGAIN_FIRST", 0.02)
    monkeypatch.setattr(direct, "AGAIN_AT_MOST", 0.1)
    for kept in (agents.begun, agents.ended, agents.gates):
        kept.clear()


class Installation:
    """One gateway and some workers, on the same records, and a wire between them."""

    def __init__(self, wire, slots):
        self.wire, self.slots = wire, slots
        self.records = SqliteRecords(":memory:")
        self.worlds, self.takings = [], []

    async def add(self, name, role):
        served = (
            {}
            if role == "gateway"
            else {one: AgentOptions(f"{agents.__name__}:{one}", is_inline=True) for one in NAMES}
        )
        own = NodeWorker(name, WorkerOptions("/nowhere", served, slots=self.slots), lambda: None)
        await own.start()
        own.backlog.clear()
        bus = CarriedBus(self.wire.end())
        await bus.start()
        shared = SharedWorker(own, role, lambda text: None)
        world = World(self.records, bus, SystemClock(), SystemEntropy(), shared)
        taker = Takings(world, place_run)
        taker.start()
        self.worlds.append(world)
        self.takings.append(taker)
        return world

    async def meet(self):
        for world in (*self.worlds, *self.worlds):
            await world.worker._beat(world)

    async def kept(self):
        return (await self.records.list_runs("default", RunFilter(), None, 100)).items

    async def stop(self):
        for world, taker in zip(self.worlds, self.takings, strict=True):
            for gate in agents.gates.values():
                gate.set()
            for live in list(world.attempts.values()):
                live.cancel("the test is over")
            while world.attempts or world.chores:
                await asyncio.sleep(0.01)
            taker.stop()
            await world.worker.own.stop(1.0)
            await world.bus.stop()
        await self.records.close()


@pytest.fixture
async def installed():
    made = []

    @asynccontextmanager
    async def make(workers=1, slots=8, **harm):
        found = Installation(Wire(7, **harm), slots)
        made.append(found)
        await found.records.open()
        await found.add("gateway", "gateway")
        for number in range(workers):
            await found.add(f"worker-{number}", "worker")
        await found.meet()
        try:
            yield found, *found.worlds
        finally:
            await found.stop()

    return make


async def ask(world, agent, input, **more):
    started = await start_run(world, command(agent, input, **more))
    return await wait_started(world, started, None)


async def until(holds):
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_worker_answers_and_nothing_is_kept(installed):
    async with installed() as (house, gateway, worker):
        ended = await ask(gateway, "echo", b'"hello"', metadata=b'{"a":1}', subject="ann")
        assert (ended.status, ended.output, ended.metadata, ended.subject) == (
            "succeeded",
            b'"hello"',
            b'{"a":1}',
            "ann",
        )
        assert agents.begun == [ended.id]
        assert await house.kept() == []
        assert not gateway.attempts
        assert not worker.attempts


async def test_an_input_that_does_not_fit_is_told_as_at_home(installed):
    async with installed() as (_, gateway, worker):
        told = []
        for world in (gateway, worker):
            with pytest.raises(InvalidInput) as error:
                await ask(world, "echo", b"5")
            told.append(error.value.faults)
        assert told[0] == told[1] != []


async def test_an_answer_is_as_long_as_it_is_and_a_long_request_goes_to_the_records(installed):
    async with installed() as (house, gateway, _):
        assert len((await ask(gateway, "talk", b"200")).output) > 100_000
        assert await house.kept() == []
        started = await start_run(gateway, command("echo", b'"%b"' % (b"x" * 10_000), wants="end"))
        assert started.unkept is None
        assert [one.status for one in await house.kept()] == ["queued"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_on_a_wire_that_loses_repeats_delays_and_reorders_each_run_begins_once_and_is_answered(installed, seed):
    async with installed(workers=2, slots=64, **BAD) as (house, gateway, *_):
        house.wire._random.seed(seed)
        ended = await asyncio.gather(
            *(ask(gateway, "echo", b'"%d"' % number) for number in range(12)),
            *(ask(gateway, "talk", b"%d" % (number * 8), wants="stream") for number in range(8)),
        )
        assert [one.status for one in ended] == ["succeeded"] * 20
        assert [one.output for one in ended[:12]] == [b'"%d"' % number for number in range(12)]
        assert sorted(agents.begun) == sorted(one.id for one in ended)
        assert await house.kept() == []


@pytest.mark.slow
async def test_a_stream_has_all_events_in_order_on_a_bad_wire(installed):
    async with installed(**BAD) as (_, gateway, _):
        started = await start_run(gateway, command("talk", b"60", wants="stream"))
        await wait_started(gateway, started, None)
        seen = [event for segment in started.unkept.segments for event in events_of(segment)]
        assert [number for number, *_ in seen] == list(range(1, len(seen) + 1))
        kinds = [kind for _, kind, _ in seen]
        assert kinds[0] == "run.queued"
        assert kinds.count("output.delta") == 60
        assert kinds[-1] == "run.succeeded"


async def test_a_full_worker_leaves_the_run_to_the_next_and_when_all_are_full_it_waits_in_line(installed, monkeypatch):
    async with installed(workers=2, slots=1) as (_, gateway, *workers):
        monkeypatch.setattr(run, "WAIT_FOR_PLACE", 120.0)
        first = asyncio.create_task(ask(gateway, "hold", b'"a"'))
        await until(lambda: len(agents.begun) == 1)
        second = asyncio.create_task(ask(gateway, "hold", b'"b"'))
        await until(lambda: len(agents.begun) == 2)
        assert [len(world.attempts) for world in workers] == [1, 1]
        third = asyncio.create_task(ask(gateway, "echo", b'"c"'))
        await until(lambda: any(world.worker.own._lines.get("echo") for world in workers))
        agents.gates["a"].set()
        agents.gates["b"].set()
        assert [(await one).status for one in (first, second, third)] == ["succeeded"] * 3
        monkeypatch.setattr(run, "WAIT_FOR_PLACE", 0.05)
        agents.gates.clear()
        held = [asyncio.create_task(ask(gateway, "hold", b'"d"')) for _ in range(2)]
        await until(lambda: len(agents.begun) == 5)
        for wants in ("end", "stream"):
            with pytest.raises(Overloaded):
                await ask(gateway, "echo", b'"e"', wants=wants)
        agents.gates["d"].set()
        await asyncio.gather(*held)


async def test_a_worker_that_drains_leaves_the_run_to_the_next(installed):
    async with installed(workers=2) as (_, gateway, first, second):
        first.is_draining = True
        for _ in range(4):
            assert (await ask(gateway, "echo", b'"x"')).status == "succeeded"
        second.is_draining = True
        with pytest.raises(Draining):
            await ask(gateway, "echo", b'"x"')
        first.is_draining = second.is_draining = False


@pytest.mark.slow
@pytest.mark.parametrize("harm", [{}, BAD], ids=["good wire", "bad wire"])
async def test_a_cancel_reaches_the_worker(installed, harm):
    async with installed(**harm) as (_, gateway, worker):
        asked = asyncio.create_task(ask(gateway, "hold", b'"x"'))
        await until(lambda: agents.begun)
        await cancel_run(gateway, "default", agents.begun[0])
        assert (await asked).status == "cancelled"
        assert agents.ended == agents.begun
        await until(lambda: not worker.attempts)


async def test_a_caller_who_leaves_while_no_worker_has_a_place_takes_the_run_back(installed):
    async with installed(slots=1) as (_, gateway, worker):
        held = asyncio.create_task(ask(gateway, "hold", b'"x"'))
        await until(lambda: agents.begun)
        asked = asyncio.create_task(ask(gateway, "echo", b'"y"', wants="stream"))
        await until(lambda: worker.worker.own._lines.get("echo"))
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        agents.gates["x"].set()
        await held
        await until(lambda: not worker.attempts and not gateway.attempts)
        assert (await ask(gateway, "echo", b'"z"')).output == b'"z"'


async def test_a_worker_that_falls_silent_is_told_of_and_no_other_is_asked(installed, monkeypatch):
    async with installed(workers=2) as (house, gateway, *_):
        asked = asyncio.create_task(ask(gateway, "hold", b'"x"'))
        await until(lambda: agents.begun)
        monkeypatch.setattr(direct, "SILENT_FOR", 0.2)
        monkeypatch.setattr(direct, "GOOD_FOR", 0.2)
        house.wire._drop = 1.0
        with pytest.raises(WorkerLost):
            await asked
        with pytest.raises(WorkerLost):
            await ask(gateway, "echo", b'"y"', wants="stream")
        assert len(agents.begun) == 1
        assert not gateway.attempts
        house.wire._drop = 0.0


async def test_a_worker_that_does_not_answer_is_not_asked_again_before_its_next_heartbeat(installed, monkeypatch):
    async with installed(workers=2) as (house, gateway, *_):
        monkeypatch.setattr(direct, "SUSPECT_AFTER", 0.05)
        for taker in house.takings[1:]:
            taker.stop()
        asked = [asyncio.create_task(ask(gateway, "echo", b'"x"')) for _ in range(2)]
        await until(lambda: len(gateway.worker._suspects) == 2)
        assert len(gateway.worker.takers("echo")) == 2, "who else should be asked?"
        for taker in house.takings[1:]:
            taker.start()
        assert [(await one).status for one in asked] == ["succeeded"] * 2
        await house.meet()
        gateway.worker.suspect("worker-0")
        assert [gateway.worker.takers("echo") for _ in range(2)] == [["worker-1"]] * 2
        await house.meet()
        assert len(gateway.worker.takers("echo")) == 2


async def test_a_caller_who_has_gone_is_waited_for_nowhere(installed):
    async with installed() as (_, gateway, worker):
        asked = asyncio.create_task(ask(gateway, "hold", b'"x"'))
        await until(lambda: agents.begun)
        asked.cancel()
        await until(lambda: not gateway.attempts and not worker.attempts)
        assert agents.ended == agents.begun


async def test_a_run_whose_asker_falls_silent_is_cancelled_and_forgotten(installed, monkeypatch):
    async with installed() as (house, gateway, worker):
        monkeypatch.setattr(taking, "LOOK_EVERY", 0.02)
        asked = asyncio.create_task(ask(gateway, "hold", b'"x"'))
        await until(lambda: agents.begun)
        house.wire._drop = 1.0
        monkeypatch.setattr(taking, "SILENT_FOR", 0.2)
        await until(lambda: not worker.attempts)
        assert agents.ended == agents.begun
        house.wire._drop = 0.0
        assert (await asked).status == "cancelled"


def request(world, **more):
    says = {
        "reply": "gateway/1", "run": "run_a", "tenant": "default", "agent": "echo", "input": b'"x"', "metadata": b"{}",
        "subject": None, "deadline_at": None, "traceparent": None, "started_by": None, "is_stream": False,
        "waits": False, "until": world.clock.now() + 60_000_000,
    }  # fmt: skip
    return Ask(**{**says, **more})


async def test_a_request_that_is_late_taken_back_repeated_or_unreadable_begins_nothing(installed):
    async with installed() as (_, gateway, worker):
        heard = []
        leave = gateway.bus.receive("gateway/1", heard.append)
        gateway.bus.post("worker-0", b"\xff")
        gateway.bus.post("worker-0", encode(request(worker, until=worker.clock.now() - 1)))
        gateway.bus.post("worker-0", encode(More("gateway/2", 0, True, "gone")))
        gateway.bus.post("worker-0", encode(request(worker, reply="gateway/2", run="run_b")))
        for _ in range(3):
            gateway.bus.post("worker-0", encode(request(worker)))
            gateway.bus.post("worker-0", encode(request(worker, is_stream=True)))
        await until(lambda: heard and not worker.attempts)
        gateway.bus.post("worker-0", encode(request(worker)))
        await until(lambda: len(heard) >= 2)
        assert agents.begun == ["run_a"]
        leave()
