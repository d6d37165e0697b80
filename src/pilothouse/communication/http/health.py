"""What a supervisor asks: does the process live, can it serve, and what does it count.

`/healthz` touches nothing, so that a node whose records are slow is not killed for it. `/readyz` reads the records and
is red while the node drains. Both are answered under overload and to any Host, since they tell nothing.
"""

from asyncio import timeout
from typing import Literal

from msgspec import Struct

from pilothouse.communication.http.call import Call
from pilothouse.engine.alert import list_alerts as read_alerts
from pilothouse.errors import Draining, RecordsUnavailable
from pilothouse.wire.alert import AlertPage, alert_view

METRICS_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Health(Struct):
    status: Literal["ok"] = "ok"


OK = Health()


async def get_health(call: Call) -> None:
    await call.show(OK)


async def get_readiness(call: Call) -> None:
    front = call.front
    if front.world.is_draining:
        raise Draining()
    try:
        async with timeout(front.options.probe_within):
            await front.world.records.next_due()
    except TimeoutError:
        raise RecordsUnavailable("The records do not answer.") from None
    await call.show(OK)


async def get_metrics(call: Call) -> None:
    await call.answer(200, call.front.meter.render(), media=METRICS_TEXT)


class AlertsQuery(Struct, forbid_unknown_fields=True):
    resolved: bool = False


async def list_alerts(call: Call, query: AlertsQuery) -> None:
    """Those that fire, of all nodes; with `resolved=true` also the last ones that did."""
    found = await read_alerts(call.front.world, query.resolved)
    await call.show(AlertPage([alert_view(alert) for alert in found], None))
