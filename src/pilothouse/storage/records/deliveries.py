"""Deliveries in the records: claims within the writer's transaction, and reads.

A claim is told by `due_at` and `attempt` alone, so one that nobody settles ends by itself.
"""

from typing import Any

from pilothouse.domain.delivery import Delivery
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.storage.records import cursor as cursors
from pilothouse.storage.records.reads import END, ROWS_LIMIT
from pilothouse.storage.records.rows import delivery_of
from pilothouse.storage.records.statements import Database, ask, many


def claim_deliveries(connection: Database, at: int, until: int, limit: int, busy: tuple[str, ...]) -> list[Delivery]:
    words = f" {' '.join(busy)} "
    due = [pos for (pos,) in ask(connection, "due_deliveries", at=at, limit=limit, busy=words)]
    claimed = {row[0]: row[1:] for row in many(connection, "claim_deliveries", [(pos, until) for pos in due])}
    return [delivery_of(connection, claimed[pos]) for pos in due]


def next_delivery(connection: Database) -> int | None:
    [(at,)] = ask(connection, "next_delivery")
    return at if at is None else int(at)


def get_delivery(connection: Database, tenant: str, delivery: str) -> Delivery | None:
    rows = ask(connection, "get_delivery", tenant=tenant, delivery=delivery)
    return delivery_of(connection, rows[0]) if rows else None


def list_deliveries(
    connection: Database, tenant: str, where: DeliveryFilter, cursor: str | None, limit: int
) -> tuple[list[Delivery], str | None]:
    limit = min(limit, ROWS_LIMIT)
    of = ("deliveries", tenant, where)
    before = END if cursor is None else cursors.read(cursor, *of)
    values: dict[str, Any] = {"tenant": tenant, "before": before, "limit": limit + 1}
    values |= {"status": where.status, "receiver": where.receiver}
    if where.run is not None:
        rows = ask(connection, "list_deliveries_of_run", run=where.run, **values)
    elif where.status in ("pending", "dead"):
        rows = ask(connection, "list_open_deliveries", **values)
    else:
        rows = ask(connection, "list_deliveries", **values)
    more = cursors.make(rows[limit - 1][0], *of) if len(rows) > limit else None
    return [delivery_of(connection, row[1:]) for row in rows[:limit]], more


def find_stop(connection: Database, tenant: str, receiver: str) -> str | None:
    rows = ask(connection, "find_stop", tenant=tenant, receiver=receiver)
    return str(rows[0][0]) if rows else None
