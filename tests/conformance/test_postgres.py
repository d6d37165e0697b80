"""The records on a real PostgreSQL against every clause of the suite that those on SQLite pass.

The clauses are the product's (`pilothouse.testing.records`); only the fixture is here.
"""

import pytest

from pilothouse.storage.records.postgres.options import PostgresOptions
from pilothouse.storage.records.postgres.records import PostgresRecords
from pilothouse.testing.records import RecordsSuite
from tests.databases import require_pool


class TestRecordsOnPostgres(RecordsSuite):
    @pytest.fixture
    async def records(self, postgres_server, database):
        records = PostgresRecords(postgres_server.url(database))
        await records.open()
        yield records
        await records.close()


class TestRecordsBehindAPool(RecordsSuite):
    """Behind PgBouncer in transaction mode, which gives each transaction another connection: nothing is kept in one
    between two transactions. Where it is not installed: without it, and with the same options."""

    @pytest.fixture
    async def records(self, postgres_server, database, pool):
        url = postgres_server.url(database) if pool is None else pool.url(database)
        records = PostgresRecords(url, options=PostgresOptions(is_pooled=True))
        await records.open()
        yield records
        await records.close()
        assert postgres_server.query(database, "select count(*) from lane") == "0"
        if pool is not None:
            await pool.let_go(database)


def test_the_pool_of_these_tests_is_pgbouncer_itself(pool):
    require_pool(pool)
