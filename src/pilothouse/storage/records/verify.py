"""Whether a database file is whole: what SQLite can tell, and what only we can.

SQLite checks its own pages and indexes. That every reference to a payload has its payload, and that every payload is
what its digest says, is checked here, as is the layout.
"""

from typing import Any

import apsw
from msgspec import Struct

from pilothouse.errors import RecordsInvalid
from pilothouse.storage.records.migrate import schema_version
from pilothouse.storage.records.payload import digest_of

TABLES = ("run", "step", "event", "session", "turn", "review", "idempotency", "early_cancel", "payload", "payload_use")


class Facts(Struct, frozen=True):
    """What a copy must have in common with its original."""

    version: int
    rows: dict[str, int]
    last: dict[str, int]


def facts_of(connection: apsw.Connection) -> Facts:
    rows = {table: _number(connection, f"select count(*) from {table}") for table in TABLES}
    last = {
        table: _number(connection, f"select coalesce(max(pos), 0) from {table}")
        for table in TABLES
        if table != "payload_use"
    }
    return Facts(schema_version(connection), rows, last)


def verify(connection: apsw.Connection, name: str) -> None:
    """Raises `RecordsInvalid` with what is wrong."""
    for (verdict,) in connection.execute("pragma integrity_check(1)"):
        if verdict != "ok":
            raise RecordsInvalid(reason=f"{name} is damaged: {str(verdict).splitlines()[-1]}")
    lost = _number(
        connection,
        "select count(*) from payload_use as u where not exists ("
        " select 1 from payload as p where p.tenant = u.tenant and p.digest = u.digest)",
    )
    if lost:
        raise RecordsInvalid(reason=f"{name} lacks {lost} long payloads that are referred to")
    for digest, content in connection.execute("select digest, bytes from payload"):
        if not isinstance(content, bytes) or digest_of(content) != digest:
            raise RecordsInvalid(reason=f"{name} has a long payload that is not what its digest says")
    orphans = _number(
        connection,
        "select count(*) from event where seq = 1 and not exists ("
        " select 1 from run where run.tenant = event.tenant and run.id = event.run)",
    )
    if orphans:
        raise RecordsInvalid(reason=f"{name} has events of {orphans} runs that it lacks")


def _number(connection: apsw.Connection, query: str) -> int:
    rows: list[Any] = connection.execute(query).fetchall()
    return int(rows[0][0])
