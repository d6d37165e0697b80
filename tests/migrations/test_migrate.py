"""Migrations: they lead to the schema as it is written down, and never leave half a layout.

A killed process is killed within a migration by a SQL function that the migration calls, so there is no luck in it.
"""

import signal
import subprocess
import sys
from importlib.resources import files

import apsw
import pytest
from msgspec.structs import replace

from pilothouse.errors import RecordsInvalid
from pilothouse.storage.records.migrate import Migration, migrate, migrations, schema_version
from pilothouse.storage.records.place import APPLICATION_ID
from pilothouse.storage.records.sqlite import SqliteRecords

LAYOUT = "select type, name, tbl_name, sql from sqlite_schema where name not like 'sqlite_%' order by type, name"


def layout_of(connection):
    """What the file has, whatever the whitespace and comments it was written with."""
    return [(kind, name, table, _plain(sql)) for kind, name, table, sql in connection.execute(LAYOUT)]


def _plain(sql):
    """One line; `alter table` puts its columns where no person would break a line."""
    text = " ".join(part for line in sql.splitlines() for part in line.partition("--")[0].split())
    return text.replace(" ,", ",").replace(" )", ")")


def migrated(path, known):
    connection = apsw.Connection(str(path))
    migrate(connection, known)
    return connection


def following(known, text):
    number = len(known) + 1
    return [*known, Migration(number, "pre_next", text)]


def test_the_migrations_lead_to_exactly_the_schema_that_is_written_down(tmp_path):
    written = apsw.Connection(":memory:")
    written.execute(files("pilothouse.storage.records").joinpath("schema.sql").read_text(encoding="utf-8"))
    brought = migrated(tmp_path / "records.db", migrations())
    assert layout_of(brought) == layout_of(written)
    assert len(layout_of(brought)) > 30
    brought.close()


def test_a_new_file_is_marked_as_ours_and_knows_its_version(tmp_path):
    connection = migrated(tmp_path / "records.db", migrations())
    assert connection.execute("pragma application_id").fetchall() == [(APPLICATION_ID,)]
    assert schema_version(connection) == len(migrations())
    connection.close()


def test_a_second_migration_changes_nothing(tmp_path):
    connection = migrated(tmp_path / "records.db", migrations())
    before = layout_of(connection), connection.execute("select * from migration").fetchall()
    migrate(connection, migrations())
    assert (layout_of(connection), connection.execute("select * from migration").fetchall()) == before
    connection.close()


def test_a_migration_that_is_new_is_applied_to_a_file_that_has_rows(tmp_path):
    known = migrations()
    connection = migrated(tmp_path / "records.db", known)
    connection.execute("insert into early_cancel values (1, 'acme', 'run_a', 1, 2)")
    migrate(connection, following(known, "alter table early_cancel add column reason text"))
    assert connection.execute("select run, reason from early_cancel").fetchall() == [("run_a", None)]
    assert schema_version(connection) == len(known) + 1
    connection.close()


def test_an_applied_migration_whose_text_was_changed_is_refused(tmp_path):
    known = migrations()
    connection = migrated(tmp_path / "records.db", known)
    changed = [*known[:-1], replace(known[-1], text=known[-1].text + "\n-- another thought")]
    with pytest.raises(RecordsInvalid, match="is not the one this release knows"):
        migrate(connection, changed)
    connection.close()


async def test_records_of_a_newer_release_are_refused_and_left_alone(tmp_path):
    path = tmp_path / "records.db"
    migrated(path, following(migrations(), "create table later(id text)")).close()
    before = path.read_bytes()
    with pytest.raises(RecordsInvalid, match="a newer release"):
        await SqliteRecords(str(path)).open()
    assert path.read_bytes()[100:] == before[100:]
    after = apsw.Connection(str(path))
    assert "later" in [name for _, name, _, _ in layout_of(after)]
    after.close()


async def test_the_database_of_another_program_is_refused(tmp_path):
    path = tmp_path / "records.db"
    other = apsw.Connection(str(path))
    other.execute("create table song(title text)")
    other.close()
    with pytest.raises(RecordsInvalid, match="another program"):
        await SqliteRecords(str(path)).open()


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "records.db"
    path.write_bytes(b"a letter, and a rather long one" * 400)
    with pytest.raises(RecordsInvalid, match="is not a database file"):
        await SqliteRecords(str(path)).open()


def test_a_migration_that_fails_half_way_leaves_the_layout_before_it(tmp_path):
    known = migrations()
    connection = migrated(tmp_path / "records.db", known)
    before = layout_of(connection)
    with pytest.raises(apsw.SQLError):
        migrate(connection, following(known, "create table half(id text); create table run(id text)"))
    assert not connection.in_transaction
    assert (layout_of(connection), schema_version(connection)) == (before, len(known))
    connection.close()


KILLED = """
import os, signal, sys
import apsw
from pilothouse.storage.records.migrate import Migration, migrate, migrations
connection = apsw.Connection(sys.argv[1])
connection.execute("pragma journal_mode = wal").fetchall()
connection.create_scalar_function("die", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
known, dying = migrations(), "create table half(id text); insert into half values ('a'); select die();"
if sys.argv[2] == "first":
    known[0] = Migration(1, known[0].name, known[0].text + dying)
else:
    known.append(Migration(len(known) + 1, "pre_next", dying))
migrate(connection, known)
"""


@pytest.mark.slow
@pytest.mark.parametrize("which", ["first", "next"])
async def test_a_process_that_is_killed_within_a_migration_leaves_a_file_that_opens(tmp_path, which):
    path = tmp_path / "records.db"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path), which], timeout=30, check=False)
    assert ended.returncode == -signal.SIGKILL
    records = SqliteRecords(str(path))
    await records.open()
    assert records.found_version == (0 if which == "first" else len(migrations()))
    assert records.schema_version() == len(migrations())
    await records.close()
    after = apsw.Connection(str(path))
    assert "half" not in [name for _, name, _, _ in layout_of(after)]
    assert after.execute("pragma integrity_check").fetchall() == [("ok",)]
    after.close()
