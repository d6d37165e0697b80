"""Opened records in a file of the test's own folder, and a second look at what is in it."""

import contextlib

import apsw
import pytest

from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.sqlite import SqliteRecords


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.db"


@pytest.fixture
async def records(path):
    records = SqliteRecords(str(path), options=SqliteOptions(wal_size=0))
    await records.open()
    yield records
    await records.close()


@pytest.fixture
def looked_at(path):
    """Runs a query on a connection of its own."""

    def ask(query):
        with contextlib.closing(apsw.Connection(str(path))) as connection:
            return connection.execute(query).fetchall()

    return ask
