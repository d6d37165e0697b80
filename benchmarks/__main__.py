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
from pathlib import Path

import uvloop

from benchmarks import journal
from benchmarks.bridges import measure_bridges
from benchmarks.cluster import measure_cluster
from benchmarks.footprint import measure_footprint
from benchmarks.growth import measure_growth
from benchmarks.outgoing import measure_outgoing
from benchmarks.oversight import measure_oversight
from benchmarks.plan import Plan, full_plan, quick_plan
from benchmarks.report import Results
from benchmarks.server import LOAD_CORES, SERVER_CORES, serving
from benchmarks.start import measure_starts
from benchmarks.workloads import JOURNAL, WORKLOADS, measure, measure_idle, order_rows, sections

PARTS = ("W1", "W2", "W3", "W4", "W5", "journal", "cluster", "growth", "footprint", "oversight", "outgoing", "bridges")


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


async def measure_all(plan: Plan, parts: set[str], folder: Path) -> Results:
    results = Results(plan)
    task = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    os.sched_setaffinity(0, LOAD_CORES)
    found = sections()
    works = [one for one in (*WORKLOADS, JOURNAL) if one.key.split()[0] in parts]
    if "W5" in parts:
        starts = measure_starts(plan, folder)
        tell("W5")
    if works:
        with serving(folder, SERVER_CORES) as servers:
            idle = [await measure_idle(plan, servers)] if "W3" in parts else []
            for number in range(plan.repeats):
                if number and plan.is_over:
                    break
                for work in works:
                    section = found[work.key]
                    if work is JOURNAL:
                        for callers in work.callers:
                            for kind in journal.KINDS:
                                taken = await journal.measure_alone(plan, kind, folder, callers)
                                section.row(kind, callers).samples.append(taken)
                    await measure(plan, work, section, servers, number)
                    order_rows(section, servers)
                    tell(f"{work.key}, repeat {number + 1} of {plan.repeats}")
            results.tables += idle
    if "W5" in parts:
        results.tables.append(starts)
    if "growth" in parts:
        results.tables.append(await measure_growth(plan, folder))
    if "outgoing" in parts:
        results.tables.append(await asyncio.to_thread(measure_outgoing, plan, folder))
        tell("growth")
    if "bridges" in parts:
        results.tables.append(await asyncio.to_thread(measure_bridges, plan, folder))
        tell("bridges")
    if "footprint" in parts:
        results.tables.append(measure_footprint(plan, folder))
        tell("footprint")
    if "oversight" in parts:
        results.tables.append(await measure_oversight(plan, folder))
        tell("oversight")
    if "cluster" in parts:
        results.tables += await measure_cluster(plan, folder)
        tell("cluster")
    results.sections = [found[work.key] for work in works]
    return results


def main() -> None:
    words = read_words()
    plan = plan_of(words)
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        try:
            parts = set(words.only)
            if words.quick and words.only is PARTS:
                parts -= {"cluster", "bridges"}  # they start many processes: asked for by name
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


if __name__ == "__main__":
    main()
