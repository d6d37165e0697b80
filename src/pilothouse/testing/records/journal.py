"""Clauses about the journal and the events of a run: order, numbers, one end for each step (I2, I3), listeners (I5).

A step that is written twice is refused, the end of a wait that is written twice falls: the first is a fault of the
code, the second a race.
"""

from pilothouse.domain.event import Segment, line
from pilothouse.ports.change import AppendEvents, Change, Conflict, Receipt, ResolveStep, WakeRun
from pilothouse.ports.records import EVENTS_ROOM
from pilothouse.testing.records.build import (
    AT,
    LONG,
    TENANT,
    OpenRecords,
    all_events,
    begun,
    born,
    claim,
    ended,
    falls,
    fence,
    finish,
    is_gapless,
    is_refused,
    put,
    queued,
    step,
    told,
    wish,
)


class JournalClauses:
    async def test_a_journal_is_read_back_in_the_order_in_which_it_was_written(self, records: OpenRecords) -> None:
        rows = [
            begun("signal.paid-1", due_at=AT + 9),
            ended("zeta", b"1", input=b"[1]", usage=b"{}", tries=3),
            ended("alpha", None, status="failed", error=b'{"code":"step_failed"}'),
            ended("signal.paid-1", b'"ok"', kind="signal"),
            ended("mu", None, once=True, finished_at=None),
        ]
        await put(records, born("run_a"))
        await put(records, fence("run_a"), step("run_a", rows[0]), step("run_a", rows[1]))
        for row in rows[2:]:
            await put(records, fence("run_a"), step("run_a", row))
        assert await records.load_journal(TENANT, "run_a") == rows
        assert await records.load_journal("other", "run_a") == []
        assert await records.load_journal(TENANT, "run_b") == []

    async def test_a_long_journal_is_read_whole(self, records: OpenRecords) -> None:
        rows = [ended(f"step-{number}", b"%d" % number) for number in range(500)]
        await put(records, born("run_a"))
        await put(records, fence("run_a"), *(step("run_a", row) for row in rows))
        assert await records.load_journal(TENANT, "run_a") == rows

    async def test_steps_are_read_in_pages(self, records: OpenRecords) -> None:
        rows = [ended(f"step-{number}") for number in range(7)]
        await put(records, born("run_a"), born("run_b"))
        for row in rows:
            await put(records, fence("run_a"), step("run_a", row), step("run_b", row))
        found, after = [], 0
        while page := await records.list_steps(TENANT, "run_a", after, 3):
            assert len(page) <= 3
            found += [row for _, row in page]
            after = page[-1][0]
        assert found == rows

    async def test_a_step_that_is_there_already_is_refused_and_hurts_nobody_else(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), born("run_b"))
        await put(records, fence("run_a"), step("run_a", ended("s", b"1")))
        before = put(records, fence("run_b"), step("run_b", ended("s", b"2")), told("run_b", "step.finished"))
        faulty = put(records, fence("run_a"), step("run_a", ended("s", b"3")), told("run_a", "step.finished"))
        after = put(records, fence("run_a"), step("run_a", ended("t", b"4")), told("run_a", "step.finished"))
        await before
        assert await is_refused(faulty, "AppendStep")
        await after
        assert [row.output for row in await records.load_journal(TENANT, "run_a")] == [b"1", b"4"]
        assert is_gapless(await all_events(records, "run_a"))
        assert len(await all_events(records, "run_a")) == 1

    async def test_of_two_ends_of_a_wait_one_wins(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        await put(records, fence("run_a"), step("run_a", begun("signal.paid-1")))
        ends = [
            put(records, ResolveStep(TENANT, "run_a", ended("signal.paid-1", output)), WakeRun(TENANT, "run_a"))
            for output in (b'"first"', b'"second"')
        ]
        assert (await ends[0]).status == "running"
        assert await falls(ends[1]) == "resolve_step"
        journal = await records.load_journal(TENANT, "run_a")
        assert [(row.phase, row.output) for row in journal] == [(0, None), (1, b'"first"')]

    async def test_the_end_of_a_wait_may_come_before_the_wait(self, records: OpenRecords) -> None:
        await put(records, queued("run_a"))
        await put(records, ResolveStep(TENANT, "run_a", ended("signal.paid-1")), WakeRun(TENANT, "run_a"))
        assert [row.key for row in await records.load_journal(TENANT, "run_a")] == ["signal.paid-1"]

    async def test_the_end_of_a_wait_falls_with_its_run(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), finish("run_a"))
        late = put(records, ResolveStep(TENANT, "run_a", ended("signal.paid-1")), WakeRun(TENANT, "run_a"))
        assert await falls(late) == "wake_run"
        assert await records.load_journal(TENANT, "run_a") == []

    async def test_ends_are_counted_by_prefix(self, records: OpenRecords) -> None:
        await put(records, queued("run_a"))
        for key in ("signal.a-1", "signal.a-2", "signal.a-10", "signal.a-x", "signal.a-1b", "signal.ab-1", "signal.a-"):
            await put(records, ResolveStep(TENANT, "run_a", ended(key)))
        await put(records, step("run_a", begun("signal.a-3")))
        assert await records.count_ends(TENANT, "run_a", "signal.a-") == 3
        assert await records.count_ends(TENANT, "run_a", "signal.ab-") == 1
        assert await records.count_ends("other", "run_a", "signal.a-") == 0

    # --- events -------------------------------------------------------------------------------------------------------

    async def test_events_are_numbered_from_one_without_a_gap(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), born("run_b"))
        receipts = [
            await put(records, fence("run_a"), told("run_a", "run.queued", "run.started")),
            await put(records, fence("run_b"), told("run_b", "run.started")),
            await put(records, fence("run_a"), told("run_a", "step.started")),
            await put(records, fence("run_a"), told("run_a", "output.delta", "output.delta", "step.finished")),
        ]
        assert [receipt.seq for receipt in receipts] == [1, 1, 3, 4]
        assert is_gapless(await all_events(records, "run_a"))
        assert [segment.last for segment in await all_events(records, "run_a")] == [2, 3, 6]

    async def test_events_of_many_changes_at_once_are_numbered_in_order(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), born("run_b"))
        changes = [
            put(records, fence(run), told(run, *["output.delta"] * (number % 3 + 1)))
            for number in range(60)
            for run in ("run_a", "run_b")
        ]
        seqs = [(await change).seq for change in changes]
        assert seqs[::2] == seqs[1::2] == sorted(seqs[::2])
        assert is_gapless(await all_events(records, "run_a"))
        assert is_gapless(await all_events(records, "run_b"))

    async def test_a_change_that_falls_uses_no_number(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        changes = [
            put(records, fence("run_a", 1 if number % 3 else 9), told("run_a", "output.delta")) for number in range(30)
        ]
        seqs = []
        for change in changes:
            try:
                seqs.append((await change).seq)
            except Conflict:
                continue
        assert seqs == list(range(1, 21))
        assert is_gapless(await all_events(records, "run_a"))

    async def test_a_refused_change_uses_no_number(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        changes = [
            put(records, fence("run_a"), step("run_a", ended("s")), told("run_a", "step.finished")) for _ in range(5)
        ]
        await changes[0]
        for change in changes[1:]:
            assert await is_refused(change, "AppendStep")
        assert (await put(records, fence("run_a"), told("run_a", "output.delta"))).seq == 2

    async def test_events_are_read_from_any_number_on(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        for count in (2, 1, 3, 1):
            await put(records, fence("run_a"), told("run_a", *["output.delta"] * count))
        firsts = {0: 1, 1: 1, 2: 3, 3: 4, 4: 4, 5: 4, 6: 7, 7: None}
        for after, first in firsts.items():
            found = await records.read_events(TENANT, "run_a", after, 10)
            assert (found[0].seq if found else None) == first, after
        assert [segment.seq for segment in await records.read_events(TENANT, "run_a", 1, 2)] == [1, 3]
        assert await records.read_events("other", "run_a", 0, 10) == []

    async def test_long_events_are_read_a_bound_at_a_time(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        long = line("output.delta", b'{"delta":"%b"}' % (b"x" * (EVENTS_ROOM // 2)))
        for _ in range(5):
            await put(records, fence("run_a"), AppendEvents(TENANT, "run_a", AT, 1, long))
        pages = [await records.read_events(TENANT, "run_a", after, 10) for after in (0, 2, 4, 5)]
        assert [[segment.seq for segment in page] for page in pages] == [[1, 2], [3, 4], [5], []]

    async def test_a_change_may_tell_events_of_two_runs(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), born("run_p"), told("run_p", "run.started"))
        await put(records, finish("run_a"), told("run_p", "step.finished"), told("run_a", "run.succeeded"))
        assert is_gapless(await all_events(records, "run_a"))
        assert [segment.seq for segment in await all_events(records, "run_p")] == [1, 2]

    async def test_listeners_hear_of_events_before_their_caller_does_and_in_order(self, records: OpenRecords) -> None:
        heard: list[object] = []

        def listener(tenant: str, segment: Segment) -> None:
            heard.append((tenant, segment.run, segment.seq, segment.data))

        records.listen(listener)
        await put(records, born("run_a"), born("run_b"))
        last = records.commit(Change((fence("run_a", 9), told("run_a", "step.started"))))
        for number in range(4):
            run = "run_a" if number % 2 else "run_b"
            change = Change((fence(run), told(run, "output.delta")))

            def done(outcome: Receipt | Conflict | Exception, number: int = number) -> None:
                heard.append(number)

            records.submit(change, done)
        assert await falls(last) == "fence"
        await put(records, fence("run_a"), told("run_a", "step.finished"))
        delta, finished = told("run_a", "output.delta").lines, told("run_a", "step.finished").lines
        other = told("run_b", "output.delta").lines
        assert heard == [
            (TENANT, "run_b", 1, other), 0,
            (TENANT, "run_a", 1, delta), 1,
            (TENANT, "run_b", 2, other), 2,
            (TENANT, "run_a", 2, delta), 3,
            (TENANT, "run_a", 3, finished),
        ]  # fmt: skip

    # --- long payloads ------------------------------------------------------------------------------------------------

    async def test_long_payloads_are_read_back_whole(self, records: OpenRecords) -> None:
        row = ended("s", LONG, input=LONG + b" ", error=b"1", usage=LONG)
        await put(records, born("run_a", input=LONG, metadata=LONG), born("run_b", tenant="other", input=LONG))
        await put(records, fence("run_a"), step("run_a", row), step("run_a", ended("t", LONG)))
        await put(records, ResolveStep(TENANT, "run_a", ended("u", LONG)))
        long_event = told("run_a", *["output.delta"] * 1000)
        assert len(long_event.lines) > 16 * 1024
        await put(records, finish("run_a", output=LONG, usage=LONG), long_event)
        run = await records.get_run(TENANT, "run_a")
        assert run is not None
        assert (run.input, run.metadata, run.output, run.usage) == (LONG, LONG, LONG, LONG)
        journal = await records.load_journal(TENANT, "run_a")
        assert journal == [row, ended("t", LONG), ended("u", LONG)]
        [segment] = await all_events(records, "run_a")
        assert (segment.data, segment.count) == (long_event.lines, 1000)
        other = await records.get_run("other", "run_b")
        assert other is not None
        assert other.input == LONG

    async def test_a_claimed_run_brings_its_long_input(self, records: OpenRecords) -> None:
        await put(records, queued("run_a", input=LONG))
        [run] = await records.claim(claim(wish(1)))
        assert run.input == LONG
