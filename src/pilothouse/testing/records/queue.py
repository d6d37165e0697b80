"""Clauses about work that waits: claims in order and in turns, leases, counts (I8).

Of one tenant's runs higher priority goes first, then the older one; between tenants it is turns, whatever the priority.
"""

from msgspec.structs import replace

from pilothouse.ports.change import AdvanceSession, ParkRun, RequestCancel, RequeueRun
from pilothouse.ports.records import Queue
from pilothouse.testing.records.build import (
    AGENT,
    AT,
    LEASE,
    SECOND,
    TENANT,
    OpenRecords,
    born,
    claim,
    delayed,
    ended,
    falls,
    fence,
    finish,
    put,
    queued,
    read,
    step,
    turn,
    wish,
)


class QueueClauses:
    async def test_a_claim_takes_a_ready_run_under_a_lease_with_a_new_epoch(self, records: OpenRecords) -> None:
        await put(records, queued("run_a"))
        [run] = await records.claim(claim(wish(1), owner="node-7", at=AT + 3, until=AT + 9))
        assert (run.id, run.status, run.owner, run.epoch) == ("run_a", "running", "node-7", 1)
        assert (run.lease_until, run.started_at, run.ready) == (AT + 9, AT + 3, False)
        assert run == await read(records, "run_a")
        assert await records.claim(claim(wish(1))) == []
        assert (await put(records, finish("run_a", 1))).status == "succeeded"

    async def test_a_claim_takes_no_more_than_it_wishes_and_each_run_once(self, records: OpenRecords) -> None:
        for number in range(25):
            await put(records, queued(f"run_{number:02}"))
        claims = [records.claim(claim(wish(10), owner=f"node-{n}")) for n in range(4)]
        taken = [[run.id for run in await one] for one in claims]
        assert taken == [[f"run_{number:02}" for number in range(*ends)] for ends in ((10,), (10, 20), (20, 25), (0,))]

    async def test_a_run_with_a_journal_is_left_to_whoever_has_its_release(self, records: OpenRecords) -> None:
        for run in ("run_fresh", "run_begun"):
            await put(records, queued(run))
        assert len(await records.claim(claim(wish(2, release="r1")))) == 2
        await put(records, fence("run_begun"), step("run_begun", ended("s")))
        for run in ("run_fresh", "run_begun"):
            await put(records, RequeueRun(TENANT, run, 1, 1, 0, None))
        await put(records, queued("run_new"))
        assert await records.count_begun() == [(AGENT, "r1", 1)]
        other = wish(5, release="r2")
        taken = await records.claim(claim(replace(other, elsewhere=("r0", "r1"))))
        assert [(run.id, run.release) for run in taken] == [("run_fresh", "r1"), ("run_new", "r2")]
        assert await records.claim(claim(replace(other, keeps_release=True))) == []
        assert await records.claim(claim(replace(other, elsewhere=("r1",)))) == []
        [last] = await records.claim(claim(replace(other, elsewhere=("r10",))))
        assert (last.id, last.release) == ("run_begun", "r1")
        assert await records.count_begun() == []

    async def test_whether_something_is_left_is_told_by_when_it_became_ready(self, records: OpenRecords) -> None:
        assert not await records.is_left(AGENT, AT)
        await put(records, queued("run_a"))
        await put(records, queued("run_other", agent="audit"), delayed("run_delayed", AT + 50))
        assert [await records.is_left(AGENT, AT + late) for late in (-1, 0, 1)] == [False, True, True]
        assert len(await records.claim(claim(wish(1)))) == 1
        assert not await records.is_left(AGENT, AT + 1)
        await put(records, RequeueRun(TENANT, "run_a", 1, 1, 0, None))
        assert await records.is_left(AGENT, 0)

    async def test_higher_priority_goes_first_then_the_older_run(self, records: OpenRecords) -> None:
        for run, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 9), ("e", 5)):
            await put(records, queued(f"run_{run}", priority=priority))
        order = [run.id for run in await records.claim(claim(wish(3)))]
        order += [run.id for run in await records.claim(claim(wish(3)))]
        assert order == ["run_d", "run_b", "run_e", "run_a", "run_c"]

    async def test_tenants_take_turns(self, records: OpenRecords) -> None:
        for number in range(6):
            await put(records, queued(f"run_{number}", tenant="busy"))
        await put(records, queued("run_x", tenant="calm"), queued("run_y", tenant="late"))
        taken = [(run.tenant, run.id) for run in await records.claim(claim(wish(5)))]
        assert taken == [
            ("busy", "run_0"), ("calm", "run_x"), ("late", "run_y"), ("busy", "run_1"), ("busy", "run_2"),
        ]  # fmt: skip

    async def test_tenants_take_turns_from_claim_to_claim(self, records: OpenRecords) -> None:
        for number in range(6):
            for tenant in ("one", "three", "two"):
                await put(records, queued(f"run_{number}", tenant=tenant))
        taken = [[run.tenant for run in await records.claim(claim(wish(1)))] for _ in range(6)]
        assert taken == [["one"], ["three"], ["two"]] * 2

    async def test_a_high_priority_does_not_take_another_tenants_turn(self, records: OpenRecords) -> None:
        for number in range(5):
            await put(records, queued(f"run_{number}", tenant="loud", priority=100))
        await put(records, queued("run_x", tenant="quiet"))
        taken = [run.tenant for run in await records.claim(claim(wish(2)))]
        assert sorted(taken) == ["loud", "quiet"]

    async def test_each_agent_has_its_own_wish(self, records: OpenRecords) -> None:
        for agent in ("desk", "audit", "other"):
            for number in range(3):
                await put(records, queued(f"run_{agent}_{number}", agent=agent))
        taken = await records.claim(claim(wish(2), wish(1, "audit")))
        assert [(run.agent, run.id) for run in taken] == [
            ("desk", "run_desk_0"), ("desk", "run_desk_1"), ("audit", "run_audit_0"),
        ]  # fmt: skip

    async def test_a_run_takes_on_the_release_of_its_first_worker_and_keeps_it(self, records: OpenRecords) -> None:
        await put(records, queued("run_a", release="r1"))
        [first] = await records.claim(claim(wish(1, release="r2")))
        assert first.release == "r2"
        await put(records, RequeueRun(TENANT, "run_a", 1, 2, 0, None))
        [second] = await records.claim(claim(wish(1, release="r3")))
        assert second.release == "r2"

    async def test_what_is_not_ready_is_not_claimed(self, records: OpenRecords) -> None:
        await put(records, delayed("run_delayed", AT + 50))
        await put(records, born("run_running"))
        await put(records, born("run_parked"), ParkRun(TENANT, "run_parked", 1, 0, None))
        assert await records.claim(claim(wish(10))) == []

    async def test_what_waits_for_a_hold_is_not_claimed_before_that_is_lifted(self, records: OpenRecords) -> None:
        for number in range(3):
            await put(records, born(f"run_{number}"), RequeueRun(TENANT, f"run_{number}", 1, 1, 0, None, "hold_a"))
        await put(records, born("run_x"), RequeueRun(TENANT, "run_x", 1, 1, 0, None, "hold_b"))
        assert await records.claim(claim(wish(10))) == []
        assert await records.wake_due(LEASE, 10) == 0
        assert sorted(await records.list_holding()) == ["hold_a", "hold_b"]
        assert [await records.release_held("hold_a", 2) for _ in range(3)] == [2, 1, 0]
        assert await records.list_holding() == ["hold_b"]
        assert [run.id for run in await records.claim(claim(wish(10)))] == ["run_0", "run_1", "run_2"]

    async def test_what_waits_for_a_hold_can_be_cancelled(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), RequeueRun(TENANT, "run_a", 1, 1, 0, None, "hold_a"))
        await put(records, RequestCancel(TENANT, "run_a", AT, "no more", False))
        assert [run.id for run in await records.list_overdue(AT, 10)] == ["run_a"]

    async def test_a_claim_sees_what_was_handed_over_before_it(self, records: OpenRecords) -> None:
        insert = put(records, queued("run_a"))
        claimed = records.claim(claim(wish(1)))
        second = put(records, queued("run_b"))
        await insert
        assert [run.id for run in await claimed] == ["run_a"]
        await second
        assert [run.id for run in await records.claim(claim(wish(1)))] == ["run_b"]

    async def test_past_the_open_places_a_tenant_has_only_what_is_kept_for_it(self, records: OpenRecords) -> None:
        for number in range(6):
            await put(records, queued(f"run_{number}", tenant="flood"))
        await put(records, queued("run_x", tenant="quiet"), queued("run_y", tenant="quiet"))
        kept = replace(wish(4), open=0, room=2, rooms={"flood": 0})
        assert [run.id for run in await records.claim(claim(kept))] == ["run_x", "run_y"]
        assert await records.claim(claim(kept)) == []
        assert [run.id for run in await records.claim(claim(replace(kept, open=3)))] == ["run_0", "run_1", "run_2"]
        assert len(await records.claim(claim(replace(kept, open=1, rooms={"flood": 2})))) == 2

    # --- leases -------------------------------------------------------------------------------------------------------

    async def test_leases_of_one_owner_are_renewed_together(self, records: OpenRecords) -> None:
        for number in range(3):
            await put(records, born(f"run_{number}"))
        await put(records, born("run_other", owner="node-2"))
        assert await records.renew_leases("node-1", AT + SECOND, LEASE + SECOND) == 3
        assert (await read(records, "run_1")).lease_until == LEASE + SECOND
        assert (await read(records, "run_other")).lease_until == LEASE

    async def test_an_expired_lease_is_not_renewed(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        assert await records.renew_leases("node-1", LEASE + 1, LEASE + SECOND) == 0
        assert [run.id for run in await records.list_expired(LEASE + 1, 10)] == ["run_a"]

    async def test_a_lease_is_expired_after_its_last_instant(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), born("run_b", lease_until=LEASE + 9))
        assert await records.list_expired(LEASE, 10) == []
        assert [run.id for run in await records.list_expired(LEASE + 1, 10)] == ["run_a"]
        assert len(await records.list_expired(LEASE + 10, 1)) == 1

    async def test_another_worker_takes_an_expired_run_and_the_first_is_fenced(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        [lost] = await records.list_expired(LEASE + 1, 10)
        await put(records, RequeueRun(TENANT, lost.id, lost.epoch, 2, 1, None))
        [again] = await records.claim(claim(wish(1), owner="node-2"))
        assert await falls(put(records, fence("run_a", lost.epoch))) == "fence"
        assert await falls(put(records, finish("run_a", lost.epoch))) == "finish_run"
        assert (await put(records, finish("run_a", again.epoch))).status == "succeeded"

    async def test_runs_of_other_owners_are_found(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), born("run_b", owner="node-2"), queued("run_c"))
        assert [run.id for run in await records.list_owned("node-1", 10)] == ["run_b"]
        assert len(await records.list_owned("node-3", 1)) == 1

    async def test_runs_that_somebody_else_wants_cancelled_are_found_by_their_owner(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), born("run_b"), born("run_c", owner="node-2"), queued("run_d"))
        for run in ("run_a", "run_c", "run_d"):
            await put(records, RequestCancel(TENANT, run, AT, "enough", False))
        assert [run.id for run in await records.list_cancelled("node-1", 10)] == ["run_a"]
        await put(records, finish("run_a", status="cancelled"))
        assert await records.list_cancelled("node-1", 10) == []

    # --- counts -------------------------------------------------------------------------------------------------------

    async def test_the_queue_is_counted_by_what_holds_it(self, records: OpenRecords) -> None:
        await put(records, queued("run_a"), queued("run_b"), delayed("run_c", AT + 50))
        await put(records, born("run_d"), born("run_e"), ParkRun(TENANT, "run_e", 1, 0, None))
        await put(records, born("run_f"), finish("run_f"))
        await put(records, queued("run_g", tenant="other"), queued("run_h", agent="audit"))
        queue = await records.count_queue(None, None)
        assert (queue.ready, queue.held, queue.running, queue.waiting) == (4, 1, 1, 1)
        queue = await records.count_queue(TENANT, "desk")
        assert (queue.ready, queue.held, queue.running, queue.waiting) == (2, 1, 1, 1)
        found = {(one.tenant, one.agent): one.queue for one in await records.list_backlogs()}
        mine = {(TENANT, "desk"): Queue(2, 1, 1, 1), (TENANT, "audit"): Queue(1, 0, 0, 0)}
        assert found == mine | {("other", "desk"): Queue(1, 0, 0, 0)}
        queue = await records.count_queue("nobody", None)
        assert (queue.ready, queue.held, queue.running, queue.waiting) == (0, 0, 0, 0)

    async def test_the_oldest_of_a_backlog_is_the_one_that_is_ready_for_longest(self, records: OpenRecords) -> None:
        async def oldest() -> int | None:
            [backlog] = await records.list_backlogs()
            return backlog.oldest_at

        await put(records, delayed("run_a", AT + 50))
        assert await oldest() is None
        await put(records, queued("run_b", created_at=AT + 70), queued("run_c", created_at=AT + 60, priority=-1))
        assert await oldest() == AT + 60
        await records.wake_due(AT + 80, 10)
        assert await oldest() == AT + 50  # since then it was due
        await records.claim(claim(wish(10)))
        assert await oldest() is None
        await put(records, RequeueRun(TENANT, "run_a", 1, 2, 0, None))
        assert await oldest() is None  # it has started before

    async def test_a_turn_is_ready_when_the_one_before_it_has_ended(self, records: OpenRecords) -> None:
        await put(records, turn("run_a"))
        await put(records, turn("run_b", status="queued", ready=True))
        ended_at = AT + SECOND
        await put(records, finish("run_a"), AdvanceSession(TENANT, "chat", "desk", ended_at))
        [backlog] = await records.list_backlogs()
        assert (backlog.queue.ready, backlog.oldest_at) == (1, ended_at)
