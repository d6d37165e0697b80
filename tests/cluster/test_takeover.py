"""Workers, gateways and the database that are killed, stopped and cut off: nothing acknowledged is lost, no kept step
is done again, and who was only thought dead cannot write any more (I1, I2, I6, I8).
"""

import asyncio

import pytest

from pilothouse.testing.postgres import PostgresServer
from pilothouse.testing.proxy import Proxy
from tests.faults.checkers import check_one_end, check_resumed, check_run
from tests.faults.client import wait_until
from tests.observability.collector import Collector, attributes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LEASE = 10.0
TAKEN_OVER_WITHIN = LEASE + 5.0
ABOVE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""The span of whoever calls."""


async def started(*nodes):
    await asyncio.gather(*(node.start() for node in nodes))
    for node in nodes:
        await wait_until(lambda node=node: knows(node))


async def knows(node):
    answer = await node.caller.ask("GET", "/v1/agents")
    return "chain" in {one["name"] for one in answer.body["items"]}


async def read_all(caller, runs):
    for run in runs:
        await caller.wait_end(run, 60)
    return {run: await caller.read(run) for run in runs}


async def hold_in(gateway, receiver, node, run, step):
    """A run that stands in a step on this worker."""
    gate = receiver.hold(run, str(step), "before")
    await gateway.caller.start_known("chain", run, {"steps": 4})
    await gate.wait_reached()
    return gate


async def test_another_worker_takes_over_after_kill_9_and_repeats_no_kept_step(cluster, receiver):
    first, second, gateway = cluster("worker"), cluster("worker"), cluster("gateway")
    await started(first, gateway)
    runs = [f"run_{number}" for number in range(8)]
    gates = [await hold_in(gateway, receiver, first, run, 2) for run in runs]
    await second.start()
    killed_at = asyncio.get_running_loop().time()
    await first.kill()
    for gate in gates:
        gate.drop()
    readings = await read_all(gateway.caller, runs)
    # Within the lease and 5 s where nothing else runs: that is a row of the bench, here it is a bound.
    assert asyncio.get_running_loop().time() - killed_at < 60.0
    assert check_one_end(runs, readings) == []
    for run, reading in readings.items():
        assert reading.run["output"] == [0, 1, 2, 3]
        assert check_run(reading, receiver.of(run)) == []
        assert [effect.step for effect in receiver.of(run)] == ["0", "1", "2", "3"]


async def test_the_spans_of_a_run_that_a_second_worker_finishes_are_one_tree_below_its_caller(cluster, receiver):
    """A gateway takes it in, the first worker is killed in its third step. What it had not sent yet is lost with it, so
    that it is killed once its spans have arrived."""
    collector = Collector()
    try:
        traced = f'[traces]\nendpoint = "{collector.url}"\nshare = 0\n'
        first, second, gateway = (cluster(role, settings=traced) for role in ("worker", "worker", "gateway"))
        await started(first, gateway)
        gate = receiver.hold("run_a", "2", "before")
        said = {"prefer": "respond-async", "traceparent": ABOVE}
        answer = await gateway.caller.start("chain", {"steps": 4}, run_id="run_a", headers=said)
        assert answer.status == 202, answer
        await gate.wait_reached()

        async def has_arrived():
            return len(collector.spans) >= 2

        await wait_until(has_arrived)
        await second.start()
        await first.kill()
        gate.drop()
        assert (await gateway.caller.wait_end("run_a"))["output"] == [0, 1, 2, 3]
        for node in (second, gateway):
            assert await node.terminate() == 0  # what waits is sent
    finally:
        collector.close()
    [root] = [span for span in collector.spans if span.name == "invoke_agent chain"]
    steps = [span for span in collector.spans if span is not root]
    assert {span.trace_id.hex() for span in collector.spans} == {ABOVE[3:35]}
    assert root.parent_span_id.hex() == ABOVE[36:52]
    assert {span.parent_span_id for span in steps} == {root.span_id}
    assert len({span.span_id for span in collector.spans}) == len(collector.spans) == 5
    assert sorted(attributes(span)["pilothouse.attempt"] for span in steps) == [1, 1, 2, 2]


async def test_a_worker_that_was_stopped_past_its_lease_and_goes_on_writes_nothing(cluster, receiver):
    first, second, gateway = cluster("worker"), cluster("worker"), cluster("gateway")
    await started(first, gateway)
    runs = [f"run_{number}" for number in range(5)]
    gates = [await hold_in(gateway, receiver, first, run, 1) for run in runs]
    await second.start()
    hosts = first.hosts()
    for process in (first.process, *hosts):
        process.suspend()
    again = [receiver.hold(run, "1", "after") for run in runs]
    for gate in again:
        await gate.wait_reached(40)
    for process in (*hosts, first.process):
        process.resume()
    for gate in gates:
        gate.open()  # what the old attempts did happens now, and they tell it
    await asyncio.sleep(1.0)
    for gate in again:
        gate.open()
    readings = await read_all(gateway.caller, runs)
    for run, reading in readings.items():
        assert reading.run["output"] == [0, 1, 2, 3]
        assert reading.run["attempt"] == 2
        assert check_run(reading, receiver.of(run)) == []
        steps = [step["key"] for step in reading.steps if step["finished_at"]]
        assert len(steps) == len(set(steps)) == 4
    assert (await first.caller.start("echo", "still here", headers={})).body["output"] == "still here"


@pytest.mark.parametrize("bus", ["postgres", "nats"], indirect=True)
async def test_streams_of_a_gateway_that_is_killed_go_on_at_another_one_without_a_gap(cluster, receiver, bus):
    """One run stands in a step meanwhile, the other one talks on."""
    settings, _ = bus
    worker, first, second = (cluster(role, environment=settings) for role in ("worker", "gateway", "gateway"))
    await started(worker, first, second)
    gate = await hold_in(first, receiver, worker, "run_a", 2)
    await first.caller.start_known("talk", "run_talks", {"deltas": 200, "every": 0.02})
    before = {"run_a": [], "run_talks": []}
    streams = [asyncio.create_task(first.caller.gather(run, seen)) for run, seen in before.items()]
    for seen in before.values():
        await wait_until(lambda seen=seen: long_enough(seen))
    await first.kill()
    await asyncio.gather(*streams)
    after = {run: [seen[-1]] for run, seen in before.items()}  # it says where to go on
    streams = [asyncio.create_task(second.caller.gather(run, seen)) for run, seen in after.items()]

    async def goes_on():
        return streams[1].done() or await long_enough(after["run_talks"])

    await wait_until(goes_on)
    gate.open()
    await asyncio.gather(*streams)
    for run, seen in before.items():
        reading = await second.caller.read(run)
        assert check_resumed([seen, after[run][1:]], reading.events) == []
        assert check_one_end([run], {run: reading}) == []
        assert check_run(reading, receiver.of(run)) == []


async def has_ended(node, run):
    """Whatever the node answers meanwhile."""
    while True:
        answer = await node.caller.ask("GET", f"/v1/runs/{run}?wait=2")
        if answer.status == 200 and answer.body["status"] in ("succeeded", "failed", "cancelled"):
            return
        await asyncio.sleep(0.1)


async def long_enough(seen):
    return len(seen) >= 5


async def test_a_database_that_is_stopped_at_once_every_few_seconds_under_load_loses_and_repeats_nothing(
    serve, receiver
):
    server = PostgresServer()
    server.start()
    try:
        nodes = [
            serve(environment={"PILOTHOUSE_RECORDS_URL": server.url(), "PILOTHOUSE_SERVER_ROLE": role})
            for role in ("worker", "worker", "gateway")
        ]
        await started(*nodes)
        gateway = nodes[-1]
        runs = []
        is_over = False

        async def load(who):
            number = 0
            while not is_over:
                run = f"run_{who}_{number}"
                answer = await gateway.caller.start("chain", {"steps": 5}, run_id=run)
                if answer.status == 202 or (answer.status == 409 and run not in runs):
                    runs.append(run)  # 409: its own earlier try had been taken in, and nobody knew
                    number += 1
                    await has_ended(gateway, run)
                else:
                    assert answer.status == 503, answer
                    assert "retry-after" in answer.headers
                    await asyncio.sleep(0.2)

        loads = [asyncio.create_task(load(who)) for who in range(8)]
        for _ in range(3):
            await asyncio.sleep(4.0)
            await asyncio.to_thread(server.stop, "immediate")
            await asyncio.sleep(0.5)
            await asyncio.to_thread(server.start)
        known = len(runs)
        while len(runs) <= max(known, 20):
            await asyncio.sleep(0.1)
        is_over = True
        await asyncio.gather(*loads)
        readings = await read_all(gateway.caller, runs)
        assert check_one_end(runs, readings) == []
        for run, reading in readings.items():
            assert check_run(reading, receiver.of(run)) == []
            assert reading.run["output"] == [0, 1, 2, 3, 4]
        for node in nodes:
            await node.terminate()
    finally:
        server.remove()


async def test_a_worker_that_the_network_cuts_off_is_replaced_and_fenced(cluster, receiver, postgres_server):
    proxy = Proxy("127.0.0.1", postgres_server.port)
    await proxy.start()
    try:
        first, second, gateway = cluster("worker", port=proxy.port), cluster("worker"), cluster("gateway")
        await started(first, gateway)
        gate = await hold_in(gateway, receiver, first, "run_a", 1)
        await second.start()
        proxy.swallow()
        again = receiver.hold("run_a", "1", "after")
        await again.wait_reached(60)
        gate.open()
        again.open()
        [reading] = (await read_all(gateway.caller, ["run_a"])).values()
        assert reading.run["output"] == [0, 1, 2, 3]
        assert check_run(reading, receiver.of("run_a")) == []
        proxy.heal()
        proxy.cut()
        await wait_until(lambda: serves(first), 60)
        later = await gateway.caller.read("run_a")
        assert (later.run, later.events) == (reading.run, reading.events)
    finally:
        await proxy.stop()


async def serves(node):
    answer = await node.caller.start("echo", "back", headers={})
    return answer.status == 200
