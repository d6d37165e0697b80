"""A PostgreSQL for the tests of one process, and a database of its own for each test that asks for one.

Started when the first test wants it and removed after the last. A conftest takes the fixtures it needs from here.
"""

import itertools

import pytest

from pilothouse.storage.records.postgres.records import PostgresRecords
from pilothouse.testing.postgres import PostgresServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server():
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def database(postgres_server):
    """The name of an empty database."""
    name = f"test{next(_numbers)}"
    postgres_server.query("postgres", f"create database {name}")
    return name


@pytest.fixture
async def nodes(postgres_server, database):
    """Opens the records of as many nodes as are wanted, all on one database."""
    opened = []

    async def open_nodes(count, **options):
        found = [PostgresRecords(postgres_server.url(database), **options) for _ in range(count)]
        for records in found:
            await records.open()
            opened.append(records)
        return found

    yield open_nodes
    for records in opened:
        await records.close()
