"""Events that runs publish, up to the deliveries of each.

These are rows of the Change that keeps the end of the step that publishes (as in `outbox`), so there is no moment in
which an event was published and nobody will hear of it. What becomes of a delivery to an agent is in `subscriber`.
"""

from collections.abc import Sequence

from msgspec import Raw, Struct

from pilothouse.domain import ids
from pilothouse.domain.delivery import fits
from pilothouse.domain.journal import StepRow
from pilothouse.domain.principal import chain_below
from pilothouse.domain.run import Run
from pilothouse.domain.topic import FAN_OUT, SUBSCRIBER, Published, origin_in
from pilothouse.domain.trace import traceparent_below
from pilothouse.engine.encoding import decode, encode, instant, raw
from pilothouse.engine.outbox import wrap_body
from pilothouse.engine.world import World
from pilothouse.errors import LimitReached
from pilothouse.ports.change import InsertDelivery, Row


class _Facts(Struct, kw_only=True):
    """What a receiver outside is told of an event."""

    event: str
    run: str
    agent: str
    session: str | None
    subject: str | None
    metadata: Raw
    created_at: str | None
    payload: Raw


def publish_event(world: World, run: Run, row: StepRow, traceparent: str | None) -> Sequence[Row]:
    """The deliveries of the event that the step `row` publishes, as rows of its Change. Raises `LimitReached`."""
    topic, found = row.name, world.receivers.find_topic(row.name, run.agent)
    if not found:
        return ()
    _, hops = origin_in(run.metadata)
    if hops >= world.limits.depth:
        raise LimitReached(what="Runs that start each other by topics", limit=world.limits.depth)
    if len(found) > FAN_OUT:
        raise LimitReached(what=f"The topic {topic!r}, by the number of those who listen to it,", limit=FAN_OUT)
    at = world.clock.now()
    event, payload = decode(row.output or b"null"), Raw(row.input or b"null")
    facts = encode(
        _Facts(
            event=event,
            run=run.id,
            agent=run.agent,
            session=run.session,
            subject=run.subject,
            metadata=raw(run.metadata),
            created_at=instant(run.created_at),
            payload=payload,
        )
    )
    inside = encode(
        Published(
            topic=topic,
            event=event,
            publisher=run.id,
            subject=run.subject,
            started_by=chain_below(run.started_by, run.agent),
            traceparent=traceparent_below(run.id, traceparent) if traceparent or world.is_traced else None,
            hops=hops + 1,
            payload=payload,
        )
    )
    rows = []
    for one in found:
        is_agent = one.name.startswith(SUBSCRIBER)
        if one.where and not fits(one.where, decode(facts)):
            continue
        body = inside if is_agent else wrap_body(topic, at, facts)
        lane = f"{one.name}\n{run.id}" if one.ordered else None
        id = ids.delivery_id(at, world.entropy.bits())
        rows.append(InsertDelivery(run.tenant, id, run.id, run.agent, topic, one.name, lane, body, at))
    return rows
