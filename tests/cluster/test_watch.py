"""Who watches at one node hears of runs at another over a real broker, misses nothing of a run while the broker is
away, and hears again once it is back, on the same connection.
"""

import asyncio
import contextlib
import json

import httpx2
import pytest

from pilothouse.testing.brokers import NatsServer, ValkeyServer
from tests.cluster.test_roles import knows
from tests.faults.client import frames_of, page_events, take_all, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(params=["postgres", "valkey", "nats"])
def broker(request, postgres_server):
    """(settings of the bus, its server). On PostgreSQL the records are away with it."""
    if request.param == "postgres":
        yield {}, postgres_server
        return
    server = ValkeyServer() if request.param == "valkey" else NatsServer()
    server.start()
    try:
        yield {"PILOTHOUSE_BUS_URL": server.url}, server
    finally:
        server.remove()


async def listen(node, heard):
    """The ids of runs that the feed of the node tells, until it is cancelled."""
    url, headers = node.url + "/v1/feed", {"accept": "text/event-stream"}
    async with node.caller._http.stream("GET", url, headers=headers, timeout=None) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for event in frames_of(answer):
            heard += json.loads(event.data)["runs"] if event.kind == "changed" else []


async def hears_of(node, heard, name):
    """Starts runs at the node until one of them is heard of: what is said while a broker is not reached is lost."""
    for number in range(10_000):
        run = f"run_{name}_{number}"
        answer = await node.caller.start_at_last("chain", {"steps": 0}, run_id=run)
        assert answer.status == 202, answer
        for _ in range(50):
            if any(one.startswith(f"run_{name}_") for one in heard):
                return
            await asyncio.sleep(0.02)


async def test_a_watcher_hears_of_runs_elsewhere_and_misses_nothing_of_one_while_the_broker_is_away(
    cluster, receiver, broker
):
    bus, server = broker
    worker, gateway = cluster("worker", environment=bus), cluster("gateway", environment=bus)
    await asyncio.gather(worker.start(), gateway.start())
    await wait_until(lambda: knows(gateway))
    heard, seen = [], []
    feed = asyncio.create_task(listen(gateway, heard))
    try:
        await hears_of(worker, heard, "before")
        gate = receiver.hold("run_long", "1", "before")
        await worker.caller.start_known("chain", "run_long", {"steps": 3})
        stream = asyncio.create_task(follow(gateway, "run_long", seen))
        await gate.wait_reached()
        server.stop()
        if bus:  # the records are there: the run ends while nobody can be told
            gate.open()
            await stream
        server.start()  # from this thread: the kernel ends the server with the thread that has started it
        gate.open()
        await stream
        assert seen[-1].kind == "run.succeeded"
        assert seen == await read_events(gateway, "run_long")
        await hears_of(worker, heard, "after")
        assert not feed.done(), "the feed outlives its broker"
    finally:
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)


async def follow(node, run, seen):
    """All events of a run, over as many connections as it takes; records that are away are asked again."""
    url, caller = f"{node.url}/v1/runs/{run}/events", node.caller
    while not (seen and seen[-1].kind == "run.succeeded"):
        headers = {"accept": "text/event-stream", "last-event-id": str(seen[-1].seq if seen else 0)}
        with contextlib.suppress(httpx2.TransportError):
            async with caller._http.stream("GET", url, headers=headers, timeout=None) as answer:
                assert answer.status_code in (200, 503), await answer.aread()
                if answer.status_code == 200:
                    await take_all(frames_of(answer), seen)
        await asyncio.sleep(0.05)


async def read_events(node, run):
    """The same, by a page of them."""
    page = b""

    async def is_read():
        nonlocal page
        answer = await node.caller._http.get(f"{node.url}/v1/runs/{run}/events?after=0&limit=1000")
        assert answer.status_code in (200, 503), answer.content
        page = answer.content
        return answer.status_code == 200

    await wait_until(is_read)
    return page_events(page)
