"""Publishing: a step whose end is the event.

The event goes to the node as the input of the row, and the node makes it durable and hands it on in one Change. So a
later attempt that finds the row publishes nothing, and one that does not find it has not published.
"""

from collections.abc import Coroutine
from typing import Any, Protocol

from pilothouse.domain.journal import ENDED, StepKind, StepRow
from pilothouse.domain.policy import PUBLISH
from pilothouse.domain.topic import EVENT_LIMIT, check_topic, event_id
from pilothouse.errors import NotKept, TooLarge
from pilothouse.sdk.failure import failure_in
from pilothouse.sdk.gate import Proposed
from pilothouse.sdk.journal import AttemptJournal
from pilothouse.sdk.schema import in_order, read_json, write_json
from pilothouse.wire.frames import Start


class Publisher(Protocol):
    """The attempt, as its publications see it."""

    kept: bool
    start: Start

    @property
    def journal(self) -> AttemptJournal: ...

    def clock(self) -> int: ...

    def idempotency_key_of(self, key: str) -> str: ...

    @property
    def is_gated(self) -> bool: ...

    def pass_gate(self, call: Proposed) -> Coroutine[Any, Any, StepRow | None]: ...


class OutgoingMessage:
    """An event that is about to be published, as an action."""

    kind: StepKind = "publish"
    action = PUBLISH
    risk = "irreversible"

    def __init__(self, key: str, topic: str, event: bytes) -> None:
        self.key, self.name, self.input = key, topic, event

    @property
    def proposed(self) -> bytes:
        return b'{"topic":%b,"event":%b}' % (write_json(self.name), self.input)

    def use(self, arguments: dict[str, Any]) -> None:
        """Raises `ValueError` for a topic that is none."""
        topic = str(arguments.get("topic", self.name))
        check_topic(topic)
        self.name, self.input = topic, in_order(write_json(arguments.get("event")))


def publish(attempt: Publisher, topic: str, event: Any) -> Coroutine[Any, Any, str]:
    """Reserves the key in the call itself. The id of the event, once it is durable."""
    check_topic(str(topic))
    if not attempt.kept:
        raise NotKept(what="ctx.publish")
    encoded = in_order(write_json(event))
    if len(encoded) > EVENT_LIMIT:
        raise TooLarge(what=f"The event on {topic!r}", limit=EVENT_LIMIT)
    key = attempt.journal.reserve("publish", topic, encoded)
    return _publish(attempt, topic, encoded, key, attempt.journal.recorded(key, "publish"))


async def _publish(attempt: Publisher, topic: str, encoded: bytes, key: str, recorded: StepRow | None) -> str:
    journal = attempt.journal
    if recorded is not None:
        return _outcome(recorded)
    await journal.admit(key)
    if attempt.is_gated:
        message = OutgoingMessage(key, topic, encoded)
        refused = await attempt.pass_gate(message)
        if refused is not None:
            return _outcome(refused)
        topic, encoded = message.name, message.input
    event = event_id(attempt.start.tenant, attempt.idempotency_key_of(key))
    at = attempt.clock()
    row = StepRow(
        key,
        "publish",
        topic,
        ENDED,
        "succeeded",
        input=encoded,
        output=write_json(event),
        started_at=at,
        finished_at=at,
    )
    await journal.end(journal.next_ref(), row, started=False)
    return event


def _outcome(row: StepRow) -> str:
    """The id of the event, or what a person said instead of letting it out. Raises `ActionDenied`."""
    if row.status == "failed":
        raise failure_in(row)
    return str(read_json(row.output or b"null"))
