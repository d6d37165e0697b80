"""A PostgreSQL for the tests of one process, and a database of its own for each test that asks for one.

Started when the first test wants it and removed after the last. A conftest takes the fixtures it needs from here.
"""

import itertools
import os

import pytest

from pilothouse.storage.records.postgres.records import PostgresRecords
from pilothouse.testing.postgres import PostgresServer
from tests.pool import PgBouncer, program

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server():
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def pool(postgres_server):
    """PgBouncer before that server; None where it is not installed."""
    if program() is None:
        yield None
        return
    pool = PgBouncer(postgres_server.port)
    try:
        pool.start()
        yield pool
    finally:
        pool.remove()


def require_pool(pool):
    """Leaves a test out that needs it; continuous integration must have it."""
    if pool is None:
        if os.environ.get("BROKERS") == "required":
            pytest.fail("pgbouncer is not installed")
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")


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
