"""What any backend of the records must do, as a test suite over the ports and nothing else.

A backend proves itself by a subclass in its own tests, with a fixture `records` that yields opened, empty records:

    @pytest.fixture
    async def records(tmp_path): ...

    class TestMyRecords(RecordsSuite): ...

The clauses need no clock, no sleep and no test framework but one that runs `async def test_...` methods.
"""

from pilothouse.testing.records.atomicity import AtomicityClauses
from pilothouse.testing.records.audit import AuditClauses
from pilothouse.testing.records.cost import CostClauses
from pilothouse.testing.records.delivery import DeliveryClauses
from pilothouse.testing.records.erasure import ErasureClauses
from pilothouse.testing.records.journal import JournalClauses
from pilothouse.testing.records.lists import ListClauses
from pilothouse.testing.records.queue import QueueClauses
from pilothouse.testing.records.review import ReviewClauses
from pilothouse.testing.records.run import RunClauses
from pilothouse.testing.records.session import SessionClauses
from pilothouse.testing.records.spend import SpendClauses
from pilothouse.testing.records.timer import TimerClauses


class RecordsSuite(
    RunClauses,
    QueueClauses,
    TimerClauses,
    JournalClauses,
    AtomicityClauses,
    SessionClauses,
    ReviewClauses,
    ListClauses,
    ErasureClauses,
    AuditClauses,
    DeliveryClauses,
    SpendClauses,
    CostClauses,
):
    """All clauses."""


__all__ = ["RecordsSuite"]
