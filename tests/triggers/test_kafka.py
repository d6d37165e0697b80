"""Kafka at the edge of its protocol only: no broker of it can be installed here, from pip or from Debian.

The consumer is a stand-in with the methods of `aiokafka.AIOKafkaConsumer` that the source uses, which are checked to be
there with these parameters. What is shown is what the source makes of them: which position it commits, and when.
"""

import asyncio
import inspect
from collections import namedtuple
from types import SimpleNamespace

import aiokafka
import pytest

from pilothouse.communication.triggers.kafka import KafkaTopic
from pilothouse.testing import LocalNode
from tests.triggers.test_loop import count, loop_of, runs

Partition = namedtuple("Partition", ["topic", "partition"])
ZERO, ONE = Partition("orders", 0), Partition("orders", 1)


def record(partition, offset: int, body: bytes = b'{"n":1}', key: bytes | None = None):
    return SimpleNamespace(
        topic=partition.topic,
        partition=partition.partition,
        offset=offset,
        key=key,
        value=body,
        headers=[("shop", b"b")],
    )


class Consumer:
    def __init__(self, *records) -> None:
        self.records, self.committed, self.is_open = list(records), {}, False
        self.fault: Exception | None = None
        self.mine = {ZERO, ONE}

    async def start(self) -> None:
        self.is_open = True

    async def stop(self) -> None:
        self.is_open = False

    def assignment(self):
        return self.mine

    async def getmany(self, *, timeout_ms, max_records):
        if self.fault is not None:
            raise self.fault
        found: dict = {}
        taken, self.records = self.records[:max_records], self.records[max_records:]
        for one in taken:
            found.setdefault(Partition(one.topic, one.partition), []).append(one)
        return found

    async def commit(self, offsets) -> None:
        self.committed |= offsets


def topic_of(consumer: Consumer) -> KafkaTopic:
    return KafkaTopic("localhost:9092", "orders", "pilothouse", make=lambda: consumer)


def test_the_stand_in_has_what_the_client_has():
    for name in ("start", "stop", "assignment", "getmany", "commit"):
        real = inspect.signature(getattr(aiokafka.AIOKafkaConsumer, name)).parameters
        for word in inspect.signature(getattr(Consumer, name)).parameters:
            assert word in real, (name, word)
    made = inspect.signature(aiokafka.AIOKafkaConsumer.__init__).parameters
    assert {"bootstrap_servers", "group_id", "enable_auto_commit", "auto_offset_reset", "client_id"} <= set(made)


async def test_what_is_committed_is_the_position_before_which_all_is_settled():
    consumer = Consumer(*[record(ZERO, offset) for offset in (5, 6, 7, 9)], record(ONE, 0))
    source = topic_of(consumer)
    five, six, seven, nine, other = await source.want(10)
    assert (five.message.key, five.message.attributes) == (
        "orders 0 5", {"shop": "b", "topic": "orders", "partition": "0"},
    )  # fmt: skip
    await six.ack()
    await nine.dead_letter("poison")
    assert consumer.committed == {}
    await five.ack()
    assert consumer.committed == {ZERO: 7}
    await other.ack()
    await seven.ack()
    assert consumer.committed == {ZERO: 10, ONE: 1}
    await seven.ack()
    await source.close()
    await source.close()
    assert not consumer.is_open


async def test_what_is_given_back_comes_again_and_holds_the_position():
    consumer = Consumer(record(ZERO, 1), record(ZERO, 2))
    source = topic_of(consumer)
    first, second = await source.want(2)
    await second.ack()
    await first.nack(0.01)
    while not (again := await source.want(2)):
        await asyncio.sleep(0.005)
    assert again[0].message.key == first.message.key
    assert consumer.committed == {}
    await again[0].extend()
    await again[0].ack()
    assert consumer.committed == {ZERO: 3}
    await source.close()


async def test_a_partition_that_another_member_has_now_is_not_committed_here():
    consumer = Consumer(record(ZERO, 1), record(ONE, 4))
    source = topic_of(consumer)
    lost, kept = await source.want(2)
    consumer.mine = {ONE}
    assert await source.want(2) == []
    await lost.ack()
    await kept.ack()
    assert consumer.committed == {ONE: 5}
    await source.close()


async def test_a_connection_that_breaks_is_made_anew_and_what_the_old_one_brought_is_not_committed():
    consumer = Consumer(record(ZERO, 1))
    source = topic_of(consumer)
    [one] = await source.want(1)
    consumer.fault = ConnectionError("gone")
    with pytest.raises(ConnectionError):
        await source.want(1)
    assert not consumer.is_open
    consumer.fault = None
    consumer.records = [record(ZERO, 1)]
    [again] = await source.want(1)
    await one.ack()
    assert consumer.committed == {}
    await again.ack()
    assert consumer.committed == {ZERO: 2}
    await source.close()


async def test_records_become_runs_once_however_often_the_position_is_read():
    consumer = Consumer(*[record(ZERO, offset, b'{"n": %d}' % offset) for offset in (0, 1, 0, 2, 1)])
    async with LocalNode({"count": count}) as node:
        loop = loop_of(node, topic_of(consumer), order="attributes.partition")
        while consumer.records:
            await loop.round()
            await node.settle()
        assert sorted(run.output for run in await runs(node, "succeeded")) == [b"0", b"1", b"2"]
        assert (loop.counts.taken, loop.counts.repeated) == (3, 2)
        assert consumer.committed == {ZERO: 3}
        await loop.stop()
