"""The records on a real PostgreSQL against every clause of the suite that those on SQLite pass.

The clauses are the product's (`pilothouse.testing.records`); only the fixture is here.
"""

import pytest

from pilothouse.storage.records.postgres.options import PostgresOptions
from pilothouse.storage.records.postgres.records import PostgresRecords
from pilothouse.testing.records import RecordsSuite


class TestRecordsOnPostgres(RecordsSuite):
    @pytest.fixture
    async def records(self, postgres_server, database):
        records = PostgresRecords(postgres_server.url(database))
        await records.open()
        yield records
        await records.close()


class TestRecordsBehindAPool(RecordsSuite):
    """As PgBouncer in transaction mode wants it: no statement is kept in a connection between two transactions."""

    @pytest.fixture
    async def records(self, postgres_server, database):
        records = PostgresRecords(postgres_server.url(database), options=PostgresOptions(is_pooled=True))
        await records.open()
        yield records
        await records.close()
