"""Publishing: a step whose end is the event.

The event goes to the node as the input of the row, and the node makes it durable and hands it on in one Change. So a
later attempt that finds the row publishes nothing, and one that does not find it has not published.
"""

from collections.abc import Coroutine
from typing import Any, Protocol

from pilothouse.domain.journal import ENDED, StepRow
from pilothouse.domain.topic import EVENT_LIMIT, check_topic, event_id
from pilothouse.errors import NotKept, TooLarge
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
        return str(read_json(recorded.output or b"null"))
    await journal.admit(key)
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
