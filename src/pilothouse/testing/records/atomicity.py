"""Clauses about Changes as a whole: they stand or fall whole, in order, beside each other.

Most hand over several Changes within one tick of the loop, so that a backend which groups them has to show that nobody
notices.
"""

import asyncio

from pilothouse.ports.change import (
    AdvanceSession,
    Change,
    Conflict,
    InsertIdempotency,
    ParkRun,
    Receipt,
    RequestCancel,
    RequeueRun,
    ResolveStep,
    WakeRun,
)
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
    cancels,
    claim,
    ended,
    falls,
    fence,
    finish,
    is_gapless,
    put,
    queued,
    read,
    step,
    takes,
    told,
    turn,
    wish,
)


class AtomicityClauses:
    async def test_when_a_later_act_falls_nothing_of_the_change_is_left(self, records: OpenRecords) -> None:
        await put(records, turn("run_a"))
        await put(records, takes("run_a", state=b'{"v":1}'))
        falling = put(
            records,
            finish("run_a", output=LONG),
            InsertIdempotency(TENANT, "key", b"d", "run_a", AT, AT + SECOND),
            queued("run_new"),
            takes("run_a", version=7, state=b'{"v":8}'),
            asks("rev_1", "run_a"),
            step("run_a", ended("s")),
            told("run_a", "run.succeeded"),
        )
        assert await falls(falling) == "take_turn"
        assert (await read(records, "run_a")).status == "running"
        assert await records.get_run(TENANT, "run_new") is None
        assert await records.find_idempotency(TENANT, "key", AT) is None
        assert await records.get_review(TENANT, "rev_1") is None
        assert await records.load_journal(TENANT, "run_a") == []
        assert await all_events(records, "run_a") == []
        session = await records.get_session(TENANT, AGENT, "chat")
        assert session is not None
        assert (session.state, session.version, session.turns) == (b'{"v":1}', 1, 1)

    async def test_a_change_that_falls_late_leaves_those_beside_it_alone(self, records: OpenRecords) -> None:
        for number in range(12):
            await put(records, turn(f"run_{number}", f"chat-{number}"))
        changes = []
        for number in range(12):
            version = 9 if number % 3 == 0 else 0
            changes.append(
                put(
                    records,
                    finish(f"run_{number}"),
                    takes(f"run_{number}", f"chat-{number}", version, b'{"n":1}'),
                    told(f"run_{number}", "run.succeeded"),
                )
            )
        for number, change in enumerate(changes):
            if number % 3 == 0:
                assert await falls(change) == "take_turn"
            else:
                receipt = await change
                assert (receipt.status, receipt.seq) == ("succeeded", 1)
        for number in range(12):
            run = await read(records, f"run_{number}")
            assert run.status == ("running" if number % 3 == 0 else "succeeded")
            assert len(await all_events(records, run.id)) == (0 if number % 3 == 0 else 1)
            turns = await records.list_turns(TENANT, AGENT, f"chat-{number}", None, 10)
            assert len(turns) == (0 if number % 3 == 0 else 1)

    async def test_a_later_change_sees_what_an_earlier_one_did(self, records: OpenRecords) -> None:
        """All handed over in one tick: every state of one run after the other."""
        changes = [
            put(records, queued("run_a"), told("run_a", "run.queued")),
            put(records, RequestCancel(TENANT, "run_b", AT, "unknown", False)),
            records.claim(claim(wish(1))),
            put(records, fence("run_a", 1), told("run_a", "run.started")),
            put(records, WakeRun(TENANT, "run_a")),
            put(records, ParkRun(TENANT, "run_a", 1, 1, AT + 50)),
            put(records, fence("run_a", 1), told("run_a", "step.started")),
            records.wake_due(AT + 50, 10),
            records.claim(claim(wish(1))),
            put(records, RequeueRun(TENANT, "run_a", 2, 2, 0, None), told("run_a", "run.queued")),
            put(records, fence("run_a", 2), told("run_a", "step.started")),
            records.claim(claim(wish(1))),
            put(records, finish("run_a", 4), told("run_a", "run.succeeded")),
            put(records, WakeRun(TENANT, "run_a")),
        ]
        outcomes: list[object] = []
        for change in changes:
            try:
                outcome = await change
                outcomes.append(outcome.status if isinstance(outcome, Receipt) else outcome)
            except Conflict as conflict:
                outcomes.append(conflict.statement)
        claimed = [[(run.id, run.epoch) for run in outcomes[at]] for at in (2, 8, 11)]  # type: ignore[attr-defined]
        assert claimed == [[("run_a", 1)], [("run_a", 2)], [("run_a", 4)]]
        told_of = [outcome for at, outcome in enumerate(outcomes) if at not in (2, 8, 11)]
        assert told_of[:5] == ["queued", "request_cancel", "", "running", "waiting"]
        assert told_of[5:] == ["fence", 1, "queued", "fence", "succeeded", "wake_run"]
        assert is_gapless(await all_events(records, "run_a"))

    async def test_of_several_changes_of_one_run_each_sees_the_one_before(self, records: OpenRecords) -> None:
        await put(records, queued("run_a"))
        wakes = [put(records, WakeRun(TENANT, "run_a")) for _ in range(50)]
        for wake in wakes:
            await wake
        assert (await read(records, "run_a")).wakes == 50

    async def test_checks_are_looked_at_before_the_acts_of_the_same_change(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        receipt = await put(records, finish("run_a"), fence("run_a"), told("run_a", "run.succeeded"))
        assert receipt.status == "succeeded"

    async def test_rows_come_after_the_acts_wherever_they_stand(self, records: OpenRecords) -> None:
        await put(records, turn("run_a"), turn("run_b"))
        assert (await read(records, "run_b")).ready is False
        await put(records, AdvanceSession(TENANT, "chat", AGENT, AT), finish("run_a"))
        assert (await read(records, "run_b")).ready is True

    async def test_the_end_of_a_called_run_resolves_its_caller_in_one_change(self, records: OpenRecords) -> None:
        await put(records, born("run_p"), ParkRun(TENANT, "run_p", 1, 0, None))
        await put(records, born("run_c", parent="run_p", parent_key="call-1"))
        await put(
            records,
            finish("run_c"),
            ResolveStep(TENANT, "run_p", ended("call-1")),
            WakeRun(TENANT, "run_p"),
            cancels("run_c"),
            told("run_p", "step.finished"),
            told("run_c", "run.succeeded"),
        )
        parent = await read(records, "run_p")
        assert (parent.status, parent.ready) == ("queued", True)
        assert [row.key for row in await records.load_journal(TENANT, "run_p")] == ["call-1"]

    async def test_many_children_that_end_at_once_each_count(self, records: OpenRecords) -> None:
        await put(records, born("run_p"))
        for number in range(20):
            await put(records, born(f"run_{number}", parent="run_p", parent_key=f"call-{number}"))
        ends = [
            put(
                records,
                finish(f"run_{number}"),
                ResolveStep(TENANT, "run_p", ended(f"call-{number}")),
                WakeRun(TENANT, "run_p"),
                told("run_p", "step.finished"),
                told(f"run_{number}", "run.succeeded"),
            )
            for number in range(20)
        ]
        await asyncio.gather(*ends)
        assert (await read(records, "run_p")).wakes == 20
        assert len(await records.load_journal(TENANT, "run_p")) == 20
        assert is_gapless(await all_events(records, "run_p"))

    async def test_what_was_acknowledged_is_read_at_once(self, records: OpenRecords) -> None:
        seen: list[bool] = []
        pending = asyncio.Event()

        async def look(run: str) -> None:
            seen.append(await records.get_run(TENANT, run) is not None)
            if len(seen) == 40:
                pending.set()

        tasks = []
        for number in range(40):
            run = f"run_{number}"

            def done(outcome: object, run: str = run) -> None:
                tasks.append(asyncio.ensure_future(look(run)))

            records.submit(Change((queued(run),)), done)
        await pending.wait()
        assert all(seen)
        await asyncio.gather(*tasks)

    async def test_a_caller_that_went_away_does_not_take_its_change_with_it(self, records: OpenRecords) -> None:
        change = asyncio.ensure_future(records.commit(Change((queued("run_a"),))))
        change.cancel()
        await put(records, queued("run_b"))
        assert await records.get_run(TENANT, "run_a") is not None

    async def test_one_batch_may_hold_every_kind_of_outcome(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        changes = [put(records, fence("run_a", number % 2), told("run_a", "output.delta")) for number in range(200)]
        outcomes = await asyncio.gather(*changes, return_exceptions=True)
        assert [isinstance(outcome, Conflict) for outcome in outcomes] == [number % 2 == 0 for number in range(200)]
        assert is_gapless(await all_events(records, "run_a"))
