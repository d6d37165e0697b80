"""Brings the file forward: numbered SQL files, each applied once in one exclusive transaction, never back.

A `pre` migration leaves a layout with which the code of the release before still works; a `post` one may not. The
digest of each is kept: a file that was changed after it had been applied somewhere is refused, and so are records that
a newer release has written. A process that dies within a migration leaves the layout as it was before it.
"""

import hashlib
import re
from importlib.resources import files
from typing import Any

import apsw
from msgspec import Struct

from pilothouse.errors import RecordsInvalid
from pilothouse.storage.records.place import APPLICATION_ID

_NAME = re.compile(r"(\d{4})_((?:pre|post)_\w+)\.sql\Z")

TABLE = """
create table migration(
  number integer primary key,
  name text not null,
  digest blob not null
) strict"""


class Migration(Struct, frozen=True):
    number: int
    name: str
    text: str

    @property
    def digest(self) -> bytes:
        return hashlib.blake2b(self.text.encode(), digest_size=32).digest()


def migrations() -> list[Migration]:
    """All that this release knows, in order."""
    names = ((_NAME.match(file.name), file) for file in files(__package__).joinpath("migrations").iterdir())
    found = [Migration(int(name[1]), name[2], file.read_text(encoding="utf-8")) for name, file in names if name]
    found.sort(key=lambda one: one.number)
    if [one.number for one in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are numbered from 1 without a gap")
    return found


def schema_version(connection: apsw.Connection) -> int:
    """The number of the last migration that was applied; 0 for an empty file."""
    if not connection.execute("select 1 from sqlite_schema where name = 'migration'").fetchall():
        return 0
    rows: list[Any] = connection.execute("select coalesce(max(number), 0) from migration").fetchall()
    return int(rows[0][0])


def migrate(connection: apsw.Connection, known: list[Migration]) -> None:
    """Applies what is missing. Raises `RecordsInvalid` for a foreign, a newer or a changed file."""
    refuse_foreign(connection)
    for migration in known[check_applied(connection, known) :]:
        connection.execute("begin exclusive")
        try:
            if migration.number == 1:
                connection.execute(f"pragma application_id = {APPLICATION_ID}")
                connection.execute(TABLE)
            connection.execute(migration.text)
            row = (migration.number, migration.name, migration.digest)
            connection.execute("insert into migration(number, name, digest) values (?, ?, ?)", row)
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise


def refuse_foreign(connection: apsw.Connection) -> None:
    [(mark,)] = connection.execute("pragma application_id").fetchall()
    [(tables,)] = connection.execute("select count(*) from sqlite_schema").fetchall()
    if mark != APPLICATION_ID and (tables or mark):
        raise RecordsInvalid(reason="the file is the database of another program", hint="Choose another file.")


def check_applied(connection: apsw.Connection, known: list[Migration]) -> int:
    """How many of the known ones were applied; raises when what was applied is not what is known."""
    version = schema_version(connection)
    if version > len(known):
        raise RecordsInvalid(
            reason=f"a newer release of Pilothouse has written them (layout {version}, this one knows {len(known)})",
            hint="Start the newer release, or restore a backup that was made before the upgrade.",
        )
    if version:
        rows = connection.execute("select number, name, digest from migration order by number").fetchall()
        for (number, name, digest), migration in zip(rows, known, strict=False):
            if (number, name, digest) != (migration.number, migration.name, migration.digest):
                raise RecordsInvalid(reason=f"their layout {number} ({name}) is not the one this release knows")
    return version
