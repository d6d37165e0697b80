"""What ended runs cost the next one: single operations on records of our own, beside thousands of runs that are over.

The times should stay almost flat: indexes on live rows are partial, so ended runs are not in them.
"""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw

from benchmarks.plan import Plan, Table, median
from pilothouse.ports.change import Change
from pilothouse.ports.records import RunFilter
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import AGENT, TENANT, born, claim, finish, put, queued, wish

TIMES = 40
IN_ONE = 500
WAITING = 100
PAGE = 50
HEAD = ["ended runs", "claim one us", "insert one us", "newest page us", "count the queue us", "bytes a run"]


async def measure_growth(plan: Plan, folder: Path) -> Table:
    path = folder / "growth.db"
    records = SqliteRecords(f"sqlite:///{path}")
    await records.open()
    lines, raw = [], []
    try:
        for number in range(WAITING):
            await put(records, queued(f"run_waiting_{number:06}"))
        there = 0
        for ended_runs in plan.ended_runs:
            await add_ended(records, there, ended_runs)
            there = ended_runs
            figures = await time_operations(records, ended_runs)
            raw.append({"ended_runs": ended_runs, **figures, "bytes_a_run": size_of(path) / ended_runs})
            lines.append([f"{value:,.0f}" for value in raw[-1].values()])
    finally:
        await records.close()
    note = f"p50 of {TIMES}. Claim and insert are durable; {WAITING} runs wait; a page is {PAGE} runs of one agent."
    return Table("growth", "Growth: single operations beside ended runs", HEAD, lines, raw, note)


def size_of(path: Path) -> int:
    """Bytes of all pages, those that are still in the WAL included."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.pragma("page_count")) * int(connection.pragma("page_size"))
    finally:
        connection.close()


async def add_ended(records: SqliteRecords, there: int, wanted: int) -> None:
    for start in range(there, wanted, IN_ONE):
        made = []
        for number in range(start, min(start + IN_ONE, wanted)):
            run = f"run_{number:09}"
            made.append(records.commit(Change((born(run),))))
            made.append(records.commit(Change((finish(run),))))
        for one in made:
            await one


async def time_operations(records: SqliteRecords, ended_runs: int) -> dict[str, float]:
    async def claim_one(number: int) -> object:
        return await records.claim(claim(wish(1)))

    async def insert_one(number: int) -> object:
        return await put(records, queued(f"run_next_{ended_runs}_{number:06}"))

    async def newest_page(number: int) -> object:
        return await records.list_runs(TENANT, RunFilter(agent=AGENT), None, PAGE)

    async def count_queue(number: int) -> object:
        return await records.count_queue(TENANT, AGENT)

    operations = {"claim_us": claim_one, "insert_us": insert_one, "page_us": newest_page, "queue_us": count_queue}
    return {name: await timed(operation) for name, operation in operations.items()}


async def timed(operation: Callable[[int], Awaitable[object]]) -> float:
    spans = []
    for number in range(TIMES):
        began_at = time.perf_counter()
        await operation(number)
        spans.append((time.perf_counter() - began_at) * 1e6)
    return median(spans) or 0.0
