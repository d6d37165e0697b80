"""Stateless runs of a gateway are done by a worker at once, over the bus: nothing of them is in the database."""

import asyncio

import pytest

from pilothouse.testing.brokers import NatsServer
from tests.cluster.test_roles import knows
from tests.faults.client import frames_of, take_all, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(params=["postgres", "nats"])
def bus(request):
    """The settings of it."""
    if request.param == "postgres":
        yield {}
        return
    server = NatsServer()
    server.start()
    try:
        yield {"PILOTHOUSE_BUS_URL": server.url}
    finally:
        server.remove()


async def told(caller, plan, seen):
    """The events of a stateless run, as they come."""
    body, headers = {"input": plan}, {"accept": "text/event-stream"}
    url = caller._url() + "/v1/agents/talk/runs"
    async with caller._http.stream("POST", url, json=body, headers=headers, timeout=None) as answer:
        assert answer.status_code == 200, await answer.aread()
        await take_all(frames_of(answer), seen)


async def test_a_worker_answers_for_a_gateway_and_when_it_is_killed_its_caller_is_told(cluster, bus):
    agents = {"talk": 'mode = "stateless"'}
    worker = cluster("worker", environment=bus, agents=agents)
    gateway = cluster("gateway", environment=bus, agents=agents)
    await asyncio.gather(worker.start(), gateway.start())
    await wait_until(lambda: knows(gateway))

    async def hello():  # a broker that the nodes have not reached yet loses what is said
        answer = await gateway.caller.start("echo", "hello", headers={})
        return answer.status == 200 and answer.body["output"] == "hello"

    await wait_until(hello)
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
    await worker.kill()
    await stream
    assert (seen[-1].kind, seen[-1].body["error"]["code"]) == ("run.failed", "worker_lost")
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert await gateway.caller.all_runs() == []
