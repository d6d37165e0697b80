"""Clauses about what becomes due: delays, wake-ups, deadlines, cancels of idle runs (I9).

Time is a value that is passed in; no clause waits for it.
"""

from pilothouse.ports.change import AdvanceSession, ParkRun, RequestCancel, RequeueRun
from pilothouse.testing.records.build import (
    AGENT,
    AT,
    SECOND,
    TENANT,
    OpenRecords,
    asks,
    born,
    claim,
    delayed,
    finish,
    put,
    queued,
    read,
    turn,
    wish,
)


class TimerClauses:
    async def test_a_delayed_run_becomes_ready_when_its_time_has_come_and_not_before(
        self, records: OpenRecords
    ) -> None:
        await put(records, delayed("run_a", AT + 50))
        assert await records.next_due() == AT + 50
        assert await records.wake_due(AT + 49, 10) == 0
        assert await records.claim(claim(wish(1))) == []
        assert await records.wake_due(AT + 50, 10) == 1
        assert await records.wake_due(AT + 50, 10) == 0
        assert await records.next_due() is None
        assert [run.id for run in await records.claim(claim(wish(1)))] == ["run_a"]

    async def test_a_waiting_run_is_queued_when_its_time_has_come(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), ParkRun(TENANT, "run_a", 1, 0, AT + 50))
        assert await records.wake_due(AT + 50, 10) == 1
        run = await read(records, "run_a")
        assert (run.status, run.ready, run.due_at, run.wakes) == ("queued", True, None, 0)

    async def test_a_wait_without_a_time_is_never_due(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), ParkRun(TENANT, "run_a", 1, 0, None))
        assert await records.next_due() is None
        assert await records.wake_due(AT + 10**12, 10) == 0

    async def test_what_is_due_is_woken_in_bounded_rounds(self, records: OpenRecords) -> None:
        for number in range(5):
            await put(records, delayed(f"run_{number}", AT + number))
        assert [await records.wake_due(AT + 10, 2) for _ in range(4)] == [2, 2, 1, 0]
        assert len(await records.claim(claim(wish(9)))) == 5

    async def test_the_next_instant_is_the_earliest_of_all_kinds(self, records: OpenRecords) -> None:
        await put(records, delayed("run_a", AT + 50))
        await put(records, born("run_b", deadline_at=AT + 40))
        assert await records.next_due() == AT + 40
        await put(records, asks("rev_1", "run_b", expires_at=AT + 30))
        assert await records.next_due() == AT + 30
        await put(records, delayed("run_c", AT + 20))
        assert await records.next_due() == AT + 20

    async def test_deadlines_of_ended_runs_are_never_due(self, records: OpenRecords) -> None:
        await put(records, born("run_a", deadline_at=AT + 40), finish("run_a"))
        assert await records.next_due() is None
        assert await records.list_overdue(AT + 50, 10) == []

    async def test_live_runs_past_their_deadline_are_found(self, records: OpenRecords) -> None:
        await put(records, born("run_a", deadline_at=AT + 40), queued("run_b", deadline_at=AT + 41))
        await put(records, queued("run_c"))
        assert [run.id for run in await records.list_overdue(AT + 39, 10)] == []
        assert [run.id for run in await records.list_overdue(AT + 40, 10)] == ["run_a"]
        assert {run.id for run in await records.list_overdue(AT + 41, 10)} == {"run_a", "run_b"}
        assert len(await records.list_overdue(AT + 41, 1)) == 1

    async def test_idle_runs_that_somebody_wants_cancelled_are_found(self, records: OpenRecords) -> None:
        await put(records, queued("run_a"), born("run_b"), queued("run_c"))
        for run in ("run_a", "run_b"):
            await put(records, RequestCancel(TENANT, run, AT, "enough", False))
        assert [run.id for run in await records.list_overdue(AT, 10)] == ["run_a"]

    async def test_a_run_that_is_overdue_twice_is_found_once(self, records: OpenRecords) -> None:
        await put(records, queued("run_a", deadline_at=AT + 1))
        await put(records, RequestCancel(TENANT, "run_a", AT, "enough", False))
        assert [run.id for run in await records.list_overdue(AT + 1, 10)] == ["run_a"]

    async def test_two_delayed_turns_that_become_due_together_run_one_after_the_other(
        self, records: OpenRecords
    ) -> None:
        for number in range(3):
            await put(records, delayed(f"run_{number}", AT + 50, "chat"))
        assert await records.wake_due(AT + 50, 10) == 3
        assert [run.id for run in await records.claim(claim(wish(9)))] == ["run_0"]
        assert await records.wake_due(AT + SECOND, 10) == 0

    async def test_a_turn_that_is_due_stands_behind_the_one_in_progress(self, records: OpenRecords) -> None:
        await put(records, delayed("run_0", AT + 50, "chat"))
        other = await put(records, turn("run_1", "another"))
        assert other.status == "running"
        await put(records, turn("run_2"))
        assert (await read(records, "run_2")).ready is False
        assert await records.wake_due(AT + 50, 10) == 1
        assert [run.id for run in await records.claim(claim(wish(9)))] == ["run_0"]

    async def test_a_turn_between_two_attempts_is_not_overtaken(self, records: OpenRecords) -> None:
        await put(records, turn("run_0"))
        await put(records, turn("run_1"))
        await put(records, RequeueRun(TENANT, "run_0", 1, 2, 0, AT + 50))
        assert await records.claim(claim(wish(9))) == []
        assert await records.wake_due(AT + 50, 10) == 1
        assert [run.id for run in await records.claim(claim(wish(9)))] == ["run_0"]

    async def test_an_older_delayed_turn_does_not_block_one_that_has_begun(self, records: OpenRecords) -> None:
        """The older turn becomes due while a younger one, which began before, is between two attempts."""
        await put(records, delayed("run_delayed", AT + 10, "chat"))
        await put(records, turn("run_begun"))
        await put(records, AdvanceSession(TENANT, "chat", AGENT, AT))
        assert [run.id for run in await records.claim(claim(wish(9)))] == ["run_begun"]
        await put(records, RequeueRun(TENANT, "run_begun", 1, 2, 0, AT + 50))
        assert await records.wake_due(AT + 10, 10) == 1
        assert await records.claim(claim(wish(9))) == []
        assert await records.wake_due(AT + 50, 10) == 1
        assert [run.id for run in await records.claim(claim(wish(9)))] == ["run_begun"]
        await put(records, finish("run_begun", 3), AdvanceSession(TENANT, "chat", AGENT, AT))
        assert [run.id for run in await records.claim(claim(wish(9)))] == ["run_delayed"]
