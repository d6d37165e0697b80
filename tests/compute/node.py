"""A node with real host processes, on records in memory and on the machine's own clock, driven by the real loops."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pilothouse.communication.bus.memory import MemoryBus
from pilothouse.compute.clock import SystemClock, SystemEntropy
from pilothouse.compute.loops import Loops
from pilothouse.compute.options import AgentOptions, WorkerOptions
from pilothouse.compute.process import ProcessHost
from pilothouse.compute.worker import NodeWorker
from pilothouse.domain.run import Run
from pilothouse.engine.run import StartRun, start_run, wait_run
from pilothouse.engine.world import Limits, World
from pilothouse.storage.records.sqlite import SqliteRecords

WITHIN = 60.0


class ProcessNode:
    def __init__(self, project: Path, agents: dict[str, dict[str, Any]], limits: Limits, **options: Any) -> None:
        named = {name: AgentOptions(f"agents:{name}", **more) for name, more in agents.items()}
        # Code of a crashed host must not be read back from a stale cache while tests rewrite it.
        options.setdefault("variables", {"PYTHONDONTWRITEBYTECODE": "1"})
        self.options = WorkerOptions(str(project), named, **{"restart_after": 0.05, **options})
        self.records, self.bus = SqliteRecords(":memory:"), MemoryBus()
        self.worker = NodeWorker("test", self.options, lambda: self.loops.ring_work())
        self.said: list[tuple[str, str]] = []
        self.worker.on_log = lambda stream, text, run, traceparent: self.said.append((stream, text))
        self.world = World(self.records, self.bus, SystemClock(), SystemEntropy(), self.worker, limits)
        self.problems: list[str] = []
        self.loops = Loops(self.world, self.worker, self.options, self.problems.append)

    async def start(self, agent: str, input: bytes = b"null", **more: Any) -> Run:
        command = StartRun(tenant="default", agent=agent, input=input, wants="later", **more)
        return (await start_run(self.world, command)).run

    async def wait(self, run: Run) -> Run:
        return await wait_run(self.world, "default", run.id, WITHIN)

    async def run(self, agent: str, input: bytes = b"null") -> Run:
        return await self.wait(await self.start(agent, input))

    @property
    def host(self) -> ProcessHost:
        (host,) = self.worker.hosts
        assert isinstance(host, ProcessHost)
        return host

    def heard(self, text: str) -> bool:
        return any(text in said for _, said in self.said)


@asynccontextmanager
async def process_node(
    project: Path,
    code: str,
    agents: dict[str, dict[str, Any]],
    limits: Limits | None = None,
    **options: Any,
) -> AsyncIterator[ProcessNode]:
    (project / "agents.py").write_text(code)
    node = ProcessNode(project, agents, limits or Limits(), **options)
    await node.records.open()
    node.records.listen(node.bus.publish)
    try:
        await node.worker.start()
        assert not node.worker.problems
        await node.loops.start()
        yield node
    finally:
        await node.loops.stop()
        await node.worker.stop(1.0)
        for task in node.world.chores:
            task.cancel()
        await asyncio.gather(*node.world.chores, return_exceptions=True)
        await node.records.close()


async def until(holds: Callable[[], Any], within: float = WITHIN) -> None:
    """Looks often; returns once it holds."""
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.01)


async def until_async(holds: Callable[[], Awaitable[Any]], within: float = WITHIN) -> None:
    async with asyncio.timeout(within):
        while not await holds():
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


PYTHON = sys.executable
