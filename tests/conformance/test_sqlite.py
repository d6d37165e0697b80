"""The SQLite records against every clause of the suite, in a file and in memory.

The clauses are the product's (`pilothouse.testing.records`); only the fixture is here.
"""

import pytest

from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records import RecordsSuite


class TestRecordsInAFile(RecordsSuite):
    @pytest.fixture
    async def records(self, tmp_path):
        records = SqliteRecords(str(tmp_path / "records.db"))
        await records.open()
        yield records
        await records.close()


class TestRecordsInMemory(RecordsSuite):
    @pytest.fixture
    async def records(self):
        records = SqliteRecords(":memory:")
        await records.open()
        yield records
        await records.close()
