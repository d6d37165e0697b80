"""NATS JetStream and Redis streams with real servers: down at the start, killed in the middle, redelivered, poisoned,
slow, and a node that dies between a message and its acknowledgement. Nothing is lost and nothing is run twice.
"""

import asyncio
import contextlib
from collections import Counter

import nats
import pytest
import redis.asyncio

from pilothouse.communication.triggers.nats import JetStream
from pilothouse.communication.triggers.redis import RedisStream
from pilothouse.engine.source import list_dead
from pilothouse.testing import LocalNode, NodeCrashed
from tests.engine.agents import held
from tests.triggers.brokers import nats_server, valkey_server
from tests.triggers.test_loop import count, loop_of, runs

pytestmark = pytest.mark.slow


class Nats:
    def __init__(self, folder):
        self.broker = nats_server(folder)

    def source(self):
        return JetStream(f"nats://127.0.0.1:{self.broker.port}", "orders", "orders.new", "pilothouse")

    async def send(self, *bodies: bytes) -> None:
        client = await nats.connect(f"nats://127.0.0.1:{self.broker.port}")
        stream = client.jetstream()
        with contextlib.suppress(nats.js.errors.BadRequestError):
            await stream.add_stream(name="orders", subjects=["orders.new"])
        for body in bodies:
            await stream.publish("orders.new", body)
        await client.close()


class Valkey:
    def __init__(self, folder):
        self.broker = valkey_server(folder)
        self.idle = 300

    def source(self):
        url = f"redis://127.0.0.1:{self.broker.port}"
        return RedisStream(url, "orders", "pilothouse", "node", idle=self.idle)

    async def send(self, *bodies: bytes) -> None:
        client = redis.asyncio.Redis(port=self.broker.port)
        for body in bodies:
            await client.xadd("orders", {"body": body, "shop": "blue"})
        await client.aclose()


@pytest.fixture(params=[Nats, Valkey])
def queue(request, tmp_path):
    made = request.param(tmp_path)
    yield made
    made.broker.stop()


def bodies(many: int, first: int = 0) -> list[bytes]:
    return [b'{"n": %d}' % number for number in range(first, first + many)]


async def wait_runs(node, many: int, within: float = 40.0):
    async with asyncio.timeout(within):
        while len(found := await runs(node, "succeeded")) < many:
            await asyncio.sleep(0.02)
    return found


async def test_messages_become_runs_and_are_acknowledged(queue):
    many = 150
    await queue.send(*bodies(many))
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, queue.source(), concurrency=many)
        loop.start()
        found = await wait_runs(node, many)
        assert Counter(run.output for run in found) == Counter(b"%d" % n for n in range(many))
        await loop.stop()
        again = loop_of(node, queue.source())
        await again.round()
        await again.stop()
        assert (again.counts.taken, again.counts.repeated) == (0, 0)


async def test_a_broker_that_is_down_at_the_start_or_killed_in_the_middle_loses_nothing(queue):
    await queue.send(*bodies(5))
    queue.broker.kill()
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, queue.source())
        loop.start()
        async with asyncio.timeout(20):
            while loop.counts.problem is None:
                await asyncio.sleep(0.02)
        queue.broker.start()
        await wait_runs(node, 5)
        queue.broker.kill()
        queue.broker.start()
        await queue.send(*bodies(5, first=5))
        found = await wait_runs(node, 10)
        await loop.stop()
        assert Counter(run.output for run in found) == Counter(b"%d" % n for n in range(10))


async def test_a_node_that_dies_before_the_acknowledgement_gets_the_message_again_and_runs_it_once(queue):
    await queue.send(*bodies(3))
    async with LocalNode({"count": count}) as node:
        source = queue.source()
        taken = []
        while len(taken) < 3:
            taken += await source.want(3)
        first = loop_of(node, source)
        await first._take_lane(taken[:1])
        await source.close()  # the node dies with two messages in its hands
        node.crash()
        with contextlib.suppress(NodeCrashed):
            await node.restart()
        if isinstance(source, JetStream):
            for one in taken[1:]:  # what `ack_wait` does in a minute
                assert one.message.key
            await _redeliver(queue)
        loop = loop_of(node, queue.source())
        loop.start()
        found = await wait_runs(node, 3)
        await loop.stop()
        assert len(found) == 3


async def _redeliver(queue: Nats) -> None:
    """A consumer with a shorter wait, as an operator would set it: the messages in flight come at once."""
    client = await nats.connect(f"nats://127.0.0.1:{queue.broker.port}")
    stream = client.jetstream()
    facts = await stream.consumer_info("orders", "pilothouse")
    facts.config.ack_wait = 0.2
    await stream.add_consumer("orders", config=facts.config)
    await client.close()


async def test_poison_goes_to_the_dead_letters_and_holds_up_nobody(queue):
    await queue.send(b"poison", b'{"n": "x"}', *bodies(3))
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, queue.source())
        loop.start()
        await wait_runs(node, 3)
        async with asyncio.timeout(10):
            while loop.counts.dead < 2:
                await asyncio.sleep(0.02)
        await loop.stop()
        letters, _ = await list_dead(node.world, "default", "orders", None, 10)
        assert sorted(str(letter.text) for _, letter in letters) == ["poison", '{"n": "x"}']


async def test_a_message_that_is_given_back_comes_again(queue):
    await queue.send(*bodies(1))
    source = queue.source()
    while not (found := await source.want(1)):
        pass
    await found[0].nack(0.05)
    async with asyncio.timeout(20):
        while not (again := await source.want(1)):
            pass
    assert again[0].message.key == found[0].message.key
    await again[0].extend()
    await again[0].ack()
    await source.close()
    await source.close()


async def test_a_slow_agent_takes_no_more_than_it_can_and_leaves_the_rest_to_the_broker(queue):
    gate, hold = held()
    await queue.send(*[b'"x"'] * 12)
    async with LocalNode({"hold": hold}) as node:
        loop = loop_of(node, queue.source(), "hold", concurrency=3)
        loop.start()
        async with asyncio.timeout(20):
            while loop.counts.taken < 3:
                await asyncio.sleep(0.01)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert len(await runs(node)) == 3
        gate.set()
        await wait_runs(node, 12)
        await loop.stop()
