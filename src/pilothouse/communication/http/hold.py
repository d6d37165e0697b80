"""The routes of holds: place, look, lift.

A lift of a hold over a whole tenant is answered with the hold as it still is, until a second person has asked as well.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.call import Call, check_cursor, tenant_of
from pilothouse.domain.hold import HoldStatus
from pilothouse.engine import hold as verbs
from pilothouse.wire.hold import HoldPage, HoldRequest, hold_view

YEAR = 366 * 86_400.0


class HoldsQuery(Struct, forbid_unknown_fields=True):
    status: HoldStatus | None = None
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    within_seconds: Annotated[float, Meta(ge=0, le=YEAR)] | None = None
    """Only those that were on at some moment of so long ago until now: a page may then be short and have a next one."""


async def list_holds(call: Call, query: HoldsQuery) -> None:
    check_cursor(query.cursor)
    found, cursor = await verbs.list_holds(call.front.world, tenant_of(call), query.status, query.cursor, query.limit,
                                         query.within_seconds)  # fmt: skip
    await call.show(HoldPage([hold_view(one) for one in found], cursor))


async def place_hold(call: Call, body: HoldRequest) -> None:
    """Nothing that it covers is started from here on. It is `effective` once nothing of it runs any more."""
    placed = await verbs.place_hold(
        call.front.world, call.principal, body.effect, body.selector, body.reason, incident=body.incident
    )
    await call.show(hold_view(placed), 201)


async def lift_hold(call: Call, hold: str) -> None:
    await call.show(hold_view(await verbs.lift_hold(call.front.world, call.principal, hold)))
