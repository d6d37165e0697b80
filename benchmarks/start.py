"""W5: seconds from the start of the command to the first answered run, what an idle server holds in memory, and for how
long nobody answers when a host is killed.

A lost host is one that got SIGKILL; the caller asks again and again until a run is answered by another
process. With a spare one is there that has loaded its agents; without, a new one has to start.
"""

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec

from benchmarks.load import LoadFailed, ask, get, post
from benchmarks.plan import Plan, Table, median, spread
from benchmarks.server import ALL_CORES, KINDS, NodeServer

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
LOST_HEAD = ["subject", "hosts lost", "ms to the next answer"]
WHO = '''

@agent
async def who(message: str) -> int:
    """The process that answers."""
    import os

    return os.getpid()
'''
UP_WITHIN, EVERY = 30.0, 0.001


async def measure_cold(plan: Plan, folder: Path) -> list[Table]:
    return [await asyncio.to_thread(measure, plan, folder) for measure in (measure_starts, measure_losses)]


class LosingServer(NodeServer):
    """The node with an agent that tells which process runs it. `spares`: hosts in reserve."""

    def __init__(self, folder: Path, spares: int) -> None:
        self.name = "host, a spare beside it" if spares else "host alone"
        super().__init__(folder)
        self._spares = spares

    def prepare(self) -> None:
        super().prepare()
        agents = self.folder / "bench_agents.py"
        agents.write_text(agents.read_text() + WHO)
        file = self.folder / "pilothouse.toml"
        told = file.read_text().replace("[worker]", f"[worker]\nspare_hosts = {self._spares}")
        file.write_text(told + '[agents.who]\ntarget = "bench_agents:who"\n')


def measure_losses(plan: Plan, folder: Path) -> Table:
    lines, raw = [], []
    for spares in (0, 1):
        server = LosingServer(folder / "losses", spares)
        server.start(ALL_CORES)
        try:
            spans = [lose_host(server) for _ in range(plan.starts)]
        finally:
            server.stop()
        lines.append([server.name, str(plan.starts), spread(spans)])
        raw.append({"subject": NodeServer.name if spares else server.name, "next_answer_ms": median(spans)})
    note = (
        "From SIGKILL of the host to the answer of a stateless run by another one; refusals meanwhile are asked again."
    )
    return Table("losses", "Cold: a host is lost", LOST_HEAD, lines, raw, note)


def lose_host(server: NodeServer) -> float:
    """Milliseconds until another process answers."""
    request = post("/v1/agents/who/runs", b'{"input":"x"}')
    wait_up(server.port)
    lost = answering(server.port, request)
    began_at = time.perf_counter()
    os.kill(lost, signal.SIGKILL)
    while True:
        try:
            if answering(server.port, request) not in (0, lost):
                return (time.perf_counter() - began_at) * 1e3
        except LoadFailed:
            if time.perf_counter() - began_at > UP_WITHIN:
                raise
            time.sleep(EVERY)


def answering(port: int, request: bytes) -> int:
    """The process that ran it; 0: it was lost with its host."""
    return msgspec.json.decode(ask(port, request))["output"] or 0


def wait_up(port: int) -> None:
    """Until each host there should be has loaded its agents."""
    give_up_at = time.monotonic() + UP_WITHIN
    while not all(one["is_up"] for one in msgspec.json.decode(ask(port, get("/v1/node")))["hosts"]):
        if time.monotonic() > give_up_at:
            raise LoadFailed("a host did not come up")
        time.sleep(EVERY * 20)


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
