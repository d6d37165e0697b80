"""The delivery as JSON: what is to reach whom, how often that was tried, and why it has not.

The body is not shown: it may be long, and its run has all that it says. Of the URL of a receiver no query is shown,
since that is where people put what nobody else may see.
"""

from msgspec import Struct

from pilothouse.domain.delivery import Delivery, DeliveryStatus
from pilothouse.wire.instant import stamp, stamp_if
from pilothouse.wire.payload import Instant


class DeliveryView(Struct, kw_only=True):
    """`attempt` counts the tries since it was made, or last asked for again. `due_at`: the next one."""

    id: str
    run: str
    agent: str
    type: str
    receiver: str
    status: DeliveryStatus
    attempt: int
    due_at: Instant | None
    reason: str | None
    created_at: Instant
    finished_at: Instant | None


class DeliveryPage(Struct):
    """Newest first."""

    items: list[DeliveryView]
    next_cursor: str | None


def delivery_view(delivery: Delivery) -> DeliveryView:
    return DeliveryView(
        id=delivery.id,
        run=delivery.run,
        agent=delivery.agent,
        type=delivery.type,
        receiver=delivery.receiver.partition("?")[0],
        status=delivery.status,
        attempt=delivery.attempt,
        due_at=stamp_if(delivery.due_at),
        reason=delivery.reason,
        created_at=stamp(delivery.created_at),
        finished_at=stamp_if(delivery.finished_at),
    )
