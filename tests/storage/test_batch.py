"""Batches: who is at fault is told, the others are not touched, and a few Changes of one run stay in their order."""

import asyncio

import pytest

from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import Conflict, ParkRun, Receipt, Refused, RequeueRun, WakeRun
from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import (
    TENANT,
    all_events,
    born,
    claim,
    ended,
    fence,
    finish,
    is_gapless,
    put,
    queued,
    read,
    step,
    told,
    wish,
)


async def test_a_change_that_the_database_refuses_hurts_only_itself(records):
    await asyncio.gather(*(put(records, born(f"run_{number}")) for number in range(9)))
    changes = []
    for number in range(9):
        run = f"run_{number}"
        rows = [step(run, ended("a")), step(run, ended("a"))] if number % 3 == 1 else [step(run, ended("a"))]
        epoch = 7 if number % 3 == 2 else 1
        changes.append(put(records, fence(run, epoch), *rows, told(run, "step.finished")))
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Receipt, Refused, Conflict] * 3
    for number in range(9):
        assert len(await records.load_journal(TENANT, f"run_{number}")) == (number % 3 == 0)
        assert len(await all_events(records, f"run_{number}")) == (number % 3 == 0)


async def test_ordered_changes_of_one_run_in_one_tick_each_see_the_one_before(records):
    changes = [
        put(records, born("run_a"), told("run_a", "run.started")),
        put(records, fence("run_a"), step("run_a", ended("a")), told("run_a", "step.finished")),
        put(records, ParkRun(TENANT, "run_a", 1, 0, None), told("run_a", "run.waiting")),
        put(records, fence("run_a"), told("run_a", "step.started")),
        put(records, WakeRun(TENANT, "run_a")),
        records.claim(claim(wish(1))),
        put(records, RequeueRun(TENANT, "run_a", 2, 2, 0, None)),
        records.claim(claim(wish(1))),
        put(records, finish("run_a", 4), told("run_a", "run.succeeded")),
    ]
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Receipt",
        "Receipt",
        "Receipt",
        "Conflict",
        "Receipt",
        "list",
        "Receipt",
        "list",
        "Receipt",
    ]
    assert [run.epoch for run in (*outcomes[5], *outcomes[7])] == [2, 4]
    assert (await read(records, "run_a")).status == "succeeded"
    assert is_gapless(await all_events(records, "run_a"))


async def test_events_are_told_to_the_listener_before_the_caller_and_in_order(records):
    heard = []
    records.listen(lambda tenant, segment: heard.append((segment.run, segment.seq)))
    await put(records, born("run_a"), told("run_a", "run.started"))
    changes = [put(records, fence("run_a"), told("run_a", "output.delta", "output.delta")) for _ in range(50)]
    await changes[0]
    assert ("run_a", 2) in heard
    await asyncio.gather(*changes)
    assert heard == [("run_a", 1)] + [("run_a", 2 + 2 * at) for at in range(50)]


async def test_a_batch_over_the_limit_is_cut_and_nothing_is_lost(tmp_path):
    records = SqliteRecords(str(tmp_path / "small.db"), options=SqliteOptions(batch_limit=7, wal_size=0))
    await records.open()
    await asyncio.gather(*(put(records, queued(f"run_{number}")) for number in range(100)))
    queue = await records.count_queue(TENANT, None)
    assert queue.ready == 100
    await records.close()


async def test_more_changes_than_may_wait_are_refused_and_later_ones_are_not(tmp_path):
    records = SqliteRecords(str(tmp_path / "small.db"), options=SqliteOptions(waiting_limit=10, wal_size=0))
    await records.open()
    changes = [put(records, queued(f"run_{number}")) for number in range(15)]
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Receipt] * 10 + [RecordsUnavailable] * 5
    await put(records, queued("run_later"))
    await records.close()
    with pytest.raises(RecordsUnavailable):
        await put(records, queued("run_closed"))
