"""What an operator can learn of records on PostgreSQL without touching them; the connection is opened and closed again.

What is wrong is raised as the error that opening them would raise.
"""

import asyncio

import asyncpg
from msgspec import Struct

from pilothouse.storage.records.postgres.connection import LOST, PostgresConnection, connect
from pilothouse.storage.records.postgres.migrate import check_applied, postgres_migrations, schema_version
from pilothouse.storage.records.postgres.options import PostgresOptions
from pilothouse.storage.records.postgres.records import unreachable

DURABLE = ("fsync", "synchronous_commit", "full_page_writes")


class PostgresFacts(Struct, frozen=True):
    """`version` is the layout, `newest` the one this release would bring it to, `instant` what the clock of the server
    said (microseconds since 1970 UTC), `undurable` the settings with which a commit may be lost, `connections` how many
    the server takes in all."""

    server: str
    version: int
    newest: int
    instant: int
    undurable: tuple[str, ...]
    connections: int


def examine(url: str, options: PostgresOptions) -> PostgresFacts:
    """Raises `RecordsInvalid`."""
    return asyncio.run(_examine(url, options))


async def _examine(url: str, options: PostgresOptions) -> PostgresFacts:
    try:
        connection = await connect(url, options)
        try:
            return await connection.run(_look, connection)
        finally:
            await connection.close()
    except (*LOST, asyncpg.PostgresError) as error:
        raise unreachable(error) from error


def _look(connection: PostgresConnection) -> PostgresFacts:
    known = postgres_migrations()
    version = schema_version(connection)
    if version:
        check_applied(connection, known)
    shown = {name: connection.fetch(f"show {name}")[0][0] for name in (*DURABLE, "server_version", "max_connections")}
    return PostgresFacts(
        shown["server_version"].split()[0],
        version,
        len(known),
        connection.ask("now", {})[0][0],
        tuple(name for name in DURABLE if shown[name] == "off"),
        int(shown["max_connections"]),
    )
