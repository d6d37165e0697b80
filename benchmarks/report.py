"""RESULTS.md and RESULTS.json: the machine, the versions, the targets with what became of them, and every figure.

A target is met, missed, or was not measured; nothing is rounded in its favour.
"""

import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import apsw
import msgspec

from benchmarks.chart import CHARTS, draw_all
from benchmarks.plan import Plan, Row, Section, Table, median, percentile, short, spread
from benchmarks.server import LOAD_CORES, ROOT, SERVER_CORES

LIBRARIES = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "apsw")
HEAD = ["subject", "callers", "a second", "to limit", "p50 ms", "p99 ms", "CPU us server", "CPU us hosts", "load busy"]
HOST = "host"
REPEATED = """Repeat it: `python -m benchmarks` (all of it, within 15 minutes, writes this file and its plots),
`python -m benchmarks --only W1` (some of it, prints), `python -m benchmarks --quick` (one short look at everything,
figures without meaning, prints). What takes longer has a file of its own: `make bench-peers` writes PEERS.md,
`make growth` GROWTH.md, `make growth-postgres` GROWTH-POSTGRES.md.

How to read it:
- A cell is the median of the repeats, in brackets the least and the most. The subjects take turns in each repeat, and
  a ratio is taken inside a repeat, between figures measured within seconds of each other. Believe the ratios; single
  figures move with the machine and with whatever else runs on it.
- `host` is `pilothouse serve` as it comes: the agent in a process of its own. `inline` runs it inside the node.
- `to limit` is what is left of the hand-written server of `benchmarks/bare.py`: Starlette on uvicorn, with the fastest
  settings; in the journal, of one file with one fdatasync for all steps that wait.
- Servers and their hosts share one core, the load has another. `load busy` near 100 % means that the load is the limit
  and the figure a lower bound.
- Processor time is of all threads of the server, and of its hosts, for each unit."""


class Results:
    """What was measured, as text and as plain values."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.sections: list[Section] = []
        self.tables: list[Table] = []
        self.skipped: list[tuple[str, str]] = []
        self.took: dict[str, float] = {}
        """Seconds of each part."""
        self.machine = describe_machine()

    def skip(self, what: str, reason: str) -> None:
        """Something could not be measured."""
        self.skipped.append((what, reason))

    def markdown(self) -> str:
        parts = ["# Results", self._preface(), REPEATED, "## Targets", grid(TARGET_HEAD, self._verdicts())]
        drawn = draw_all(self)
        if self.skipped:
            parts += [
                "## Not measured",
                grid(["what", "reason"], [[what, why.replace("|", "/")] for what, why in self.skipped]),
            ]
        for section in self.sections:
            parts += [f"## {section.title} ({section.unit})", grid(*section_lines(section))]
            parts += [section.note] if section.note else []
        for table in self.tables:
            parts += [f"## {table.title}", grid(table.head, table.lines), *([table.note] if table.note else [])]
            parts += [f"![{table.title}]({name})" for name in CHARTS.get(table.key, ()) if name in drawn]
        return "\n\n".join(parts) + "\n"

    def json(self) -> bytes:
        content = {
            "machine": self.machine,
            "plan": {"seconds": self.plan.seconds, "warm": self.plan.warm, "repeats": self.repeats},
            "targets": [dict(zip(TARGET_HEAD, line, strict=True)) for line in self._verdicts()],
            "workloads": [section_values(one) for one in self.sections],
            "tables": {one.key: one.raw for one in self.tables},
            "skipped": dict(self.skipped),
            "took_s": {name: round(seconds, 1) for name, seconds in self.took.items()},
        }
        return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"

    def _preface(self) -> str:
        seen = self.machine
        libraries = ", ".join(f"{name} {number}" for name, number in seen["versions"].items())
        lines = [
            f"Taken at {seen['at']} on commit {seen['commit']}.",
            f"{seen['processor']}, {seen['cores']} cores for us (servers on {SERVER_CORES}, load on {LOAD_CORES}), "
            f"{seen['memory_gb']} GB; {seen['system']}; CPython {seen['python']}; {libraries}; "
            f"SQLite {seen['sqlite']}.",
            f"One fdatasync: {seen['sync_p50_us']:.0f} us p50, {seen['sync_p99_us']:.0f} us p99. "
            f"Load average before: {seen['load_average']:.2f}.",
        ]
        if seen["load_average"] > 0.7:
            lines.append("Other programs ran beside: single figures are too low; read the ratios.")
        lines.append(f"Repeats: {self.repeats}, samples of {self.plan.seconds} s each; {self.plan.warm} s before each "
                     "are not counted.")  # fmt: skip
        return "\n".join(lines)

    @property
    def repeats(self) -> int:
        """How many there was time for."""
        return max((len(row.samples) for one in self.sections for row in one.rows), default=0)

    def _verdicts(self) -> list[list[str]]:
        return [verdict(self, *target) for target in TARGETS]

    def row(self, key: str, callers: int, subject: str = HOST) -> tuple[Section, Row] | None:
        for section in self.sections:
            for row in section.rows:
                if (section.key, row.callers, row.subject) == (key, callers, subject):
                    return section, row
        return None

    def speed(self, key: str, callers: int) -> float | None:
        found = self.row(key, callers)
        return median(found[1].values("per_second")) if found else None

    def ratio(self, key: str, callers: int) -> float | None:
        found = self.row(key, callers)
        return median(found[0].ratios(found[1])) if found else None

    def cpu(self, key: str, callers: int) -> float | None:
        found = self.row(key, callers)
        if found is None or not found[1].values("cpu_server_us"):
            return None
        row = found[1]
        return median([sum(pair) for pair in zip(row.values("cpu_server_us"), row.values("cpu_hosts_us"), strict=True)])

    def cluster(self, work: str, workers: int) -> float | None:
        """Units a second of a gateway with so many workers on PostgreSQL."""
        for table in self.tables:
            for line in table.raw if table.key == "cluster" else []:
                if line["work"].startswith(work) and line["workers"] == workers:
                    return median(line["samples"])
        return None

    def workers(self, work: str) -> float | None:
        """What four workers do of what one does."""
        one, four = self.cluster(work, 1), self.cluster(work, 4)
        return four / one if one and four else None

    def best(self, work: str) -> float | None:
        return max((found for count in (1, 2, 4) if (found := self.cluster(work, count))), default=None)

    def tenants(self) -> float | None:
        """p99 of a quiet tenant beside a flood, to its p99 alone."""
        for table in self.tables:
            if table.key == "tenants":
                alone, beside = (line["p99_ms"] for line in table.raw)
                return beside / alone if alone and beside else None
        return None

    def beside(self, peer: str) -> float | None:
        """The ratio to a peer that was measured in the same run."""
        found = (line for table in self.tables if table.key == "beside" for line in table.raw)
        return next((line.get("ratio") for line in found if line["peer"] == peer), None)

    def single(self, key: str, name: str) -> float | None:
        for table in self.tables:
            for line in table.raw:
                if table.key == key and line["subject"] == HOST:
                    return line[name]
        return None


TARGET_HEAD = ["what", "target", "measured", "verdict"]
Read = Callable[[Results], float | None]
TARGETS: tuple[tuple[str, str, float, Read], ...] = (
    ("W1: share of the bare Starlette app, 128 callers", ">=", 0.8, lambda seen: seen.ratio("W1", 128)),
    ("W1: CPU us a run, node and host, 128 callers", "<=", 250, lambda seen: seen.cpu("W1", 128)),
    ("W2: turns a second, 64 sessions", ">=", 3_000, lambda seen: seen.speed("W2", 64)),
    ("W2: share of the hand-written app, 64 sessions", ">=", 1, lambda seen: seen.ratio("W2", 64)),
    ("W3: runs a second, 32 callers", ">=", 2_000, lambda seen: seen.speed("W3", 32)),
    ("W3: idle submit to start, p50 ms", "<=", 5, lambda seen: seen.single("idle", "start_p50_ms")),
    ("W4: events a second, one a tick", ">=", 60_000, lambda seen: seen.speed("W4 tick", 32)),
    ("W4: events a second, one every 5 ms", ">=", 5_000, lambda seen: seen.speed("W4 paced", 32)),
    ("W5: seconds to the first answer", "<=", 1, lambda seen: seen.single("W5", "first_answer_s")),
    ("W5: idle MB, node and host", "<=", 80, lambda seen: seen.single("W5", "idle_mb")),
    (
        "Cold: ms from a lost host to the next answer, a spare beside it",
        "<=",
        100,
        lambda seen: seen.single("losses", "next_answer_ms"),
    ),
    ("Cold: ms of processor time to import the sdk", "<=", 50, lambda seen: seen.single("footprint", "import_ms")),
    # 40 % of what the prototype left of the file: 0.84, 0.95 and 0.74 of it at 1, 32 and 128 runs.
    ("Journal: share of the bare file, 1 run", ">=", 0.34, lambda seen: seen.ratio("journal", 1)),
    ("Journal: share of the bare file, 32 runs", ">=", 0.38, lambda seen: seen.ratio("journal", 32)),
    ("Journal: share of the bare file, 128 runs", ">=", 0.30, lambda seen: seen.ratio("journal", 128)),
    ("Tenants: p99 beside a flood, to alone", "<=", 1.2, lambda seen: seen.tenants()),
    # 40 % of 16,000, as the prototype did with client and worker processes over PostgreSQL.
    ("PostgreSQL: steps a second, 128 runs", ">=", 6_400, lambda seen: seen.best("journal")),
    ("PostgreSQL: steps, times DBOS in the same run", ">=", 50, lambda seen: seen.beside("dbos")),
    # Restate 1.7 did 1,200 where the prototype did 16,000; it was not measured in this run.
    ("PostgreSQL: steps, times 1,200 of Restate", ">=", 5, lambda seen: times(seen.best("journal"), 1_200)),
    ("PostgreSQL: W2, 4 workers to 1, on these cores", ">=", 0.75, lambda seen: seen.workers("W2")),
    ("PostgreSQL: W3, 4 workers to 1, on these cores", ">=", 0.75, lambda seen: seen.workers("W3")),
    ("PostgreSQL: steps, 4 workers to 1, on these cores", ">=", 0.75, lambda seen: seen.workers("journal")),
)


def times(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def verdict(seen: Results, what: str, sign: str, target: float, read: Read) -> list[str]:
    value = read(seen)
    wanted = f"{sign} {target:,}"
    if value is None:
        return [what, wanted, "", "not measured"]
    is_met = value >= target if sign == ">=" else value <= target
    return [what, wanted, short(value), "met" if is_met else "missed"]


def section_lines(section: Section) -> tuple[list[str], list[list[str]]]:
    head, lines = list(HEAD), []
    has_first = any(row.values("first_ms") for row in section.rows)
    head += ["first event ms"] if has_first else []
    for row in section.rows:
        is_limit = row.subject == section.limit
        line = [row.subject, str(row.callers), spread(row.values("per_second"))]
        line.append("" if is_limit else spread(section.ratios(row)))
        line += [spread(row.values(name)) for name in ("p50_ms", "p99_ms", "cpu_server_us", "cpu_hosts_us")]
        line.append(f"{busy:.0%}" if (busy := median(row.values("load_busy"))) is not None else "")
        lines.append([*line, spread(row.values("first_ms"))] if has_first else line)
    return head, lines


def section_values(section: Section) -> dict[str, object]:
    rows = [
        {
            "subject": row.subject, "callers": row.callers, "per_second": median(row.values("per_second")),
            "to_limit": median(section.ratios(row)), "samples": row.samples,
        }
        for row in section.rows
    ]  # fmt: skip
    return {"key": section.key, "title": section.title, "unit": section.unit, "limit": section.limit, "rows": rows}


def grid(head: list[str], lines: list[list[str]]) -> str:
    widths = [max(len(line[at]) for line in [head, *lines]) for at in range(len(head))]
    rows = [head, ["-" * width for width in widths], *lines]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    )


def describe_machine() -> dict[str, object]:
    syncs = time_syncs()
    return {
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": commit(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
        "sqlite": apsw.sqlite_lib_version(),
        "sync_p50_us": percentile(syncs, 0.5),
        "sync_p99_us": percentile(syncs, 0.99),
        "load_average": os.getloadavg()[0],
    }


def commit() -> str:
    """The commit of the tree, and whether its code was changed since."""
    try:
        found = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", "src", "benchmarks")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    changed = "\n".join(line for line in changed.splitlines() if not line.endswith((".md", ".json", ".svg")))
    return f"{found} with local changes" if changed else found


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def time_syncs(times: int = 100) -> list[float]:
    """Microseconds of one small write and its fdatasync, in the temporary folder where the records will be."""
    spans = []
    with tempfile.TemporaryFile() as file:
        for _ in range(times):
            os.write(file.fileno(), bytes(256))
            began_at = time.perf_counter()
            os.fdatasync(file.fileno())
            spans.append((time.perf_counter() - began_at) * 1e6)
    return spans
