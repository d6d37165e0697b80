"""Several nodes on one PostgreSQL: what a gateway and 1, 2 and 4 workers do together, and the records alone.

All processes share the cores with the load, so the figures tell what coordination costs and not what more machines
would bring. Each durable answer waits for a commit that PostgreSQL has synced.
"""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import journal
from benchmarks.agents import STEPS
from benchmarks.load import LoadFailed, ask, get, percentile_pair, post, repeat, sample
from benchmarks.peers.__main__ import by_itself
from benchmarks.peers.peer import PEERS, Skipped
from benchmarks.plan import Plan, Table, median, short, spread
from benchmarks.server import ALL_CORES, NodeServer, children_of, cpu_of
from benchmarks.workloads import submit_and_wait, turns
from pilothouse.testing.postgres import PostgresServer

READY_WITHIN = 30.0
REPEATS = 3
LEASE = 10.0
TAKEOVER_WITHIN = 40.0
WORKS = (
    ("W2 session turns, 64 sessions", turns, 64, 1, 1),
    ("W3 submit to done, 32 callers", submit_and_wait, 32, 2, 1),
    ("journal, steps, 128 runs", repeat(post("/v1/agents/steps/runs", b'{"input":"Ten"}', "Prefer: wait=20")), 128, 1,
     STEPS),
)  # fmt: skip
"""Title, script, callers, exchanges of one unit, weight of one unit."""
HEAD = ["work", "workers", "a second", "p50 ms", "p99 ms", "CPU us: gateway + workers + PostgreSQL", "claims a second",
        "found nothing"]  # fmt: skip
NOTE = (
    "Processor time for each unit (turn, run, step); that of workers is with their hosts. With four workers a turn of "
    "a session costs them and PostgreSQL twice what it does with one: each has a quarter of the sessions, so a "
    "transaction and its round trips are shared by a quarter of the turns, and all seven processes share two cores. "
    "The target against DBOS was set when it did 129 to 177 steps a second."
)
BESIDE = (("dbos", "journal", 128), ("celery", "W3", 32))
"""Peers, the work that is held against them, and how many at once."""


class ClusterNode(NodeServer):
    """A node of this role on the shared records."""

    def __init__(self, folder: Path, role: str, number: int, url: str) -> None:
        self.name = f"{role} {number}"
        self._role, self._url = role, url
        super().__init__(folder)

    def command(self) -> list[str]:
        return [*super().command(), "--role", self._role, "--records", self._url]

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


async def measure_cluster(plan: Plan, folder: Path) -> list[Table]:
    """One cluster after the other. A quick look takes one worker, and nobody is killed."""
    workers = (1,) if plan.repeats == 1 else (1, 2, 4)
    server = PostgresServer({"shared_buffers": "128MB"})
    try:
        await asyncio.to_thread(server.start)
        lines, raw = [], []
        for count in workers:
            server.query("postgres", f"create database with{count}")
            found = await _with_workers(plan, folder / f"with{count}", server, count)
            raw += found
            lines += [line_of(one) for one in found]
        tables = [Table("cluster", "One gateway and some workers on PostgreSQL", HEAD, lines, raw, NOTE)]
        tables.append(await _alone(plan, folder, server))
        if plan.repeats > 1:
            tables.append(await asyncio.to_thread(_beside, plan, folder, server, raw))
            server.query("postgres", "create database takeover")
            tables.append(await _takeover(folder / "takeover", server.url("takeover")))
        return tables
    finally:
        server.remove()


def line_of(found: dict) -> list[str]:
    cpu = " + ".join(short(found[f"cpu_{name}_us"]) for name in ("gateway", "workers", "postgres"))
    claims, empty = found["claims"], found["empty_claims"]
    said = [short(found["claims_a_second"]), f"{empty / claims:.0%}" if claims else ""]
    rates = [spread(found["samples"]), short(found["p50_ms"]), short(found["p99_ms"])]
    return [found["work"], str(found["workers"]), *rates, cpu, *said]


class Watch:
    """What processes have used, and what workers have claimed, between two moments."""

    def __init__(self, gateway: ClusterNode, workers: list[ClusterNode], server: PostgresServer) -> None:
        self._gateway, self._workers, self._server = gateway, workers, server
        self._edges: list[tuple[float, float, float]] = []
        self.cpu = [0.0, 0.0, 0.0]
        self.units = 0

    def note_edge(self) -> None:
        """Seconds of the gateway, of the workers with their hosts, and of PostgreSQL."""
        postgres = [self._server.process, *children_of(self._server.process)]
        self._edges.append((
            sum(self._gateway.cpu()), sum(sum(one.cpu()) for one in self._workers), sum(map(cpu_of, postgres)),
        ))  # fmt: skip

    def add(self, units: int) -> None:
        """After a sample: it had two edges and so many units."""
        before, after = self._edges[-2:]
        self.cpu = [sum_ + last - first for sum_, first, last in zip(self.cpu, before, after, strict=True)]
        self.units += units

    def claims(self) -> tuple[int, int]:
        """Those that brought runs, and those that found nothing, of all workers since they began."""
        pages = [ask(one.port, get("/metrics")).decode() for one in self._workers]
        return tuple(  # type: ignore[return-value]
            sum(int(float(line.split()[-1])) for page in pages for line in page.splitlines()
                if line.startswith(f'pilothouse_claims_total{{found="{found}"}}'))
            for found in ("runs", "nothing")
        )  # fmt: skip


async def _with_workers(plan: Plan, folder: Path, server: PostgresServer, count: int) -> list[dict]:
    url = server.url(f"with{count}")
    nodes = [ClusterNode(folder, "worker", number, url) for number in range(count)]
    gateway = ClusterNode(folder, "gateway", 0, url)
    try:
        for node in [*nodes, gateway]:
            await asyncio.to_thread(node.start, ALL_CORES)
        await _wait_known(gateway.port)
        found = []
        for title, script, callers, exchanges, weight in WORKS:
            samples, spans = [], []
            watch = Watch(gateway, nodes, server)
            began_at, before = time.monotonic(), await asyncio.to_thread(watch.claims)
            for _ in range(min(plan.repeats, REPEATS)):
                counted, span = await sample(
                    gateway.port, script, callers, plan.seconds, plan.warm, exchanges, b"", watch.note_edge
                )
                watch.add(counted.units * weight)
                samples.append(counted.units * weight / span)
                spans += counted.spans
            after, took = await asyncio.to_thread(watch.claims), time.monotonic() - began_at
            with_runs, empty = (last - first for first, last in zip(before, after, strict=True))
            p50, p99 = percentile_pair(spans)
            cpu = [seconds * 1e6 / watch.units if watch.units else 0.0 for seconds in watch.cpu]
            found.append({
                "work": title, "workers": count, "samples": samples, "p50_ms": p50, "p99_ms": p99,
                "cpu_gateway_us": cpu[0], "cpu_workers_us": cpu[1], "cpu_postgres_us": cpu[2],
                "claims": with_runs + empty, "empty_claims": empty, "claims_a_second": (with_runs + empty) / took,
            })  # fmt: skip
        return found
    finally:
        for node in [gateway, *nodes]:
            await asyncio.to_thread(node.stop)


async def _wait_known(port: int) -> None:
    """Until the gateway knows the agents of the workers."""
    until = time.monotonic() + READY_WITHIN
    while b'"steps"' not in await asyncio.to_thread(ask, port, get("/v1/agents")):
        if time.monotonic() > until:
            raise LoadFailed("the gateway does not know the agents of its workers")
        await asyncio.sleep(0.1)


async def _alone(plan: Plan, folder: Path, server: PostgresServer) -> Table:
    """The records alone: each step durable before the next of its run."""
    lines, raw = [], []
    for runs in (1, 32, 128):
        figures: dict[str, float] = {"runs": runs}
        for kind in ("file", "records"):
            figures[kind] = (await journal.measure_alone(plan, kind, folder, runs)).per_second
        server.query("postgres", f"create database alone{runs}")
        figures["postgres"] = await count_postgres(server.url(f"alone{runs}"), runs, plan.seconds, plan.warm)
        raw.append(figures)
        lines.append([str(runs), *(short(figures[kind]) for kind in ("file", "records", "postgres"))])
    head = ["runs", "file", "records on SQLite", "records on PostgreSQL"]
    return Table("alone", "Journal on PostgreSQL, without the runtime (steps a second)", head, lines, raw)


async def count_postgres(url: str, runs: int, seconds: float, warm: float) -> float:
    from pilothouse.storage.records.postgres.records import PostgresRecords
    from pilothouse.testing.records.build import born, ended, fence, put, step

    records = PostgresRecords(url)
    await records.open()
    try:
        for number in range(runs):
            await put(records, born(f"run_{number}"))

        def appender(run: str):
            return lambda number: put(records, fence(run), step(run, ended(f"nothing:{number}", journal.LINE[:-1])))

        return (await journal.count(seconds, warm, [appender(f"run_{number}") for number in range(runs)]))[0]
    finally:
        await records.close()


def _beside(plan: Plan, folder: Path, server: PostgresServer, ours: list[dict]) -> Table:
    """Peers on the same cores right after: DBOS on this very server, Celery on a broker that keeps nothing. Their
    environments are made where they are missing; without a network it is told that they could not be."""
    lines, raw = [], []
    for name, work, callers in BESIDE:
        [peer] = [one for one in PEERS if one.name == name]
        best = max((median(one["samples"]) or 0.0 for one in ours if one["work"].startswith(work)), default=0.0)
        figures: dict[str, Any] = {"peer": name, "work": work, "ours": best}
        try:
            figures["version"] = peer.install()
            server.query("postgres", f"create database peer_{name}")
            url = server.url(f"peer_{name}") if name == "dbos" else ""
            figures["per_second"] = by_itself(peer, callers, max(plan.seconds, 3.0), folder, url)
        except Skipped as reason:
            figures["skipped"] = str(reason)
        theirs = figures.get("per_second")
        figures["ratio"] = best / theirs if theirs else None
        told = [short(theirs), short(figures["ratio"])]
        lines.append([name, work, *told[:1], short(best), told[1], str(figures.get("skipped", ""))])
        raw.append(figures)
    head = ["peer", "work", "a second", "ours, the best of 1, 2, 4 workers", "ours / theirs", "skipped"]
    return Table("beside", "Peers beside the cluster (DBOS on the same PostgreSQL)", head, lines, raw)


async def _takeover(folder: Path, url: str) -> Table:
    """Seconds from kill -9 of the worker that has a run until another one has resumed it."""
    first, second = ClusterNode(folder, "worker", 1, url), ClusterNode(folder, "worker", 2, url)
    gateway = ClusterNode(folder, "gateway", 0, url)
    try:
        for node in (first, gateway):
            await asyncio.to_thread(node.start, ALL_CORES)
        await _wait_known(gateway.port)
        slow = post("/v1/agents/paced/runs", b'{"input":"Tell"}', "Prefer: respond-async")
        run = None
        while run is None:
            found = msgspec.json.decode(await asyncio.to_thread(ask, gateway.port, slow))["id"]
            await asyncio.sleep(0.1)
            shown = msgspec.json.decode(await asyncio.to_thread(ask, gateway.port, get(f"/v1/runs/{found}")))
            if shown["status"] == "running":
                run = found
        killed_at = time.monotonic()
        await asyncio.to_thread(first.kill)
        await asyncio.to_thread(second.start, ALL_CORES)
        taken = None
        while taken is None and time.monotonic() < killed_at + TAKEOVER_WITHIN:
            events = await asyncio.to_thread(ask, gateway.port, get(f"/v1/runs/{run}/events?after=0&limit=1000"))
            if b'"run.resumed"' in events:
                taken = time.monotonic() - killed_at
            await asyncio.sleep(0.02)
        raw = [{"takeover_s": taken, "lease_s": LEASE}]
        return Table("takeover", "A worker is killed (kill -9): until another one goes on with its run",
                     ["lease s", "taken over after s"], [[short(LEASE), short(taken)]], raw)  # fmt: skip
    finally:
        for node in (gateway, second):
            await asyncio.to_thread(node.stop)
