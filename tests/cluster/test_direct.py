"""Stateless runs of a gateway are done by a worker at once, over the bus: nothing of them is in the database."""

import asyncio

import pytest

from tests.cluster.test_roles import knows
from tests.faults.checkers import check_bounded
from tests.faults.client import frames_of, take_all, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def told(caller, plan, seen):
    """The events of a stateless run, as they come."""
    body, headers = {"input": plan}, {"accept": "text/event-stream"}
    url = caller._url() + "/v1/agents/talk/runs"
    async with caller._http.stream("POST", url, json=body, headers=headers, timeout=None) as answer:
        assert answer.status_code == 200, await answer.aread()
        await take_all(frames_of(answer), seen)


async def talks_to_a_worker(gateway):
    """Whether a run gets through: a broker that the nodes have not reached yet loses what is said."""
    answer = await gateway.caller.start("echo", "hello", headers={})
    assert answer.status in (200, 503), answer
    return answer.status == 200


async def shows(receiver, step, count):
    return sum(effect.step == step for effect in receiver.effects) == count


@pytest.mark.parametrize("bus", ["postgres", "nats"], indirect=True)
async def test_a_worker_answers_for_a_gateway_and_when_it_is_killed_its_callers_are_told(cluster, receiver, bus):
    bus, _ = bus
    agents = {"talk": 'mode = "stateless"'}
    worker = cluster("worker", environment=bus, agents=agents)
    gateway = cluster("gateway", environment=bus, agents=agents)
    await asyncio.gather(worker.start(), gateway.start())
    await wait_until(lambda: knows(gateway))
    await wait_until(lambda: talks_to_a_worker(gateway))
    long = "x" * 3000
    answers = await asyncio.gather(
        *(gateway.caller.start("echo", f"{number}{long}", headers={}) for number in range(20))
    )
    assert [answer.body["output"] for answer in answers] == [f"{number}{long}" for number in range(20)]
    refused = await gateway.caller.start("echo", 5, headers={})
    assert (refused.status, refused.body["code"]) == (422, "invalid_input")
    seen = []
    await told(gateway.caller, {"deltas": 3}, seen)
    assert [event.kind for event in seen][-4:] == ["output.delta"] * 3 + ["run.succeeded"]
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert await gateway.caller.all_runs() == []

    seen = []
    stream = asyncio.create_task(told(gateway.caller, {"deltas": 10_000, "every": 0.05}, seen))

    async def talks():
        return any(event.kind == "output.delta" for event in seen)

    await wait_until(talks)
    waiting = asyncio.create_task(gateway.caller.start("heed", 600.0, headers={}))
    await wait_until(lambda: shows(receiver, "began", 1))
    await worker.kill()
    lost = await waiting
    assert (lost.status, lost.body["code"]) == (503, "worker_lost"), lost
    assert check_bounded([lost], (), 0) == []
    await stream
    assert (seen[-1].kind, seen[-1].body["error"]["code"]) == ("run.failed", "worker_lost")
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert await gateway.caller.all_runs() == []


@pytest.mark.parametrize("bus", ["valkey", "nats"], indirect=True)
async def test_a_caller_hears_of_errors_is_missed_when_gone_and_is_told_when_the_broker_is(cluster, receiver, bus):
    settings, broker = bus
    agents = {"chain": 'mode = "stateless"'}
    worker = cluster("worker", environment=settings, agents=agents)
    gateway = cluster("gateway", environment=settings, agents=agents)
    caller = gateway.caller
    await asyncio.gather(worker.start(), gateway.start())
    await wait_until(lambda: knows(gateway))
    await wait_until(lambda: talks_to_a_worker(gateway))
    failed = await caller.start("chain", {"steps": "no number"}, headers={})
    assert (failed.body["status"], failed.body["error"]["code"]) == ("failed", "agent_failed"), failed

    leaving = asyncio.create_task(caller.start("heed", 600.0, headers={"x-cancel-on-disconnect": "true"}))
    await wait_until(lambda: shows(receiver, "began", 1))
    leaving.cancel()  # closes the connection
    await asyncio.gather(leaving, return_exceptions=True)
    await wait_until(lambda: shows(receiver, "cancelled", 1))

    staying = asyncio.create_task(caller.start("heed", 600.0, headers={}))
    await wait_until(lambda: shows(receiver, "began", 2))
    broker.stop()
    lost, unheard = await asyncio.gather(staying, caller.start("echo", "hello", headers={}))
    for answer in (lost, unheard):
        assert (answer.status, answer.body["code"]) == (503, "worker_lost"), answer
    assert check_bounded([lost, unheard], (), 0) == []
    await wait_until(lambda: shows(receiver, "cancelled", 2))  # nobody waits for it: the worker does not go on

    broker.start()  # from this thread: the kernel ends the server with the thread that has started it
    await wait_until(lambda: talks_to_a_worker(gateway))
    assert await shows(receiver, "began", 2)  # nobody has done it again
    assert await caller.all_runs() == []
