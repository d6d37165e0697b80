"""What ended runs in the table cost a claim on PostgreSQL: `python -m benchmarks.growth_postgres [RUNS ...]`.

The runs are copies of one that ended, made by the database in place; a hundred wait. Each figure is the p50 of single
operations as `growth` times them, with the plan of the claim: it must go along the index of what is ready, in which no
ended run is. Ten million take some minutes and ten gigabytes of disk, in the folder for temporary files.
"""

import asyncio
import sys
import time

from benchmarks.growth import TIMES, WAITING, time_operations
from pilothouse.storage.records.postgres.dialect import load
from pilothouse.storage.records.postgres.records import PostgresRecords
from pilothouse.testing.postgres import PostgresServer
from pilothouse.testing.records.build import born, finish, put, queued

SIZES = (1_000, 100_000, 1_000_000)
IN_ONE = 100_000
"""Copies in one transaction."""
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "2GB", "autovacuum": "off"}
WISH = (
    "array['desk'], array[''], array[1::bigint], array['r1'], array[0::bigint], array[''], array['n'], "
    "array[1::bigint], array[2::bigint]"
)


async def measure(server: PostgresServer, there: int, wanted: int) -> dict[str, float]:
    await asyncio.to_thread(add_copies, server, there, wanted)
    records = PostgresRecords(server.url("growth"))
    await records.open()
    try:
        return await time_operations(records, wanted)
    finally:
        await records.close()


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
    for start in range(there, wanted, IN_ONE):
        end = min(start + IN_ONE, wanted) - 1
        copies = f"select 'run_' || lpad(n::text, 9, '0'), {names} from generate_series({start}, {end}) as n, run"
        insert = f"insert into run(id, {names}) {copies} where run.id = 'run_000000000'"
        server.query("growth", f"set synchronous_commit = off; {insert}")
    server.query("growth", "vacuum analyze run")


def explain(server: PostgresServer) -> str:
    """How the rows of a claim are found."""
    text = load()["claim_ready"].text
    for number in range(9, 0, -1):
        start = text.index(f"${number}::")
        end = text.index("[]", start) + 2
        text = text.replace(text[start:end], WISH.split(", ")[number - 1])
    settings = "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off"
    plan = server.query("growth", f"{settings}; explain {text}")
    return "\n".join(line for line in plan.splitlines() if " on run" in line)


async def main(sizes: list[int]) -> None:
    server = PostgresServer(SETTINGS)
    try:
        await asyncio.to_thread(server.start)
        server.query("postgres", "create database growth")
        await add_first(server)
        there = 1
        print(f"p50 of {TIMES}, microseconds; {WAITING} runs wait")
        for size in sizes:
            began_at = time.monotonic()
            found = await measure(server, there, size)
            there = size
            figures = ", ".join(f"{name.removesuffix('_us')} {value:,.0f}" for name, value in found.items())
            print(f"{size:>12,} ended runs (made in {time.monotonic() - began_at:,.0f} s): {figures}", flush=True)
        print(explain(server))
    finally:
        server.remove()


if __name__ == "__main__":
    asyncio.run(main([int(word) for word in sys.argv[1:]] or list(SIZES)))
