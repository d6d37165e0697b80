"""W5: seconds from the start of the command to the first answered run, and what an idle server holds in memory."""

import time
from pathlib import Path

from benchmarks.load import ask, post
from benchmarks.plan import Plan, Table, median, spread
from benchmarks.server import ALL_CORES, KINDS

SETTLED_AFTER = 0.3
HEAD = [
    "subject",
    "starts",
    "first answer s",
    "idle MB server",
    "idle MB hosts",
    "idle MB together",
    "shared pages once",
]


def measure_starts(plan: Plan, folder: Path) -> Table:
    """All cores are allowed; each start has an empty folder, so it makes its records too."""
    lines, raw = [], []
    for kind in KINDS:
        spans, own, hosts, once = [], [], [], []
        for number in range(plan.starts):
            server = kind(folder / f"start_{number}")
            began_at = time.perf_counter()
            try:
                server.start(ALL_CORES)
                ask(server.port, post("/v1/agents/echo/runs", b'{"input":"x"}'))
                spans.append(time.perf_counter() - began_at)
                time.sleep(SETTLED_AFTER)
                memory = server.memory()
                once.append(server.own_memory())
            finally:
                server.stop()
            own.append(memory[0])
            hosts.append(memory[1])
        together = [sum(pair) for pair in zip(own, hosts, strict=True)]
        lines.append([kind.name, str(plan.starts), *map(spread, (spans, own, hosts, together, once))])
        raw.append(
            {
                "subject": kind.name,
                "first_answer_s": median(spans),
                "idle_mb": median(together),
                "idle_own_mb": median(once),
            }
        )
    note = (
        "Resident memory; pages that processes share (libraries) are counted in each of them,"
        " and once in the last column. All cores allowed."
    )
    return Table("W5", "W5 cold start to the first answer, idle memory", HEAD, lines, raw, note)
