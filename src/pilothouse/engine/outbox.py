"""The transactional outbox: whoever writes an event also writes, in the same Change, the deliveries it calls for.

So nothing is told that did not happen, and nothing that happened stays untold, whatever is killed in between. When
nobody is to be told anything, this costs a look at two fields.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import json

from pilothouse.domain import ids
from pilothouse.domain.delivery import AlertEvent, OversightEvent, Receivers, Webhook, fits, lane_of
from pilothouse.domain.run import Run
from pilothouse.engine.encoding import decode, encode, instant, raw
from pilothouse.engine.review_link import make_link
from pilothouse.engine.world import World
from pilothouse.ports.change import InsertDelivery, Row

BODY_LIMIT = 256 * 1024
"""Bytes of a body. Of a longer one the receiver gets everything but what the event itself says, and the address of the
run where it may ask for that."""
BELL = "delivery"
NONE: Sequence[Row] = ()
ReviewEvent = Literal["review.requested", "review.escalated", "review.decided"]
LINKED = frozenset({"review.requested", "review.escalated"})
"""What asks somebody: it brings a link to the question."""

_decode = json.Decoder(Webhook).decode


def read_webhook(run: Run) -> Webhook | None:
    return None if run.webhook is None else _decode(run.webhook)


def deliveries_of(world: World, run: Run, at: int, lines: Iterable[bytes]) -> Sequence[Row]:
    """The deliveries that these events of the run call for, as rows of the Change that keeps the events. `lines` as
    `domain.event.line` makes them."""
    receivers = world.receivers
    if not receivers and run.webhook is None:
        return NONE
    webhook = read_webhook(run)
    rows: list[Row] = []
    for line in b"".join(lines).splitlines():
        kind, _, body = line.partition(b" ")
        rows += _rows(world, run, at, kind.decode(), body, receivers, webhook)
    if rows:
        world.bus.ring(BELL)
    return rows


def _rows(
    world: World, run: Run, at: int, kind: str, event: bytes, receivers: Receivers, webhook: Webhook | None
) -> list[Row]:
    body: bytes | None = None
    found: list[Row] = []

    if kind in LINKED and world.links is not None:
        event = _with_link(world, run.tenant, event)

    def add(receiver: str, ordered: bool) -> None:
        nonlocal body
        body = body or make_body(run, at, kind, event)
        lane = lane_of(run, receiver) if ordered else None
        id = ids.delivery_id(at, world.entropy.bits())
        found.append(InsertDelivery(run.tenant, id, run.id, run.agent, kind, receiver, lane, body, at))

    if receivers.wants(kind):
        for one in receivers.find(kind, run.agent):
            if not one.where or fits(one.where, decode(make_facts(run, event))):
                add(one.name, one.ordered)
    if webhook is not None and kind in webhook.events:
        add(webhook.url, webhook.ordered)
    return found


def tell_override(world: World, run: Run, at: int, facts: bytes, *, must: bool) -> Sequence[Row]:
    """That something of the run was overridden, for the receivers that want to hear of it. No event of the run: that
    has ended. `must`: its webhook hears of it too, whatever it asked for (G4)."""
    kind: OversightEvent = "override.made"
    rows = _rows(world, run, at, kind, facts, world.receivers, None)
    webhook = read_webhook(run)
    if must and webhook is not None:
        id, body = ids.delivery_id(at, world.entropy.bits()), make_body(run, at, kind, facts)
        rows.append(InsertDelivery(run.tenant, id, run.id, run.agent, kind, webhook.url, None, body, at))
    if rows:
        world.bus.ring(BELL)
    return rows


def tell_review(
    world: World, tenant: str, run: Run | None, kind: ReviewEvent, agent: str, facts: bytes
) -> Sequence[Row]:
    """What becomes of a question that is in no event of a run: one asked after the fact, or the next role asked. For
    the receivers that want to hear of it; that somebody answered also for the webhook of the run, if it asked for it.
    `facts`: a JSON object with the `review`."""
    if run is None:
        rows = _of_no_run(world, tenant, kind, agent, facts) if world.receivers.wants(kind) else []
    else:
        webhook = read_webhook(run) if kind == "review.decided" else None
        rows = _rows(world, run, world.clock.now(), kind, facts, world.receivers, webhook)
    if rows:
        world.bus.ring(BELL)
    return rows


def _with_link(world: World, tenant: str, event: bytes) -> bytes:
    """The link to the review is for who is told, and in no event of the run."""
    link = make_link(world, tenant, decode(event)["review"])
    return event if link is None else event[:-1] + b',"link":%b}' % encode(link)


def tell_alert(world: World, kind: AlertEvent, agent: str, facts: bytes) -> Sequence[Row]:
    """An alert for the receivers that want to hear of alerts, as rows of the Change that keeps it: nobody's run, but
    deliveries like any other. `facts`: a JSON object."""
    return _of_no_run(world, ids.DEFAULT_TENANT, kind, agent, facts) if world.receivers.wants(kind) else NONE


def tell_checkpoint(world: World, tenant: str, note: str, size: int) -> Sequence[Row]:
    """A checkpoint for the receivers that keep those of this deployment, as rows of the Change that keeps it here."""
    kind: OversightEvent = "audit.checkpoint"
    if not world.receivers.wants(kind):
        return NONE
    return _of_no_run(world, tenant, kind, "", encode({"tenant": tenant, "size": size, "checkpoint": note}))


def _of_no_run(world: World, tenant: str, kind: str, agent: str, facts: bytes) -> list[Row]:
    at = world.clock.now()
    found: list[Row] = []
    if kind in LINKED and world.links is not None:
        facts = _with_link(world, tenant, facts)
    for one in world.receivers.find(kind, agent):
        if not one.where or fits(one.where, decode(facts)):
            id, body = ids.delivery_id(at, world.entropy.bits()), wrap_body(kind, at, facts)
            found.append(InsertDelivery(tenant, id, "", agent, kind, one.name, None, body, at))
    return found


def make_body(run: Run, at: int, kind: str, event: bytes) -> bytes:
    """The body as Standard Webhooks wants it: what happened, when, and the facts."""
    data = make_facts(run, event)
    if len(data) > BODY_LIMIT:
        data = make_facts(run, b'{"omitted":true}')
    return wrap_body(kind, at, data)


def wrap_body(kind: str, at: int, data: bytes) -> bytes:
    """A body of Standard Webhooks. `data`: a JSON object."""
    return b'{"type":"%b","timestamp":"%b","data":%b}' % (kind.encode(), (instant(at) or "").encode(), data)


def make_facts(run: Run, event: bytes) -> bytes:
    """The run by what its caller knows it, and then what the event says."""
    known: dict[str, object] = {
        "run": run.id,
        "agent": run.agent,
        "session": run.session,
        "subject": run.subject,
        "metadata": raw(run.metadata),
        "created_at": instant(run.created_at),
    }
    if event.startswith(b'{"agent":'):  # the event says it itself
        del known["agent"]
    if event == b"{}":
        return encode(known)
    return encode(known)[:-1] + b"," + event[1:]
