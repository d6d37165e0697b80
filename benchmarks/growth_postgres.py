"""What ended runs in the table cost a claim on PostgreSQL: `python -m benchmarks.growth_postgres [RUNS ...]`.

The runs are copies of one that ended, made by the database in place; a hundred wait. Each figure is the p50 of single
operations as `growth` times them, with the plan of the claim: it must go along the index of what is ready, in which no
ended run is. The indexes are made anew after the copies, which costs a third of keeping them up to date. Writes
GROWTH-POSTGRES.md when it went as far as ten million.
"""

import asyncio
import sys
import time
from pathlib import Path

from benchmarks.growth import TIMES, WAITING, time_operations
from benchmarks.report import describe_machine, grid
from pilothouse.storage.records.postgres.dialect import load
from pilothouse.storage.records.postgres.records import PostgresRecords
from pilothouse.testing.postgres import PostgresServer
from pilothouse.testing.records.build import born, finish, put, queued

SIZES = (1_000, 100_000, 1_000_000, 10_000_000)
IN_ONE = 500_000
"""Copies in one transaction."""
SETTINGS = {
    "shared_buffers": "512MB", "max_wal_size": "4GB", "autovacuum": "off", "maintenance_work_mem": "1GB",
    # No replica is fed: then the indexes are written once and not twice.
    "wal_level": "minimal", "max_wal_senders": "0",
}  # fmt: skip
WISH = (
    "array['desk']", "array['']", "array[1::bigint]", "array['r1']", "array[0::bigint]", "array['']",
    "array[0::bigint]", r"array['\xff'::bytea]", "array['n']", "array[1::bigint]", "array[2::bigint]",
)  # fmt: skip
TITLE = "Growth on PostgreSQL: single operations beside ended runs"
HEAD = ["ended runs", "claim one us", "insert one us", "newest page us", "count the queue us",
        "GB with indexes", "made in s"]  # fmt: skip


async def measure(server: PostgresServer, there: int, wanted: int) -> dict[str, float]:
    began_at = time.monotonic()
    await asyncio.to_thread(add_copies, server, there, wanted)
    took = time.monotonic() - began_at
    records = PostgresRecords(server.url("growth"))
    await records.open()
    try:
        found = await time_operations(records, wanted)
    finally:
        await records.close()
    size = int(server.query("growth", "select pg_total_relation_size('run')"))
    return {"ended_runs": wanted, **found, "gigabytes": size / 2**30, "made_in_s": took}


async def add_first(server: PostgresServer) -> None:
    records = PostgresRecords(server.url("growth"))
    await records.open()
    try:
        for number in range(WAITING):
            await put(records, queued(f"run_waiting_{number:06}"))
        await put(records, born("run_000000000"), finish("run_000000000"))
    finally:
        await records.close()


def add_copies(server: PostgresServer, there: int, wanted: int) -> None:
    named = "select string_agg(column_name, ', ') from information_schema.columns where table_name = 'run'"
    names = server.query("growth", f"{named} and column_name not in ('pos', 'id')")
    indexes = server.query(
        "growth", "select indexdef from pg_indexes where tablename = 'run' and indexname <> 'run_pkey'"
    )
    dropped = "select string_agg(indexname, ', ') from pg_indexes where tablename = 'run' and indexname <> 'run_pkey'"
    [source] = server.query("growth", "select pos from run where id = 'run_000000000'").splitlines()
    server.query("growth", f"drop index {server.query('growth', dropped)}")
    for start in range(there, wanted, IN_ONE):
        end = min(start + IN_ONE, wanted) - 1
        copies = f"select 'run_' || lpad(n::text, 9, '0'), {names} from run, generate_series({start}, {end}) as n"
        insert = f"insert into run(id, {names}) {copies} where run.pos = {source}"
        server.query("growth", f"set synchronous_commit = off; {insert}")
        tell(f"{end + 1:,} of {wanted:,} runs")
    for index in indexes.splitlines():
        server.query("growth", index)
    tell(f"{len(indexes.splitlines())} indexes")
    server.query("growth", "vacuum analyze run")
    server.query("growth", "checkpoint")


def explain(server: PostgresServer) -> str:
    """How the rows of a claim are found."""
    text = load()["claim_ready"].text
    for number in range(len(WISH), 0, -1):
        start = text.index(f"${number}::")
        end = text.index("[]", start) + 2
        text = text.replace(text[start:end], WISH[number - 1])
    settings = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off"
    plan = server.query("growth", f"{settings}; explain {text}")
    return "\n".join(line.strip() for line in plan.splitlines() if " on run" in line)


def page(machine: dict[str, object], seconds: float, found: list[dict[str, float]], plan: str) -> str:
    rows = [[f"{value:,.1f}" if name == "gigabytes" else f"{value:,.0f}" for name, value in one.items()]
            for one in found]  # fmt: skip
    told = (
        f"Taken at {machine['at']} on commit {machine['commit']}, {machine['processor']}, in {seconds:,.0f} s. "
        f"Load average before: {machine['load_average']:.2f}.\nRepeat it: `make growth-postgres`."
    )
    note = f"p50 of {TIMES}. Claim and insert are durable; {WAITING} runs wait. How a claim finds its rows:"
    return "\n\n".join([f"# {TITLE}", told, grid(HEAD, rows), note, f"```\n{plan}\n```"]) + "\n"


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def main(sizes: list[int]) -> None:
    machine, began_at = describe_machine(), time.monotonic()
    server = PostgresServer(SETTINGS)
    try:
        await asyncio.to_thread(server.start)
        server.query("postgres", "create database growth")
        await add_first(server)
        found, there = [], 1
        for size in sizes:
            found.append(await measure(server, there, size))
            there = size
            tell(", ".join(f"{name} {value:,.1f}" for name, value in found[-1].items()))
        text = page(machine, time.monotonic() - began_at, found, explain(server))
    finally:
        server.remove()
    print(text)
    if max(sizes) >= max(SIZES):
        (Path(__file__).parent / "GROWTH-POSTGRES.md").write_text(text)


if __name__ == "__main__":
    asyncio.run(main([int(word) for word in sys.argv[1:]] or list(SIZES)))
