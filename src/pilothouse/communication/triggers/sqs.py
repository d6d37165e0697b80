"""Amazon SQS: a queue, or anything that speaks its protocol.

A message that was taken is invisible to others for `VISIBLE`, which is extended while it is worked on and shortened
when it is given back. Its id stays the same however often it comes. The client is botocore alone, in threads: a receive
waits for a second at most, so a stop need not wait longer.
"""

import asyncio
from typing import Any

from pilothouse.communication.sqs import make_client
from pilothouse.communication.triggers.together import CLOSED, Together
from pilothouse.domain.source import Message
from pilothouse.ports.source import Incoming, Source

WAIT = 1
VISIBLE = 60
"""Seconds after which a message that nobody settled comes again."""
MOST = 10
"""Messages of one receive, as the protocol has it."""


class SqsMessage(Incoming):
    def __init__(self, source: "SqsQueue", raw: dict[str, Any]) -> None:
        self._source, self._handle = source, raw["ReceiptHandle"]
        said = {name: str(one.get("StringValue", "")) for name, one in raw.get("MessageAttributes", {}).items()}
        attributes = said | {name: str(value) for name, value in raw.get("Attributes", {}).items()}
        self._message = Message(key=raw["MessageId"], body=raw["Body"].encode(), attributes=attributes)

    @property
    def message(self) -> Message:
        return self._message

    async def ack(self) -> None:
        await self._source.acks.ask(self._handle)

    async def nack(self, delay: float) -> None:
        await self._seen_again(round(delay))

    async def extend(self) -> None:
        await self._seen_again(self._source.visible)

    async def _seen_again(self, seconds: int) -> None:
        await self._source.call("change_message_visibility", ReceiptHandle=self._handle, VisibilityTimeout=seconds)

    async def dead_letter(self, reason: str) -> None:
        await self.ack()


class SqsQueue(Source):
    """`url` is that of the queue."""

    def __init__(self, url: str, visible: int = VISIBLE) -> None:
        self._url, self.visible = url, visible
        self.extend_every = visible / 3
        self._client: Any = None
        self.acks = Together(self._delete, MOST)

    async def want(self, count: int) -> list[Incoming]:
        if self._client is None:
            self._client = await asyncio.to_thread(make_client, self._url)
        found = await self.call(
            "receive_message",
            MaxNumberOfMessages=min(count, MOST),
            WaitTimeSeconds=WAIT,
            VisibilityTimeout=self.visible,
            MessageAttributeNames=["All"],
            AttributeNames=["All"],
        )
        return [SqsMessage(self, one) for one in found.get("Messages", ())]

    async def _delete(self, handles: list[str]) -> None:
        entries = [{"Id": str(number), "ReceiptHandle": one} for number, one in enumerate(handles)]
        answer = await self.call("delete_message_batch", Entries=entries)
        if answer.get("Failed"):
            raise ConnectionError(f"{len(answer['Failed'])} of {len(handles)} messages could not be deleted")

    async def call(self, verb: str, **arguments: Any) -> Any:
        if self._client is None:
            raise ConnectionError(CLOSED)
        return await asyncio.to_thread(getattr(self._client, verb), QueueUrl=self._url, **arguments)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await asyncio.to_thread(client.close)
