"""A source that the test holds in its hand: it brings what it is told to, again and in any order, and notes what
becomes of each. It is the edge of the world; brokers of flesh and blood are in the other files.
"""

from collections import Counter, deque

from pilothouse.domain.source import Message
from pilothouse.ports.source import Incoming, Source


class Held(Incoming):
    def __init__(self, source: "HeldSource", message: Message) -> None:
        self._source, self._message = source, message

    @property
    def message(self) -> Message:
        return self._message

    def _settle(self, how: str) -> None:
        assert self._message.key in self._source.out, "settled twice"
        self._source.out.remove(self._message.key)
        self._source.settled[how, self._message.key] += 1

    async def ack(self) -> None:
        if self._source.broken_acks:
            self._source.broken_acks -= 1
            self._source.out.remove(self._message.key)
            self._source.queue.append(self._message)
            raise ConnectionError("the acknowledgement was lost")
        self._settle("ack")

    async def nack(self, delay: float) -> None:
        self._settle("nack")
        self._source.queue.append(self._message)

    async def extend(self) -> None:
        self._source.settled["extend", self._message.key] += 1

    async def dead_letter(self, reason: str) -> None:
        self._settle("dead")


class HeldSource(Source):
    extend_every = 0.01

    def __init__(self, *messages: Message) -> None:
        self.queue = deque(messages)
        self.out: list[str] = []
        self.settled: Counter[tuple[str, str]] = Counter()
        self.most = 0
        self.faults: list[BaseException] = []
        self.broken_acks = 0

    async def want(self, count: int) -> list[Incoming]:
        if self.faults:
            raise self.faults.pop(0)
        found: list[Incoming] = []
        while self.queue and len(found) < count:
            message = self.queue.popleft()
            self.out.append(message.key)
            found.append(Held(self, message))
        self.most = max(self.most, len(self.out))
        return found

    async def close(self) -> None: ...


def message(key: str, body: bytes = b'{"n":1}', **attributes: str) -> Message:
    return Message(key=key, body=body, attributes=attributes)
