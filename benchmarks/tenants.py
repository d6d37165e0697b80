"""What a quiet tenant feels of another one's flood: its own p99, alone and beside it, by turns on one node.

The agent rests and has a limit of PLACES, so that places are what is scarce, as with calls of models. The flood has ten
times as many callers as the quiet tenant, behind a queue that all places could not work off meanwhile.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.load import ask, ask_on, connect, percentile_pair, post, repeat, sample
from benchmarks.plan import Plan, Table, short, spread
from benchmarks.server import SERVER_CORES, NodeServer

QUIET, TIMES, PLACES = 4, 10, 20
SECONDS = 3.0
"""Of one sample: of fewer answers there is no p99."""
QUEUED = 1_500
HEAD = ["the quiet tenant", "runs a second", "p50 ms", "p99 ms"]
NOTE = (
    f"{QUIET} callers of the quiet tenant, {QUIET * TIMES} of the flood and {QUEUED:,} of its runs queued before; the "
    f"agent rests for 50 ms and has {PLACES} places. p50 and p99 of all samples, taken by turns."
)


class TenantsNode(NodeServer):
    """`keys` by tenant."""

    name = "tenants"

    def prepare(self) -> None:
        super().prepare()
        toml = self.folder / "pilothouse.toml"
        toml.write_text(f'{toml.read_text()}[agents.rest]\ntarget = "bench_agents:rest"\nconcurrency = {PLACES}\n')
        self.keys = {tenant: self._make_key(tenant) for tenant in ("quiet", "flood")}

    def _make_key(self, tenant: str) -> str:
        words = ["keys", "create", tenant, "--scope", "*", "--tenant", tenant, "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "pilothouse", *words], cwd=self.folder, env=self.environment(), check=True,
            capture_output=True, timeout=60,
        )  # fmt: skip
        return str(msgspec.json.decode(done.stdout)["text"])

    def ask_for(self, tenant: str, prefer: str) -> bytes:
        return post("/v1/agents/rest/runs", b'{"input":"A while"}', f"Authorization: Bearer {self.keys[tenant]}",
                    f"Prefer: {prefer}")  # fmt: skip


async def measure_tenants(plan: Plan, folder: Path) -> Table:
    node = TenantsNode(folder)
    await asyncio.to_thread(node.start, SERVER_CORES)
    try:
        is_full = plan.repeats > 1
        seconds, queued = (SECONDS, QUEUED) if is_full else (plan.seconds, 50)
        alone, beside = Felt(), Felt()
        for _ in range(min(plan.repeats, 3)):
            await alone.feel(node, seconds, plan.warm)
            await asyncio.to_thread(queue_up, node, queued)
            flood = repeat(node.ask_for("flood", "wait=30"))
            lasting = asyncio.create_task(sample(node.port, flood, QUIET * TIMES, seconds + plan.warm, 0.0))
            await beside.feel(node, seconds, plan.warm)
            await lasting
            await asyncio.to_thread(ask, node.port, node.ask_for("flood", "wait=30"))  # behind all that is queued
        lines, raw = [], []
        for what, felt in (("alone", alone), ("beside the flood", beside)):
            p50, p99 = percentile_pair(felt.spans)
            lines.append([what, spread(felt.rates), short(p50), short(p99)])
            raw.append({"what": what, "samples": felt.rates, "p50_ms": p50, "p99_ms": p99})
        return Table("tenants", "Tenants: a quiet one beside the flood of another", HEAD, lines, raw, NOTE)
    finally:
        await asyncio.to_thread(node.stop)


class Felt:
    """What the quiet tenant saw."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.spans: list[float] = []

    async def feel(self, node: TenantsNode, seconds: float, warm: float) -> None:
        counted, span = await sample(node.port, repeat(node.ask_for("quiet", "wait=30")), QUIET, seconds, warm)
        self.rates.append(counted.units / span)
        self.spans += counted.spans


def queue_up(node: TenantsNode, count: int) -> None:
    request = node.ask_for("flood", "respond-async")
    with connect(node.port) as connection:
        for _ in range(count):
            ask_on(connection, request)
