"""Clauses about one run: being born, moving between states, ending once (I1), fencing (I6).

Each clause moves a run with the statements alone, as the engine does, and reads it back.
"""

from msgspec.structs import replace

from pilothouse.ports.change import (
    EndIdleRun,
    EndLostRun,
    InsertIdempotency,
    KeepRun,
    ParkRun,
    RememberCancel,
    RequestCancel,
    RequeueRun,
    SupersedeRun,
    WakeRun,
)
from pilothouse.testing.records.build import (
    AT,
    LEASE,
    SECOND,
    TENANT,
    OpenRecords,
    all_events,
    born,
    claim,
    delayed,
    falls,
    fence,
    finish,
    put,
    queued,
    read,
    told,
    wish,
)


class RunClauses:
    # --- birth --------------------------------------------------------------------------------------------------------

    async def test_a_new_run_is_read_back_as_it_was_inserted(self, records: OpenRecords) -> None:
        change = queued(
            "run_a",
            subject="ann",
            priority=3,
            metadata=b'{"k":"v"}',
            deadline_at=AT + 9,
            parent="run_p",
            parent_key="call-1",
            origin="run_o",
        )
        receipt = await put(records, change, told("run_a", "run.queued"))
        assert (receipt.status, receipt.seq) == ("queued", 1)
        run = await read(records, "run_a")
        for name in ("agent", "release", "mode", "subject", "priority", "input", "metadata", "parent", "origin"):
            assert getattr(run, name) == getattr(change, name)
        assert (run.status, run.ready, run.epoch, run.attempt, run.losses, run.wakes) == ("queued", True, 0, 1, 0, 0)
        assert (run.output, run.error, run.usage, run.cancel_at, run.rollback) == (None, None, None, None, False)

    async def test_a_run_can_be_born_claimed(self, records: OpenRecords) -> None:
        receipt = await put(records, born("run_a"))
        assert receipt.status == "running"
        run = await read(records, "run_a")
        assert (run.owner, run.lease_until, run.epoch, run.started_at) == ("node-1", LEASE, 1, AT)
        assert run.ready is False

    async def test_an_id_is_taken_once(self, records: OpenRecords) -> None:
        await put(records, queued("run_a"))
        again = put(records, queued("run_a", input=b"2"), told("run_a", "run.queued"))
        assert await falls(again) == "insert_run"
        assert (await read(records, "run_a")).input == b'{"n":1}'
        assert await all_events(records, "run_a") == []

    async def test_the_same_id_in_another_tenant_is_another_run(self, records: OpenRecords) -> None:
        await put(records, queued("run_a", input=b"1"))
        await put(records, queued("run_a", tenant="other", input=b"2"))
        assert (await read(records, "run_a")).input == b"1"
        assert (await read(records, "run_a", "other")).input == b"2"
        assert await records.get_run("third", "run_a") is None

    async def test_a_run_that_ended_before_it_was_kept(self, records: OpenRecords) -> None:
        kept = KeepRun(
            TENANT, "run_k", "desk", "r1", "ann", "failed", b"1", None, b'{"code":"x"}', b"{}", b"{}", 1, AT, AT, AT + 5
        )
        assert (await put(records, kept, told("run_k", "run.started", "run.failed"))).status == "failed"
        run = await read(records, "run_k")
        assert (run.mode, run.status, run.error, run.finished_at) == ("stateless", "failed", b'{"code":"x"}', AT + 5)
        assert await falls(put(records, kept)) == "keep_run"

    # --- fencing and ends ---------------------------------------------------------------------------------------------

    async def test_a_fence_stands_only_for_the_epoch_that_holds_the_run(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        assert (await put(records, fence("run_a"), told("run_a", "run.started"))).seq == 1
        for wrong in (fence("run_a", 0), fence("run_a", 2), fence("run_b"), fence("run_a", tenant="other")):
            assert await falls(put(records, wrong, told("run_a", "step.started"))) == "fence"
        assert len(await all_events(records, "run_a")) == 1

    async def test_a_finished_run_takes_nothing_more(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        receipt = await put(records, finish("run_a", usage=b'{"model_calls":2}'), told("run_a", "run.succeeded"))
        assert (receipt.status, receipt.seq) == ("succeeded", 1)
        run = await read(records, "run_a")
        assert (run.status, run.output, run.usage) == ("succeeded", b'{"done":true}', b'{"model_calls":2}')
        assert (run.owner, run.lease_until, run.due_at, run.ready, run.finished_at) == (
            None,
            None,
            None,
            False,
            AT + SECOND,
        )
        assert await falls(put(records, fence("run_a"))) == "fence"
        assert await falls(put(records, finish("run_a", status="failed"))) == "finish_run"
        assert await falls(put(records, WakeRun(TENANT, "run_a"))) == "wake_run"
        assert await falls(put(records, RequestCancel(TENANT, "run_a", AT, "late", False))) == "request_cancel"
        assert await falls(put(records, EndIdleRun(TENANT, "run_a", "cancelled", None, AT))) == "end_idle_run"
        assert await falls(put(records, EndLostRun(TENANT, "run_a", 1, "failed", None, AT))) == "end_lost_run"
        assert await falls(put(records, ParkRun(TENANT, "run_a", 1, 0, None))) == "park_run"
        assert await falls(put(records, RequeueRun(TENANT, "run_a", 1, 2, 0, None))) == "requeue_run"
        assert await records.claim(claim(wish(5))) == []
        assert await read(records, "run_a") == run

    async def test_of_two_ends_one_wins(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        ends = [put(records, finish("run_a")), put(records, finish("run_a", status="failed"))]
        assert (await ends[0]).status == "succeeded"
        assert await falls(ends[1]) == "finish_run"

    async def test_an_idle_run_ends_without_an_attempt(self, records: OpenRecords) -> None:
        await put(records, queued("run_a"))
        await put(records, EndIdleRun(TENANT, "run_a", "cancelled", b'{"code":"cancelled"}', AT + 1))
        run = await read(records, "run_a")
        assert (run.status, run.epoch, run.error, run.finished_at) == ("cancelled", 1, b'{"code":"cancelled"}', AT + 1)
        assert await falls(put(records, EndIdleRun(TENANT, "run_a", "failed", None, AT))) == "end_idle_run"

    async def test_a_running_run_is_not_idle(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        assert await falls(put(records, EndIdleRun(TENANT, "run_a", "cancelled", None, AT))) == "end_idle_run"

    async def test_a_lost_attempt_that_was_given_up_can_write_no_more(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        assert await falls(put(records, EndLostRun(TENANT, "run_a", 7, "failed", None, AT))) == "end_lost_run"
        await put(records, EndLostRun(TENANT, "run_a", 1, "failed", b'{"code":"host_lost"}', AT))
        assert (await read(records, "run_a")).epoch == 2
        assert await falls(put(records, finish("run_a"))) == "finish_run"
        assert (await read(records, "run_a")).status == "failed"

    async def test_a_requeued_run_is_fenced_from_its_old_attempt(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        receipt = await put(records, RequeueRun(TENANT, "run_a", 1, 2, 1, None))
        assert receipt.status == "queued"
        run = await read(records, "run_a")
        assert (run.attempt, run.losses, run.epoch, run.ready, run.owner) == (2, 1, 2, True, None)
        assert await falls(put(records, fence("run_a"))) == "fence"
        assert await falls(put(records, RequeueRun(TENANT, "run_a", 1, 3, 2, None))) == "requeue_run"
        [again] = await records.claim(claim(wish(1)))
        assert (again.id, again.epoch) == ("run_a", 3)
        assert (await put(records, finish("run_a", 3))).status == "succeeded"

    async def test_a_requeued_run_can_be_delayed(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        await put(records, RequeueRun(TENANT, "run_a", 1, 2, 0, AT + 50))
        run = await read(records, "run_a")
        assert (run.status, run.ready, run.due_at) == ("queued", False, AT + 50)
        assert await records.claim(claim(wish(1))) == []

    # --- parks and wakes ----------------------------------------------------------------------------------------------

    async def test_a_parked_run_waits_without_an_owner(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        receipt = await put(records, ParkRun(TENANT, "run_a", 1, 0, AT + 50))
        assert receipt.status == "waiting"
        run = await read(records, "run_a")
        assert (run.status, run.due_at, run.owner, run.lease_until, run.ready) == (
            "waiting",
            AT + 50,
            None,
            None,
            False,
        )
        assert await falls(put(records, fence("run_a"))) == "fence"

    async def test_an_answer_wakes_a_waiting_run(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        await put(records, ParkRun(TENANT, "run_a", 1, 0, AT + 50))
        assert (await put(records, WakeRun(TENANT, "run_a"))).status == "queued"
        run = await read(records, "run_a")
        assert (run.status, run.ready, run.due_at, run.wakes) == ("queued", True, None, 1)
        [claimed] = await records.claim(claim(wish(1)))
        assert (claimed.id, claimed.epoch, claimed.started_at) == ("run_a", 2, AT)

    async def test_an_answer_that_overtakes_the_park_is_not_slept_over(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        assert (await put(records, WakeRun(TENANT, "run_a"))).status == "running"
        assert (await put(records, ParkRun(TENANT, "run_a", 1, 0, AT + 50))).status == "queued"
        run = await read(records, "run_a")
        assert (run.status, run.ready, run.due_at, run.owner) == ("queued", True, None, None)

    async def test_a_park_and_a_wake_handed_over_together_leave_the_run_ready_either_way(
        self, records: OpenRecords
    ) -> None:
        for number in range(20):
            run = f"run_{number}"
            await put(records, born(run))
            park, wake = ParkRun(TENANT, run, 1, 0, None), WakeRun(TENANT, run)
            first, second = (park, wake) if number % 2 else (wake, park)
            receipts = [put(records, first), put(records, second)]
            assert [(await receipt).status for receipt in receipts][-1] == "queued"
            found = await read(records, run)
            assert (found.status, found.ready, found.wakes) == ("queued", True, 1)

    async def test_a_park_that_saw_all_wakes_sleeps(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        await put(records, WakeRun(TENANT, "run_a"))
        assert (await put(records, ParkRun(TENANT, "run_a", 1, 1, None))).status == "waiting"

    async def test_an_answer_to_a_delayed_run_does_not_start_it_early(self, records: OpenRecords) -> None:
        await put(records, delayed("run_a", AT + 50))
        assert (await put(records, WakeRun(TENANT, "run_a"))).status == "queued"
        run = await read(records, "run_a")
        assert (run.ready, run.due_at, run.wakes) == (False, AT + 50, 1)

    # --- cancels ------------------------------------------------------------------------------------------------------

    async def test_after_a_cancel_was_asked_for_only_cancelled_is_an_end(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), born("run_b"))
        await put(records, RequestCancel(TENANT, "run_a", AT + 1, "enough", False))
        await put(records, RequestCancel(TENANT, "run_b", AT + 1, "enough", False))
        assert await falls(put(records, finish("run_a"))) == "finish_run"
        assert await falls(put(records, EndLostRun(TENANT, "run_a", 1, "failed", None, AT))) == "end_lost_run"
        assert (await put(records, finish("run_a", status="cancelled"))).status == "cancelled"
        assert (await put(records, EndLostRun(TENANT, "run_b", 1, "cancelled", None, AT))).status == "cancelled"

    async def test_the_first_cancel_is_the_one_that_is_kept(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        await put(records, RequestCancel(TENANT, "run_a", AT + 1, "first", False))
        assert (await put(records, RequestCancel(TENANT, "run_a", AT + 2, "second", True))).status == "running"
        run = await read(records, "run_a")
        assert (run.cancel_at, run.cancel_reason, run.rollback) == (AT + 1, "first", True)

    async def test_a_cancelled_attempt_may_still_write_what_it_did(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        await put(records, RequestCancel(TENANT, "run_a", AT + 1, "enough", False))
        assert (await put(records, fence("run_a"), told("run_a", "step.finished"))).seq == 1

    async def test_a_park_after_a_cancel_does_not_sleep(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        await put(records, RequestCancel(TENANT, "run_a", AT + 1, "enough", False))
        assert (await put(records, ParkRun(TENANT, "run_a", 1, 0, AT + 50))).status == "queued"
        assert await records.claim(claim(wish(1))) == []
        assert [run.id for run in await records.list_overdue(AT, 10)] == ["run_a"]

    async def test_a_cancel_that_comes_before_its_run_is_remembered(self, records: OpenRecords) -> None:
        await put(records, RememberCancel(TENANT, "run_a", AT, AT + SECOND))
        await put(records, RememberCancel(TENANT, "run_a", AT, AT + SECOND))
        assert (await put(records, born("run_a", created_at=AT + 1))).status == "queued"
        run = await read(records, "run_a")
        assert (run.ready, run.cancel_at, run.epoch, run.owner, run.started_at) == (False, AT, 0, None, None)
        assert await records.claim(claim(wish(1))) == []
        assert [run.id for run in await records.list_overdue(AT, 10)] == ["run_a"]

    async def test_a_remembered_cancel_expires_and_is_of_one_tenant(self, records: OpenRecords) -> None:
        await put(records, RememberCancel(TENANT, "run_a", AT, AT + SECOND))
        assert (await put(records, born("run_a", tenant="other"))).status == "running"
        assert (await put(records, born("run_a", created_at=AT + 2 * SECOND))).status == "running"

    async def test_a_cancel_of_a_run_that_is_there_is_not_remembered(self, records: OpenRecords) -> None:
        await put(records, queued("run_a"))
        assert await falls(put(records, RememberCancel(TENANT, "run_a", AT, AT + SECOND))) == "remember_cancel"

    async def test_a_cancel_and_its_run_handed_over_together_find_each_other(self, records: OpenRecords) -> None:
        for number in range(10):
            run = f"run_{number}"
            cancel, insert = RememberCancel(TENANT, run, AT, AT + SECOND), queued(run, created_at=AT + 1)
            if number % 2:
                changes = [put(records, cancel), put(records, insert)]
                await changes[0], await changes[1]
                assert (await read(records, run)).cancel_at == AT
            else:
                changes = [put(records, insert), put(records, cancel)]
                await changes[0]
                assert await falls(changes[1]) == "remember_cancel"

    async def test_an_outcome_is_superseded_once_it_is_there_by_who_has_seen_the_last_one(
        self, records: OpenRecords
    ) -> None:
        await put(records, born("run_a"))
        first = SupersedeRun(TENANT, "run_a", 0, b'["first"]')
        assert await falls(put(records, first)) == "supersede_run"
        await put(records, finish("run_a", output=b"1"))
        await put(records, first)
        assert await falls(put(records, first)) == "supersede_run"
        long = b'["%b"]' % (b"x" * 100_000)
        await put(records, SupersedeRun(TENANT, "run_a", 1, long))
        run = await read(records, "run_a")
        assert (run.output, run.overrides, run.superseded) == (b"1", long, 2)

    # --- idempotency --------------------------------------------------------------------------------------------------

    async def test_a_key_is_bound_to_one_run_until_it_expires(self, records: OpenRecords) -> None:
        bind = InsertIdempotency(TENANT, "key-1", b"d1", "run_a", AT, AT + SECOND)
        await put(records, bind, queued("run_a"))
        second = replace(bind, run="run_b", digest=b"d2")
        assert await falls(put(records, second, queued("run_b"))) == "insert_idempotency"
        assert await records.get_run(TENANT, "run_b") is None
        found = await records.find_idempotency(TENANT, "key-1", AT)
        assert found is not None
        assert (found.run, found.digest) == ("run_a", b"d1")
        assert await records.find_idempotency("other", "key-1", AT) is None
        assert await records.find_idempotency(TENANT, "key-1", AT + SECOND) is None
        later = replace(second, at=AT + SECOND, expires_at=AT + 2 * SECOND)
        await put(records, later, queued("run_b"))
        found = await records.find_idempotency(TENANT, "key-1", AT + SECOND)
        assert found is not None
        assert found.run == "run_b"

    async def test_of_many_that_bind_one_key_at_once_one_wins(self, records: OpenRecords) -> None:
        changes = [
            put(records, InsertIdempotency(TENANT, "key", b"d", f"run_{n}", AT, AT + SECOND), queued(f"run_{n}"))
            for n in range(30)
        ]
        await changes[0]
        for change in changes[1:]:
            assert await falls(change) == "insert_idempotency"
        assert [run.id for run in await records.claim(claim(wish(50)))] == ["run_0"]
