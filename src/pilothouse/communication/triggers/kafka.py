"""Kafka: a topic read by a consumer group.

Kafka knows no acknowledgement of a message, only how far a group has read each partition. So what is committed is the
last position before which everything is settled; what is settled behind it waits for that, and comes again if the node
dies before, which finds the runs that it became. A partition and its offset name a message. One that is to come later
is kept here until then. A partition is handed out in its order, so order per key holds when the key of the record is
the order (`attributes.key`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from pilothouse.domain.source import Message
from pilothouse.ports.source import Incoming, Source

WAIT_MS = 1000
CONNECT_WITHIN = 15.0
EXTEND_EVERY = 60.0


class Position:
    """What of one partition was handed out, in order, and is not committed yet."""

    def __init__(self) -> None:
        self._out: dict[int, bool] = {}

    def hand_out(self, offset: int) -> None:
        self._out.setdefault(offset, False)

    def settle(self, offset: int) -> int | None:
        """The position to commit, when it moved: the offset behind the last one before which all is settled."""
        if offset not in self._out:
            return None
        self._out[offset] = True
        moved = None
        while self._out and self._out[first := next(iter(self._out))]:  # they were put in by their order
            del self._out[first]
            moved = first + 1
        return moved


class KafkaMessage(Incoming):
    def __init__(self, source: "KafkaTopic", raw: Any) -> None:
        self._source, self._raw, self._epoch = source, raw, source.epoch
        attributes = {str(name): value.decode("utf-8", "replace") for name, value in raw.headers}
        if raw.key is not None:
            attributes["key"] = raw.key.decode("utf-8", "replace")
        attributes |= {"topic": raw.topic, "partition": str(raw.partition)}
        key = f"{raw.topic} {raw.partition} {raw.offset}"
        self._message = Message(key=key, body=raw.value or b"", attributes=attributes)

    @property
    def message(self) -> Message:
        return self._message

    async def ack(self) -> None:
        await self._source.settle(self._raw, self._epoch)

    async def nack(self, delay: float) -> None:
        self._source.later(delay, self)

    async def extend(self) -> None: ...

    async def dead_letter(self, reason: str) -> None:
        await self.ack()


class KafkaTopic(Source):
    """`make` makes the consumer; the real one when it is left out."""

    extend_every = EXTEND_EVERY

    def __init__(self, servers: str, topic: str, group: str, make: Callable[[], Any] | None = None) -> None:
        self._servers, self._topic, self._group = servers, topic, group
        self._make = make or self._make_consumer
        self._consumer: Any = None
        self.epoch = 0
        """Of the connection: what an earlier one brought is not committed by this one."""
        self._positions: defaultdict[Any, Position] = defaultdict(Position)
        self._again: list[KafkaMessage] = []
        self._later: set[asyncio.TimerHandle] = set()

    def _make_consumer(self) -> Any:
        from aiokafka import AIOKafkaConsumer

        return AIOKafkaConsumer(
            self._topic, bootstrap_servers=self._servers, group_id=self._group, enable_auto_commit=False,
            auto_offset_reset="earliest", client_id="pilothouse",
        )  # fmt: skip

    async def want(self, count: int) -> list[Incoming]:
        if self._consumer is None:
            await self._connect()
        found: list[Incoming] = list(self._again[:count])
        del self._again[:count]
        if found:
            return found
        try:
            batches = await self._consumer.getmany(timeout_ms=WAIT_MS, max_records=count)
        except Exception:
            await self.close()
            raise
        for gone in set(self._positions) - set(self._consumer.assignment()):  # another member of the group has it now
            del self._positions[gone]
        for partition, records in batches.items():
            for raw in records:
                self._positions[partition].hand_out(raw.offset)
                found.append(KafkaMessage(self, raw))
        return found

    async def _connect(self) -> None:
        consumer = self._make()
        self.epoch += 1
        self._positions.clear()
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer

    async def settle(self, raw: Any, epoch: int) -> None:
        """Raises what the broker says of a commit, as of a partition that another member of the group has now."""
        if epoch != self.epoch or self._consumer is None:
            return
        for partition, position in self._positions.items():
            if (partition.topic, partition.partition) == (raw.topic, raw.partition):
                moved = position.settle(raw.offset)
                if moved is not None:
                    await self._consumer.commit({partition: moved})
                return

    def later(self, delay: float, message: KafkaMessage) -> None:
        epoch = self.epoch

        def act() -> None:
            self._later.discard(handle)
            if epoch == self.epoch:
                self._again.append(message)

        handle = asyncio.get_running_loop().call_later(delay, act)
        self._later.add(handle)

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        self._again.clear()
        if consumer is not None:
            await consumer.stop()
