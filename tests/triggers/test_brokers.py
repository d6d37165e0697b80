"""Sources with real brokers: down at the start, killed in the middle, redelivered, given back, poisoned, slow, and a
node that dies between a message and its acknowledgement. Nothing is lost and nothing is run twice.

One server for each kind serves all tests of this file, each test with a queue of its own; it is started when its first
test comes. Kafka has no server that could be installed here: see test_kafka.py.
"""

import asyncio
import contextlib
import signal
import socket
from collections import Counter

import pytest

from pilothouse.communication.deliveries.options import ReceiverOptions
from pilothouse.communication.deliveries.queues import RabbitQueue
from pilothouse.communication.deliveries.queues import SqsQueue as SqsReceiver
from pilothouse.communication.triggers.amqp import AmqpQueue
from pilothouse.communication.triggers.sqs import SqsQueue
from pilothouse.engine.source import list_dead
from pilothouse.ports.source import Incoming, Source
from pilothouse.testing import LocalNode, NodeCrashed
from tests.deliveries.test_other_receivers import delivery
from tests.engine.agents import held
from tests.faults.served import ServedNode
from tests.triggers.queues import KINDS, Mosquitto, Nats, Rabbit, Sqs, SqsFifo, Valkey
from tests.triggers.test_loop import count, loop_of, runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__.lower())
def server(request, tmp_path_factory):
    kind = request.param
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        made = kind.serve(tmp_path_factory.mktemp(kind.__name__.lower()))
        try:
            yield kind, made
        finally:
            made.stop()


@pytest.fixture
async def queue(server):
    kind, made = server
    queue = kind(made)
    await queue.prepare()
    return queue


def bodies(many: int, first: int = 0) -> list[bytes]:
    return [b'{"n": %d}' % number for number in range(first, first + many)]


async def wait_runs(node, many: int, within: float = 90.0):
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
        while loop.counts.taken < many:  # the last ones may have ended before their acknowledgement was sent
            await asyncio.sleep(0.02)
        await loop.stop()
        again = loop_of(node, queue.source())
        await again.round()
        await again.stop()
        assert (again.counts.taken, len(await runs(node))) == (0, many)


async def test_a_broker_that_is_down_at_the_start_or_killed_in_the_middle_loses_nothing(queue):
    await queue.send(*bodies(5))
    queue.server.kill()
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, queue.source())
        loop.start()
        async with asyncio.timeout(90):
            while loop.counts.problem is None:
                await asyncio.sleep(0.02)
        queue.server.start()
        await wait_runs(node, 5)
        queue.server.kill()
        queue.server.start()
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
        await first._take(taken[0])
        await source.close()  # the node dies with two messages in its hands
        node.crash()
        with contextlib.suppress(NodeCrashed):
            await node.restart()
        await queue.redeliver()
        loop = loop_of(node, queue.source())
        loop.start()
        found = await wait_runs(node, 3)
        await loop.stop()
        assert len(found) == 3


class KilledAtAck(Source):
    """Brings what another brings. At some acknowledgements the broker is killed, before or right behind it, and started
    again beside what goes on. `acked`: the keys of what was acknowledged and not told to have failed."""

    def __init__(self, queue, before: int, behind: int) -> None:
        self.inner, self.queue = queue.source(), queue
        self.extend_every = self.inner.extend_every
        self.before, self.behind = before, behind
        self.acks = 0
        self.acked: set[str] = set()
        self.starting: list[asyncio.Task[None]] = []

    async def want(self, count):
        return [AckedOnceMore(self, one) for one in await self.inner.want(count)]

    async def close(self):
        await self.inner.close()

    def kill(self) -> None:
        self.queue.server.kill()
        self.starting.append(asyncio.create_task(self._start()))

    async def _start(self) -> None:
        await asyncio.to_thread(self.queue.server.start)
        async with asyncio.timeout(90):
            while True:
                with contextlib.suppress(Exception):  # it listens before it answers
                    return await self.queue.redeliver()
                await asyncio.sleep(0.1)


class AckedOnceMore(Incoming):
    def __init__(self, source: KilledAtAck, inner: Incoming) -> None:
        self._source, self._inner = source, inner

    @property
    def message(self):
        return self._inner.message

    async def ack(self):
        source = self._source
        source.acks += 1
        number = source.acks
        if number == source.before:
            source.kill()
        await self._inner.ack()
        source.acked.add(self.message.key)
        if number == source.behind:
            source.kill()

    async def nack(self, delay):
        await self._inner.nack(delay)

    async def extend(self):
        await self._inner.extend()

    async def dead_letter(self, reason):
        await self._inner.dead_letter(reason)


@pytest.mark.parametrize(("before", "behind"), [(2, 0), (0, 2)], ids=["before", "behind"])
async def test_a_broker_that_is_killed_at_an_acknowledgement_brings_what_it_lost_again_and_nothing_is_run_twice(
    queue, monkeypatch, before, behind
):
    monkeypatch.setattr("pilothouse.communication.triggers.loop.CONNECT_AGAIN", (0.2,))
    monkeypatch.setattr("pilothouse.communication.triggers.nats.ACK_WITHIN", 1.0)
    many = 6
    await queue.send(*bodies(many))
    async with LocalNode({"count": count}) as node:
        source = KilledAtAck(queue, before, behind)
        loop = loop_of(node, source)
        loop.start()
        async with asyncio.timeout(180):
            while len(source.acked) < many or not source.starting:
                await asyncio.sleep(0.02)
        await asyncio.gather(*source.starting)
        await queue.send(*bodies(2, first=many))
        found = await wait_runs(node, many + 2)
        await loop.stop()
        assert Counter(run.output for run in found) == Counter(b"%d" % n for n in range(many + 2))
        assert len(await runs(node)) == many + 2


@pytest.mark.parametrize("server", [Rabbit], ids=["rabbit"], indirect=True)
async def test_a_queue_that_is_deleted_while_it_is_read_is_made_again_and_read(queue):
    """The broker cancels the consumer and leaves channel and connection as they are; the source once waited on them for
    ever."""
    await queue.send(*bodies(1))
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, queue.source())
        loop.start()
        await wait_runs(node, 1)
        await queue.delete()
        async with asyncio.timeout(90):
            while loop.counts.problem is None:
                await asyncio.sleep(0.01)
            while loop.counts.problem is not None:
                await asyncio.sleep(0.01)
        await queue.send(*bodies(1, first=1))
        found = await wait_runs(node, 2)
        await loop.stop()
        assert [run.output for run in found] == [b"0", b"1"]


async def test_a_broker_that_takes_the_connection_and_never_answers_is_given_up_and_told(monkeypatch):
    """As RabbitMQ does where a replicated queue has no leader: the client waits for its consumer for ever."""
    monkeypatch.setattr("pilothouse.communication.triggers.amqp.CONNECT_WITHIN", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = AmqpQueue(f"amqp://127.0.0.1:{silent.getsockname()[1]}/", "orders", 8)
        with pytest.raises(ConnectionError, match="the broker did not answer within"):
            await source.want(1)
        await source.close()


AGENT = '''
"""Counts orders."""

from pilothouse import agent


@agent(mode="event")
def count(order: dict[str, int]) -> int:
    return order["n"]
'''


@pytest.mark.parametrize("server", [Nats, Valkey, Rabbit, Mosquitto], indirect=True)
async def test_a_node_that_is_killed_around_an_acknowledgement_loses_nothing_and_runs_nothing_twice(queue, tmp_path):
    """SIGKILL between taking a message and its commit, between the commit and the acknowledgement, and right after
    that: each in a node of its own, at the second message of those that it has in its hands."""
    (tmp_path / "agents.py").write_text(AGENT)
    head = '[server]\nport = 0\n[worker]\nisolation = "inline"\n[agents.count]\ntarget = "agents:count"\n'
    (tmp_path / "pilothouse.toml").write_text(f'{head}[sources.orders]\nagent = "count"\n{queue.table()}')
    many = 6
    await queue.send(*bodies(many))
    nodes: list[ServedNode] = []
    try:
        for seam in ("taken", "durable", "settled"):
            node = ServedNode(tmp_path, altered={"die": [seam, 2], "again": 0.3})
            nodes.append(node)
            node.launch()
            assert await node.wait_gone(100) == -signal.SIGKILL, node.read_log()
            await queue.redeliver()
        last = ServedNode(tmp_path, altered={"again": 0.3})
        nodes.append(last)
        await last.start()
        async with asyncio.timeout(90):
            found: list[dict] = []
            while sum(run["status"] == "succeeded" for run in found) < many:
                await asyncio.sleep(0.05)
                found = await last.caller.all_runs()
        assert sorted(run["output"] for run in found) == list(range(many))
        assert await last.terminate(60) == 0
    finally:
        for node in nodes:
            await node.end()


@pytest.mark.parametrize("server", [Nats, Valkey, Rabbit, Mosquitto, SqsFifo], indirect=True)
async def test_the_order_of_a_key_is_kept_when_a_message_is_given_back_and_others_come_meanwhile(server, monkeypatch):
    """Of SQS the queues that keep an order themselves; what the others owe is in the test below."""
    monkeypatch.setattr("pilothouse.communication.triggers.loop.AGAIN_AFTER", 0.3)
    monkeypatch.setattr("pilothouse.communication.triggers.order.HELD_FOR", 600.0)
    kind, made = server
    queue = kind(made)
    await queue.prepare()
    await queue.send(*bodies(3))
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, queue.source(), order="'all of them'")
        node.records.strike(1, "fail", "submit")
        async with asyncio.timeout(90):
            while not loop.counts.given_back:
                await loop.round()
        assert await runs(node) == []
        await queue.send(*bodies(3, first=3))
        loop.start()
        found = await wait_runs(node, 6)
        await loop.stop()
        assert [run.output for run in found] == [b"%d" % n for n in range(6)]


@pytest.mark.parametrize("server", [Sqs], ids=["sqs"], indirect=True)
async def test_a_queue_that_keeps_no_order_brings_messages_late_and_each_is_one_run(queue):
    """Standard queues of SQS: what was taken and given back comes behind what was sent after it."""
    await queue.send(*bodies(4))
    async with LocalNode({"count": count}) as node:
        source, taken = SqsQueue(queue.url, visible=3600), []
        async with asyncio.timeout(90):
            while len(taken) < 4:
                taken += await source.want(4 - len(taken))
        taken.sort(key=lambda one: one.message.body)
        for one in reversed(taken[2:]):
            await one.nack(0)
        await queue.send(*bodies(2, first=4))
        loop = loop_of(node, source)
        loop.start()
        await wait_runs(node, 4)
        for one in taken[:2]:
            await one.nack(0)
        found = [run.output for run in await wait_runs(node, 6)]
        await loop.stop()
        assert (sorted(found[:4]), sorted(found[4:])) == ([b"2", b"3", b"4", b"5"], [b"0", b"1"])


async def test_poison_goes_to_the_dead_letters_and_holds_up_nobody(queue):
    await queue.send(b"poison", b'{"n": "x"}', *bodies(3))
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, queue.source())
        loop.start()
        await wait_runs(node, 3)
        async with asyncio.timeout(90):
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
    async with asyncio.timeout(90):
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
        async with asyncio.timeout(90):
            while loop.counts.taken < 3:
                await asyncio.sleep(0.01)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert len(await runs(node)) == 3
        gate.set()
        await wait_runs(node, 12)
        await loop.stop()


@pytest.mark.parametrize("server", [Rabbit, Sqs], ids=["rabbit", "sqs"], indirect=True)
async def test_a_receiver_keeps_each_delivery_under_its_id_and_is_found_again_after_the_broker_was_away(server):
    """RabbitMQ and SQS as receivers, on the servers of this file; the others are in tests/deliveries."""
    kind, made = server
    queue = kind(made)
    await queue.prepare()
    if kind is Rabbit:
        courier: RabbitQueue | SqsReceiver = RabbitQueue(5.0)
        url = f"{queue.url}?queue={queue.name}"
        assert (await courier.send(delivery(), ReceiverOptions(url), 0)).verdict == "again"  # no queue takes it
        await queue.send()
    else:
        courier, url = SqsReceiver(5.0), queue.url.replace("http://", "sqs+http://")
    receiver = ReceiverOptions(url)
    assert (await courier.send(delivery(), receiver, 0)).verdict == "delivered"
    made.kill()
    assert (await courier.send(delivery(2), receiver, 0)).verdict == "again"
    made.start()
    async with asyncio.timeout(90):
        while (await courier.send(delivery(2), receiver, 0)).verdict != "delivered":
            await asyncio.sleep(0.1)
    await courier.close()
    source, found = queue.source(), []
    async with asyncio.timeout(90):
        while len(found) < 2:
            with contextlib.suppress(ConnectionError):
                found += await source.want(10)
    assert {one.message.body for one in found} == {delivery().body}
    if kind is Rabbit:
        assert {one.message.key for one in found} == {"dlv_1", "dlv_2"}
    else:
        assert {one.message.attributes["id"] for one in found} == {"dlv_1", "dlv_2"}
    assert {one.message.attributes["type"] for one in found} == {"run.succeeded"}
    for one in found:
        await one.ack()
    await source.close()
    assert (await courier.send(delivery(), None, 0)).verdict == "dead"
