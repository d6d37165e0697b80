"""Clauses about what goes: pruning old runs with all that hangs on them, and nothing else.

A backend that keeps long payloads aside must keep them as long as somebody uses them, and no longer; the first half is
looked at here, the second in the backend's own tests.
"""

from pilothouse.ports.change import InsertIdempotency, RememberCancel
from pilothouse.testing.records.build import (
    AGENT,
    AT,
    LONG,
    SECOND,
    TENANT,
    OpenRecords,
    all_events,
    asks,
    born,
    ended,
    fence,
    finish,
    put,
    queued,
    read,
    step,
    takes,
    told,
    turn,
)

LATER = AT + 100 * SECOND


class ErasureClauses:
    async def test_runs_that_ended_long_ago_go_with_all_that_hangs_on_them(self, records: OpenRecords) -> None:
        await put(records, born("run_a", input=LONG))
        await put(records, fence("run_a"), step("run_a", ended("s", LONG)), asks("rev_1", "run_a", details=LONG))
        await put(records, finish("run_a", output=LONG), told("run_a", "run.succeeded"))
        await put(records, born("run_b", input=LONG), finish("run_b", finished_at=LATER))
        assert await records.prune(LATER, 100) == 1
        assert await records.get_run(TENANT, "run_a") is None
        assert await records.load_journal(TENANT, "run_a") == []
        assert await all_events(records, "run_a") == []
        assert await records.get_review(TENANT, "rev_1") is None
        assert (await read(records, "run_b")).input == LONG
        assert await records.prune(LATER + 1, 100) == 1
        assert await records.prune(LATER + 1, 100) == 0

    async def test_live_runs_and_turns_of_sessions_are_never_pruned(self, records: OpenRecords) -> None:
        await put(records, queued("run_q"), born("run_r"), turn("run_t"))
        await put(records, finish("run_t"), takes("run_t"))
        assert await records.prune(LATER, 100) == 0
        for run in ("run_q", "run_r", "run_t"):
            await read(records, run)

    async def test_pruning_goes_in_bounded_rounds_oldest_first(self, records: OpenRecords) -> None:
        for number in range(5):
            await put(records, born(f"run_{number}"), finish(f"run_{number}", finished_at=AT + 5 - number))
        assert await records.prune(LATER, 2) == 2
        assert await records.get_run(TENANT, "run_4") is None
        assert await records.get_run(TENANT, "run_3") is None
        assert [await records.prune(LATER, 2) for _ in range(3)] == [2, 1, 0]

    async def test_a_long_payload_stays_as_long_as_somebody_uses_it(self, records: OpenRecords) -> None:
        await put(records, born("run_a", input=LONG), finish("run_a"))
        await put(records, turn("run_t", input=LONG))
        await put(records, finish("run_t"), takes("run_t", state=LONG))
        await put(records, born("run_x", tenant="other", input=LONG), finish("run_x", tenant="other"))
        await put(records, born("run_b", input=LONG))
        assert await records.prune(LATER, 100) == 2
        assert (await read(records, "run_b")).input == LONG
        [only] = await records.list_turns(TENANT, AGENT, "chat", None, 10)
        session = await records.get_session(TENANT, AGENT, "chat")
        assert session is not None
        assert only.input == session.state == LONG

    async def test_an_id_of_a_pruned_run_starts_anew(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), told("run_a", "run.queued", "run.started"))
        await put(records, finish("run_a"))
        await records.prune(LATER, 100)
        assert (await put(records, born("run_a"), told("run_a", "run.queued"))).seq == 1

    async def test_expired_keys_and_remembered_cancels_go(self, records: OpenRecords) -> None:
        await put(records, InsertIdempotency(TENANT, "old", b"d", "run_a", AT, AT + 1))
        await put(records, InsertIdempotency(TENANT, "new", b"d", "run_a", AT, LATER + 1))
        await put(
            records, RememberCancel(TENANT, "run_old", AT, AT + 1), RememberCancel(TENANT, "run_new", AT, LATER + 1)
        )
        await records.prune(LATER, 100)
        assert await records.find_idempotency(TENANT, "old", AT) is None
        assert await records.find_idempotency(TENANT, "new", AT) is not None
        assert (await put(records, born("run_old", created_at=AT))).status == "running"
        assert (await put(records, born("run_new", created_at=AT))).status == "queued"
