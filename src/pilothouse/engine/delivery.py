"""Deliveries as verbs: who sends claims some, says what came of each, and people look at them and ask for them again.

A claim ends by itself: a sender that dies leaves its deliveries due again, so each goes out at least once (I10). What a
sender says of an attempt that is not the current one is dropped.
"""

from pilothouse.domain.delivery import Answer, Delivery, DeliveryStatus, pause_after
from pilothouse.engine.world import World
from pilothouse.errors import DeliveryNotFound
from pilothouse.ports.change import (
    AllowReceiver,
    Change,
    Conflict,
    RetryDelivery,
    SettleDelivery,
    Statement,
    StopReceiver,
)
from pilothouse.ports.delivery import DeliveryFilter

SPARE = 10.0
"""Seconds for which a claim outlasts the longest try: time to say what came of it."""
REASON_LIMIT = 500


async def claim_deliveries(
    world: World, limit: int, busy: tuple[str, ...] = (), within: float = 50.0
) -> list[Delivery]:
    """Deliveries to be tried now; a try takes `within` seconds at most. Those of a receiver that wants no more are
    given up here, with its reason."""
    at = world.clock.now()
    due = await world.records.next_delivery()
    if due is None or due > at:
        return []
    claimed = await world.records.claim_deliveries(at, at + round((within + SPARE) * 1e6), limit, busy)
    stops: dict[tuple[str, str], str | None] = {}
    ready = []
    for one in claimed:
        key = (one.tenant, one.receiver)
        if key not in stops:
            stops[key] = await world.records.find_stop(*key)
        reason = stops[key]
        if reason is None:
            ready.append(one)
        else:
            await settle_delivery(world, one, Answer("dead", reason))
    return ready


async def settle_delivery(world: World, delivery: Delivery, answer: Answer) -> DeliveryStatus | None:
    """What came of the try: the state it leaves the delivery in. None: another attempt has it, and this one does not
    count."""
    at = world.clock.now()
    status: DeliveryStatus = "pending"
    due_at = finished_at = None
    if answer.verdict == "delivered":
        status, finished_at = "delivered", at
    else:
        pause = pause_after(delivery.attempt, world.entropy.draw(), answer.after) if answer.verdict == "again" else None
        if pause is None:
            status, finished_at = "dead", at
        else:
            due_at = at + round(pause * 1e6)
    reason = None if answer.reason is None else answer.reason[:REASON_LIMIT]
    settle = SettleDelivery(delivery.tenant, delivery.id, delivery.attempt, status, due_at, reason, finished_at)
    statements: list[Statement] = [settle]
    if answer.verdict == "gone":
        statements.append(StopReceiver(delivery.tenant, delivery.receiver, at, reason or "gone"))
    try:
        await world.records.commit(Change(tuple(statements)))
    except Conflict:
        return None
    return status


async def get_delivery(world: World, tenant: str, delivery: str) -> Delivery:
    found = await world.records.get_delivery(tenant, delivery)
    if found is None:
        raise DeliveryNotFound(delivery=delivery[:80])
    return found


async def list_deliveries(
    world: World, tenant: str, where: DeliveryFilter, cursor: str | None, limit: int
) -> tuple[list[Delivery], str | None]:
    return await world.records.list_deliveries(tenant, where, cursor, limit)


async def retry_delivery(world: World, tenant: str, delivery: str) -> Delivery:
    """Due at once, with all its tries before it, and its receiver is asked again if it had wanted no more. A delivered
    one goes out once more, under the same id."""
    found = await get_delivery(world, tenant, delivery)
    again = RetryDelivery(tenant, found.id, world.clock.now())
    try:
        await world.records.commit(Change((again, AllowReceiver(tenant, found.receiver))))
    except Conflict:
        raise DeliveryNotFound(delivery=delivery[:80]) from None
    world.bus.ring("delivery")
    return await get_delivery(world, tenant, delivery)
