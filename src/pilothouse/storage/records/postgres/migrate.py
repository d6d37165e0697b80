"""Brings a database forward: the migrations of both databases, in the words of PostgreSQL, in one transaction.

Nodes that start at once wait for each other, and the first does it. While nodes of the release before still run, only
`pre` migrations are applied; a `post` one waits for `pilothouse migrate`, which an operator calls when the last of
those is gone. Likewise a node starts on a layout that is newer than it knows, as long as what is new is `pre`.

To change a table is to lock it, and whoever wants the table meanwhile waits behind that lock, even while it is not
given yet because of a long reader (a backup, a report). So it is asked for shortly, and again after a pause.
"""

import asyncio
from importlib.resources import files
from typing import Any

import asyncpg
from msgspec.structs import replace

from pilothouse.errors import RecordsInvalid
from pilothouse.storage.records.migrate import TABLE, Migration, migrations
from pilothouse.storage.records.postgres.connection import PostgresConnection, connect
from pilothouse.storage.records.postgres.dialect import PACKAGE, translate_layout
from pilothouse.storage.records.postgres.options import PostgresOptions

LOCK = 0x50494C484D494752
"""Held while a layout is changed."""
LOCK_WITHIN = 2.0
PAUSE = 1.0
TRIES = 20
CHANGE_WITHIN = 3600.0
"""Seconds: for a lock on a table; until it is asked for again, so many times; and for one statement, such as an index
over all runs, or another node's whole migration."""
BUSY = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)


def postgres_migrations() -> list[Migration]:
    """All that this release knows, in order: what is common to both, then what PostgreSQL needs beyond."""
    folder = files(PACKAGE).joinpath("migrations/postgres")
    found = []
    for migration in migrations():
        own = folder.joinpath(f"{migration.number:04}_{migration.name}.sql")
        text = f"{migration.text}\n{own.read_text(encoding='utf-8')}" if own.is_file() else migration.text
        found.append(Migration(migration.number, migration.name, text))
    return found


def schema_version(connection: PostgresConnection) -> int:
    """The number of the last migration that was applied; 0 for an empty database."""
    if not connection.fetch("select to_regclass('migration') is not null")[0][0]:
        return 0
    return int(connection.fetch("select coalesce(max(number), 0)::bigint from migration")[0][0])


async def bring_forward(url: str, options: PostgresOptions, *, has_post: bool) -> tuple[int, int]:
    """`migrate`, again while tables are in use. Raises `RecordsInvalid` when they are for too long, and what `migrate`
    and `connect` raise."""
    known = postgres_migrations()
    connection = await connect(url, replace(options, answer_within=CHANGE_WITHIN))
    try:
        for left in reversed(range(TRIES)):
            try:
                return await connection.run(migrate, connection, known, has_post=has_post)
            except BUSY as error:
                if not left:
                    raise RecordsInvalid(
                        reason=f"their layout cannot be changed, since somebody uses the tables: {error}",
                        hint="See in pg_stat_activity who (a backup, a report); let it end, then start again.",
                    ) from error
                await asyncio.sleep(PAUSE)
    finally:
        await connection.close()
    raise AssertionError("the last try returns or raises")


def migrate(connection: PostgresConnection, known: list[Migration], *, has_post: bool) -> tuple[int, int]:
    """Applies what is missing: (before, after). Raises `RecordsInvalid` for a foreign, a changed, or a newer layout."""
    connection.execute("begin")
    try:
        connection.fetch(f"select pg_advisory_xact_lock({LOCK})")
        before = after = schema_version(connection)
        if before == 0:
            _refuse_foreign(connection)
            connection.execute(translate_layout(f"{TABLE};"))
        check_applied(connection, known)
        connection.execute(f"set local lock_timeout = {round(LOCK_WITHIN * 1000)}")
        for migration in known[before:]:
            if before and not has_post and migration.name.startswith("post"):
                break
            connection.execute(translate_layout(migration.text))
            row = (migration.number, migration.name, migration.digest)
            connection.fetch("insert into migration(number, name, digest) values ($1, $2, $3)", *row)
            after = migration.number
        connection.execute("commit")
    except BaseException:
        if not connection.is_closed:
            connection.execute("rollback")
        raise
    if any(one.name.startswith("pre") for one in known[after:]):
        raise RecordsInvalid(
            reason=f"layout {after + 1} ({known[after].name}) does not suit nodes of the release before",
            hint="Stop those, then run `pilothouse migrate`.",
        )
    return before, after


def _refuse_foreign(connection: PostgresConnection) -> None:
    [(tables,)] = connection.fetch(
        "select count(*) from pg_catalog.pg_tables where schemaname = current_schema() and tablename = any($1::text[])",
        ["run", "step", "event", "session", "turn", "review"],
    )
    if tables:
        raise RecordsInvalid(reason="the database is that of another program", hint="Make a database of its own.")


def check_applied(connection: PostgresConnection, known: list[Migration]) -> None:
    """Raises `RecordsInvalid` when what was applied is not what is known, or is beyond it and not `pre`."""
    rows: list[Any] = connection.fetch("select number, name, digest from migration order by number")
    for (number, name, digest), migration in zip(rows, known, strict=False):
        if (number, name, digest) != (migration.number, migration.name, migration.digest):
            raise RecordsInvalid(reason=f"their layout {number} ({name}) is not the one this release knows")
    if any(not name.startswith("pre") for _, name, _ in rows[len(known) :]):
        raise RecordsInvalid(
            reason=f"a newer release of Pilothouse has written them (layout {len(rows)}, this one knows {len(known)})",
            hint="Start the newer release, or restore a backup that was made before the upgrade.",
        )
