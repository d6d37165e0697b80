"""Gateways that host nothing and workers that nobody asks: any gateway answers for any run, wherever it is."""

import asyncio

import pytest

from tests.faults.checkers import check_one_end, check_run
from tests.faults.client import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
async def nodes(cluster):
    """Two gateways and two workers that serve."""
    found = [cluster("worker"), cluster("worker"), cluster("gateway"), cluster("gateway")]
    await asyncio.gather(*(node.start() for node in found))
    await wait_until(lambda: knows(found[2]))
    await wait_until(lambda: knows(found[3]))
    return found


async def knows(gateway):
    answer = await gateway.caller.ask("GET", "/v1/agents")
    return {"chain", "echo", "chat"} <= {one["name"] for one in answer.body["items"]}


async def test_a_gateway_takes_in_what_only_others_host_and_waits_for_its_end(nodes):
    *_, first, second = nodes
    for gateway in (first, second):
        answer = await gateway.caller.start("echo", "hello", headers={})
        assert answer.status == 200, answer
        assert answer.body["output"] == "hello"
        turn = await gateway.caller.start("chat", "one", headers={}, session="ada")
        assert turn.body["output"]["turn"] == (0 if gateway is first else 1)
    assert not first.hosts()


async def test_a_gateway_refuses_an_input_that_does_not_fit_in_the_words_of_a_worker(nodes):
    worker, _, first, _ = nodes
    for agent, bad in (("chain", "no plan"), ("chat", {"text": "hello"})):
        answers = [await node.caller.start(agent, bad, headers={}) for node in (worker, first)]
        assert [answer.status for answer in answers] == [422, 422]
        assert answers[0].body["faults"] == answers[1].body["faults"]
        assert answers[0].body["code"] == answers[1].body["code"] == "invalid_input"
    listed = await first.caller.ask("GET", "/v1/runs")
    assert listed.body["items"] == []


async def test_what_one_gateway_took_in_another_shows_streams_signals_and_cancels(nodes, receiver):
    *_, first, second = nodes
    run = await first.caller.start_known("wait", "run_signalled", "paid")
    seen = []
    stream = asyncio.create_task(second.caller.gather(run, seen))
    await second.caller.wait_run(run, lambda it: it["status"] in ("running", "waiting"))
    answer = await second.caller.ask("POST", f"/v1/runs/{run}/signals/paid", {"payload": {"cents": 5}})
    assert answer.status < 300, answer
    assert (await first.caller.wait_end(run))["output"] == {"cents": 5}
    await stream
    reading = await first.caller.read(run)
    assert [event.seq for event in seen] == [event.seq for event in reading.events]
    assert check_run(reading, []) == []

    gate = receiver.hold("run_cancelled", "1", "before")
    await first.caller.start_known("chain", "run_cancelled", {"steps": 3})
    await gate.wait_reached()
    answer = await second.caller.ask("POST", "/v1/runs/run_cancelled/cancel")
    assert answer.status < 300, answer
    gate.open()
    assert (await first.caller.wait_end("run_cancelled"))["status"] == "cancelled"


async def test_a_review_is_decided_at_any_gateway(nodes):
    *_, first, second = nodes
    await first.caller.start_known("ask", "run_asked", "May I?")
    await second.caller.decide("run_asked", "approve")
    assert (await first.caller.wait_end("run_asked"))["output"] == "approve"


async def test_two_gateways_that_are_given_the_same_key_start_one_run(nodes):
    *_, first, second = nodes
    headers = {"prefer": "respond-async", "idempotency-key": "order-7"}
    both = await asyncio.gather(
        *(gateway.caller.start("echo", "once", headers=headers) for gateway in (first, second) for _ in range(5))
    )
    assert len({answer.body["id"] for answer in both}) == 1


async def test_work_is_shared_and_every_acknowledged_run_ends_once(nodes, receiver):
    *_, first, second = nodes
    runs = [f"run_{number}" for number in range(40)]
    for number, run in enumerate(runs):
        await (first, second)[number % 2].caller.start_known("chain", run, {"steps": 3})
    readings = {}
    for run in runs:
        await second.caller.wait_end(run)
        readings[run] = await first.caller.read(run)
    assert check_one_end(runs, readings) == []
    for run, reading in readings.items():
        assert check_run(reading, receiver.of(run)) == []
        assert len(receiver.of(run)) == 3
    assert len({effect.host for run in runs for effect in receiver.of(run)}) > 1


async def test_a_worker_that_is_told_to_end_gives_back_what_it_cannot_finish(nodes, receiver):
    worker, _, first, _ = nodes
    gates = [receiver.hold(f"run_{number}", "1", "before") for number in range(6)]
    for number in range(6):
        await first.caller.start_known("chain", f"run_{number}", {"steps": 3})
    for gate in gates:
        await gate.wait_reached()
    ending = asyncio.create_task(worker.terminate(60))
    await asyncio.sleep(0)
    receiver.open_all()
    for gate in gates:
        gate.open()
    assert await ending == 0
    for number in range(6):
        assert (await first.caller.wait_end(f"run_{number}"))["output"] == [0, 1, 2]
