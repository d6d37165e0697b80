"""`python -m benchmarks [--quick] [--seconds S] [--only W1 ...] [--out FOLDER]`.

A run of everything writes RESULTS.md and RESULTS.json beside this file; a quick or partial one only prints, unless it
is told where to write. Nothing outlives it: its servers end with it, its files are in one temporary folder.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from benchmarks import journal
from benchmarks.bridges import measure_bridges
from benchmarks.chart import draw_all
from benchmarks.cluster import measure_cluster
from benchmarks.footprint import measure_footprint
from benchmarks.growth import measure_growth
from benchmarks.messages import measure_messages
from benchmarks.outgoing import measure_outgoing
from benchmarks.oversight import measure_oversight
from benchmarks.page import measure_page, measure_runs
from benchmarks.plan import Plan, Section, Table, full_plan, quick_plan
from benchmarks.report import Results
from benchmarks.server import LOAD_CORES, SERVER_CORES, Server, StartFailed, serving
from benchmarks.start import measure_cold
from benchmarks.tenants import measure_tenants
from benchmarks.traces import measure_traces
from benchmarks.workloads import JOURNAL, WORKLOADS, Workload, measure, measure_idle, order_rows, sections

PARTS = ("W1", "W2", "W3", "W4", "W5", "journal", "cluster", "growth", "footprint", "oversight", "outgoing", "bridges",
         "traces", "page", "runs", "messages", "tenants")  # fmt: skip
LEFT_OUT = {"cluster", "bridges", "page", "runs", "traces", "messages", "tenants"}
"""Of a quick look: they start many processes, and are asked for by name."""
PART_WITHIN = 180.0
"""Seconds; what takes longer is given up."""


def read_words() -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the runtime beside bare ones.")
    reader.add_argument("--quick", action="store_true", help="one short look at everything, within 40 s")
    reader.add_argument("--seconds", type=float, help="the span of one sample, 0.05 to 10")
    reader.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some of it")
    reader.add_argument("--out", type=Path, help="the folder for RESULTS.md and RESULTS.json")
    words = reader.parse_args()
    if words.seconds is not None and not 0.05 <= words.seconds <= 10:
        reader.error("--seconds is 0.05 to 10")
    return words


def plan_of(words: argparse.Namespace) -> Plan:
    if words.quick:
        return quick_plan(words.seconds or 0.25)
    plan = full_plan()
    return Plan(**{**vars(plan), "seconds": words.seconds}) if words.seconds else plan


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


Part = Callable[[Plan, Path], Awaitable[list[Table]]]


def alone(measure: Callable[[Plan, Path], Table]) -> Part:
    """A part that blocks, in a thread of its own."""

    async def part(plan: Plan, folder: Path) -> list[Table]:
        return [await asyncio.to_thread(measure, plan, folder)]

    return part


def single(measure: Callable[[Plan, Path], Awaitable[Table]]) -> Part:
    async def part(plan: Plan, folder: Path) -> list[Table]:
        return [await measure(plan, folder)]

    return part


BESIDE: dict[str, Part] = {
    "W5": measure_cold, "footprint": alone(measure_footprint), "growth": measure_growth,
    "oversight": single(measure_oversight), "outgoing": alone(measure_outgoing), "bridges": alone(measure_bridges),
    "cluster": measure_cluster, "traces": single(measure_traces), "page": alone(measure_page),
    "runs": alone(measure_runs), "messages": alone(measure_messages),
    "tenants": single(measure_tenants),
}  # fmt: skip
"""What is no workload, in the order in which it is measured; the first of them before the workloads."""


async def measure_all(plan: Plan, parts: set[str], folder: Path) -> Results:
    results = Results(plan)
    task = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    os.sched_setaffinity(0, LOAD_CORES)
    first, *others = BESIDE.items()
    for name, part in [first] if first[0] in parts else []:
        await measure_part(plan, name, part, folder, results)
    if any(one.key.split()[0] in parts for one in (*WORKLOADS, JOURNAL)):
        await measure_works(plan, parts, folder, results)
    for name, part in others:
        if name in parts:
            await measure_part(plan, name, part, folder, results)
    return results


async def measure_part(plan: Plan, name: str, part: Part, folder: Path, results: Results) -> None:
    """What cannot be measured is told with its reason, and the rest is measured."""
    began_at = time.monotonic()
    if began_at - plan.began_at > plan.ends_within:
        results.skip(name, f"no time was left of {plan.ends_within:g} s")
        return
    try:
        async with asyncio.timeout(PART_WITHIN):
            results.tables += await part(plan, folder)
    except Exception as error:
        results.skip(name, told(error))
    results.took[name] = time.monotonic() - began_at
    tell(f"{name}: {results.took[name]:.0f} s" + "".join(f", {why}" for one, why in results.skipped if one == name))


def told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[-300:]}" if text else type(error).__name__


async def measure_works(plan: Plan, parts: set[str], folder: Path, results: Results) -> None:
    found = sections()
    works = [one for one in (*WORKLOADS, JOURNAL) if one.key.split()[0] in parts]
    began_at = time.monotonic()
    try:
        with serving(folder, SERVER_CORES) as servers:
            if "W3" in parts:
                idle = single(lambda plan, folder: measure_idle(plan, servers))
                await measure_part(plan, "idle", idle, folder, results)
            for number in range(plan.repeats):
                if number and plan.is_over:
                    break
                for work in works:
                    await measure_repeat(plan, work, found[work.key], servers, number, folder, results)
    except StartFailed as error:
        results.skip("workloads", told(error))
    results.sections = [found[work.key] for work in works if found[work.key].rows]
    results.took["workloads"] = time.monotonic() - began_at


async def measure_repeat(
    plan: Plan, work: Workload, section: Section, servers: list[Server], number: int, folder: Path, results: Results
) -> None:  # fmt: skip
    """A repeat that fails is taken back whole, so that figures of one repeat stay beside each other."""
    counts = {id(row): len(row.samples) for row in section.rows}
    try:
        if work is JOURNAL:
            for callers in work.callers:
                for kind in journal.KINDS:
                    taken = await journal.measure_alone(plan, kind, folder, callers)
                    section.row(kind, callers).samples.append(taken)
        await measure(plan, work, section, servers, number)
    except Exception as error:
        for row in section.rows:
            del row.samples[counts.get(id(row), 0) :]
        section.rows = [row for row in section.rows if row.samples]
        results.skip(f"{work.key}, repeat {number + 1}", told(error))
    order_rows(section, servers)
    tell(f"{work.key}, repeat {number + 1} of {plan.repeats}")


def main() -> None:
    words = read_words()
    plan = plan_of(words)
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        try:
            parts = set(words.only)
            if words.quick and words.only is PARTS:
                parts -= LEFT_OUT
            results = uvloop.run(measure_all(plan, parts, Path(folder)))
        except asyncio.CancelledError:
            sys.exit("Ended before it was done.")
    text = results.markdown()
    print(text)
    is_whole = not words.quick and set(words.only) == set(PARTS)
    out = words.out or (Path(__file__).parent if is_whole else None)
    if out is not None:
        (out / "RESULTS.md").write_text(text)
        (out / "RESULTS.json").write_bytes(results.json())
        for name, drawn in draw_all(results).items():
            (out / name).write_text(drawn)


if __name__ == "__main__":
    main()
