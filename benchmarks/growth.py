"""What ended runs cost the next one: single operations on records of our own, beside up to ten million that are over.

The times should stay almost flat: indexes on live rows are partial, so ended runs are not in them. One run ends as runs
do; the others, with a step and an event each, are copies of it, made by the database in place, which takes seconds
where ending them would take minutes. `python -m benchmarks.growth` takes ten million and writes GROWTH.md.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw

from benchmarks.chart import charts_of
from benchmarks.plan import Plan, Table, full_plan, median
from benchmarks.report import describe_machine, grid
from pilothouse.ports.records import RunFilter
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import (
    AGENT,
    TENANT,
    born,
    claim,
    ended,
    fence,
    finish,
    put,
    queued,
    step,
    told,
    wish,
)

LONG = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)

OUTPUT = b'{"role":"tool","content":"' + b"x" * 170 + b'"}'
TIMES = 40
IN_ONE = 100_000
"""Copies in one transaction."""
WAITING = 100
PAGE = 50
STEPS = 1_000
"""Of the run whose journal is loaded."""
LONG_RUN = "run_long"
HEAD = ["ended runs", "claim one us", "insert one us", "newest page us", "count the queue us", "append a step us",
        "page in the middle us", "events of a run us", f"journal of {STEPS:,} steps us", "bytes a run"]  # fmt: skip


async def measure_growth(plan: Plan, folder: Path) -> list[Table]:
    path = folder / "growth.db"
    lines, raw = [], []
    await add_first(path)
    there = 1
    for ended_runs in plan.ended_runs:
        await asyncio.to_thread(add_copies, path, there, ended_runs)
        there = ended_runs
        records = SqliteRecords(f"sqlite:///{path}")
        await records.open()
        try:
            figures = await time_operations(records, ended_runs)
            figures |= await time_reads(records, ended_runs)
        finally:
            await records.close()
        raw.append({"ended_runs": ended_runs, **figures, "bytes_a_run": size_of(path) / ended_runs})
        lines.append([f"{value:,.0f}" for value in raw[-1].values()])
    note = (
        f"p50 of {TIMES}. Claim, insert and append are durable; {WAITING} runs wait; a page is {PAGE} runs of one"
        " agent. Beside as many steps and events as ended runs."
    )
    path.unlink()
    return [Table("growth", "Growth: single operations beside ended runs", HEAD, lines, raw, note)]


def size_of(path: Path) -> int:
    """Bytes of all pages, those that are still in the WAL included."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.pragma("page_count")) * int(connection.pragma("page_size"))
    finally:
        connection.close()


async def add_first(path: Path) -> None:
    """The runs that wait, and the one that the others are copies of."""
    records = SqliteRecords(f"sqlite:///{path}")
    await records.open()
    try:
        for number in range(WAITING):
            await put(records, queued(f"run_waiting_{number:06}"))
        await put(records, born(run_name(0)), step(run_name(0), ended("nothing:0", OUTPUT)))
        await put(records, told(run_name(0), "run.started"))
        await put(records, finish(run_name(0)))
        await put(records, born(LONG_RUN))
        for number in range(STEPS):
            await records_step(records, number)
    finally:
        await records.close()


def records_step(records: SqliteRecords, number: int) -> Awaitable[object]:
    return put(records, fence(LONG_RUN), step(LONG_RUN, ended(f"nothing:{number}", OUTPUT)))


def run_name(number: int) -> str:
    return f"run_{number:09}"


def add_copies(path: Path, there: int, wanted: int) -> None:
    """Ended runs with the numbers from `there` up to `wanted`, and a step and a segment of events for each."""
    connection = apsw.Connection(str(path))
    try:
        connection.execute("pragma synchronous = off")
        for table, key in (("run", "id"), ("step", "run"), ("event", "run")):
            columns = [row[1] for row in connection.execute(f"pragma table_info({table})")]
            names = ", ".join(name for name in columns if name not in ("pos", key))
            for start in range(there, wanted, IN_ONE):
                connection.execute(
                    "with recursive n(i) as (select ? union all select i + 1 from n where i + 1 < ?) "
                    f"insert into {table}({key}, {names}) select printf('run_%09d', n.i), {names} from n, "
                    f"(select * from {table} where {key} = ? limit 1)",
                    (start, min(start + IN_ONE, wanted), run_name(0)),
                )
        connection.execute("pragma wal_checkpoint(truncate)").fetchall()
    finally:
        connection.close()


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


async def time_reads(records: SqliteRecords, ended_runs: int) -> dict[str, float]:
    """What a run, its pages and its replay cost: rows of others are in the same tables."""
    page = await records.list_runs(TENANT, RunFilter(agent=AGENT), None, PAGE)
    for _ in range(3):
        page = await records.list_runs(TENANT, RunFilter(agent=AGENT), page.next_cursor, PAGE)

    async def append_one(number: int) -> object:
        return await records_step(records, ended_runs * TIMES + number)

    async def deep_page(number: int) -> object:
        return await records.list_runs(TENANT, RunFilter(agent=AGENT), page.next_cursor, PAGE)

    async def read_events(number: int) -> object:
        return await records.read_events(TENANT, run_name(number * ended_runs // TIMES), 0, 100)

    async def load_journal(number: int) -> object:
        return await records.load_journal(TENANT, LONG_RUN)

    operations = {"step_us": append_one, "deep_us": deep_page, "events_us": read_events, "load_us": load_journal}
    return {name: await timed(operation) for name, operation in operations.items()}


async def timed(operation: Callable[[int], Awaitable[object]]) -> float:
    spans = []
    for number in range(TIMES):
        began_at = time.perf_counter()
        await operation(number)
        spans.append((time.perf_counter() - began_at) * 1e6)
    return median(spans) or 0.0


def main() -> None:
    """Writes GROWTH.md and its plot."""
    plan = Plan(**{**vars(full_plan()), "ended_runs": LONG})
    machine, began_at = describe_machine(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pilothouse-growth-") as folder:
        [table] = asyncio.run(measure_growth(plan, Path(folder)))
    told = (
        f"Taken at {machine['at']} on commit {machine['commit']}, {machine['processor']}, in"
        f" {time.monotonic() - began_at:,.0f} s. Load average before: {machine['load_average']:.2f}.\n"
        "Repeat it: `make growth`. RESULTS.md has the same up to a million."
    )
    parts = [f"# {table.title}", told, grid(table.head, table.lines), table.note, f"![{table.title}](growth-long.svg)"]
    text = "\n\n".join(parts) + "\n"
    place = Path(__file__).parent
    (place / "growth-long.svg").write_text(charts_of({table.key: table.raw})["growth.svg"])
    (place / "GROWTH.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
