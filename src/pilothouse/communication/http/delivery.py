"""The routes of deliveries, and the check of a webhook that a request brings.

A webhook is looked at when it is asked for, so that a caller hears of a mistake while it is there to mend it; whether
its name leads to a closed address is looked at again on every try, since names move.
"""

from ipaddress import ip_address
from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.call import Call, check_cursor, tenant_of
from pilothouse.domain.address import read_url, refusal
from pilothouse.domain.delivery import ENDS, DeliveryStatus, Webhook
from pilothouse.engine import delivery as verbs
from pilothouse.errors import Unsupported, WebhookRefused
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.wire.delivery import DeliveryPage, delivery_view
from pilothouse.wire.run import WebhookRequest


class DeliveriesQuery(Struct, forbid_unknown_fields=True):
    status: DeliveryStatus | None = None
    run: Annotated[str, Meta(max_length=256)] | None = None
    receiver: Annotated[str, Meta(max_length=2048)] | None = None
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


def read_webhook(call: Call, asked: WebhookRequest) -> Webhook:
    """Raises `Unsupported` without a secret to sign with, `WebhookRefused` for an address that is closed."""
    if not call.front.world.receivers.signs:
        raise Unsupported(
            what="A webhook",
            hint="The operator sets deliveries.secret (PILOTHOUSE_DELIVERIES_SECRET), with which webhooks are signed.",
        )
    try:
        place = read_url(asked.url)
    except ValueError as fault:
        raise WebhookRefused(reason=str(fault)) from None
    try:
        ip_address(place.host)
    except ValueError:
        pass  # a name, which is looked up when it is needed
    else:
        why = refusal(place.host, call.front.options.allowed)
        if why is not None:
            raise WebhookRefused(reason=f"its address is {why}")
    return Webhook(asked.url, ENDS if asked.events is None else tuple(asked.events), asked.ordered)


async def list_deliveries(call: Call, query: DeliveriesQuery) -> None:
    check_cursor(query.cursor)
    where = DeliveryFilter(query.status, query.run, query.receiver)
    found, cursor = await verbs.list_deliveries(call.front.world, tenant_of(call), where, query.cursor, query.limit)
    await call.show(DeliveryPage([delivery_view(one) for one in found], cursor))


async def get_delivery(call: Call, delivery: str) -> None:
    await call.show(delivery_view(await verbs.get_delivery(call.front.world, tenant_of(call), delivery)))


async def retry_delivery(call: Call, delivery: str) -> None:
    """Due at once, with all its tries before it; its receiver is asked again even if it had answered 410. One that was
    delivered goes out once more, with the same id."""
    found = await verbs.retry_delivery(call.front.world, tenant_of(call), delivery)
    await call.show(delivery_view(found), 202)
