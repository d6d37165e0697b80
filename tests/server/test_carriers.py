"""The carriers of the bus against real servers: what one node says the others hear, also after the server was away."""

import asyncio

import pytest

from pilothouse.communication.bus.carried import CarriedBus
from pilothouse.communication.bus.line import Line, side_by_side
from pilothouse.communication.bus.nats import NatsCarrier
from pilothouse.communication.bus.redis import RedisCarrier
from pilothouse.domain.event import Segment, line
from pilothouse.storage.records.postgres.notify import PostgresCarrier
from pilothouse.storage.records.postgres.options import PostgresOptions
from pilothouse.testing.brokers import NatsServer, ValkeyServer
from tests.databases import database, postgres_server

__all__ = ["database", "postgres_server"]

pytestmark = pytest.mark.slow

WITHIN = 60.0


@pytest.fixture(params=["postgres", "valkey", "nats"])
def broker(request, postgres_server, database):
    """(how a node gets its carrier, stops the server, starts it again)"""
    if request.param == "postgres":
        url = postgres_server.url(database)
        yield lambda: PostgresCarrier(url, PostgresOptions()), postgres_server.stop, postgres_server.start
        return
    server = ValkeyServer() if request.param == "valkey" else NatsServer()
    server.start()
    kind = RedisCarrier if request.param == "valkey" else NatsCarrier
    try:
        yield lambda: kind(server.url, "test"), server.stop, server.start
    finally:
        server.remove()


@pytest.fixture
async def buses(broker):
    found = [CarriedBus(broker[0]()) for _ in range(2)]
    for bus in found:
        await bus.start()
    yield found
    for bus in found:
        await bus.stop()


async def rings(first, second):
    """Until a bell of the first is heard at the second."""
    heard = []
    leave = second.answer("work", heard.append)
    async with asyncio.timeout(WITHIN):
        while "desk" not in heard:
            first.ring("work", "desk")
            await asyncio.sleep(0.02)
    leave()


async def test_bells_and_events_of_one_node_reach_the_other(buses):
    first, second = buses
    await rings(first, second)
    await rings(second, first)
    heard = []
    second.watch("acme", "run_a", heard.append)
    said = Segment("run_a", 1, 1, 1, line("run.started", b'{"attempt":1}'))
    async with asyncio.timeout(WITHIN):
        while said not in heard:
            first.publish("acme", said)
            await asyncio.sleep(0.02)


async def test_a_server_that_was_away_is_used_again(broker, buses):
    _, stop, start = broker
    await rings(*buses)
    stop()
    for number in range(50):
        buses[0].ring("work", f"lost-{number}")
        await asyncio.sleep(0.005)
    start()  # from this thread: the kernel ends the server with the thread that has started it
    await rings(*buses)


async def test_a_node_starts_and_stops_without_its_server():
    for carrier in (
        RedisCarrier("redis://127.0.0.1:1", "test"),
        NatsCarrier("nats://127.0.0.1:1", "test"),
        PostgresCarrier("postgresql://nobody@127.0.0.1:1/x", PostgresOptions()),
    ):
        bus = CarriedBus(carrier)
        await bus.start()
        bus.ring("work", "desk")
        await asyncio.sleep(0.1)
        await bus.stop()


class Deaf(Line):
    """Its client drops the first cancel, as one does that waits with `asyncio.wait_for` of Python 3.11."""

    def __init__(self):
        super().__init__()
        self.has_begun, self.cancels = asyncio.Event(), 0

    async def _serve(self, hear):
        await side_by_side(self._empty(self._drop), asyncio.Event().wait())

    async def _drop(self, message):
        self.has_begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancels += 1


async def test_a_stop_does_not_wait_for_a_client_that_drops_a_cancel():
    carrier = Deaf()
    await carrier.start(lambda message: None)
    carrier.send(b"x")
    await carrier.has_begun.wait()
    async with asyncio.timeout(WITHIN):
        await carrier.stop()
    assert carrier.cancels == 1
