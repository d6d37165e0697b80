"""What spans cost: the same two workloads on three nodes side by side, with traces off, sampled, and all recorded.

The nodes send to a receiver in this process that answers like a collector and counts what came, so a row whose spans
went nowhere would show. A step of the journal is one span, and each run one more; a run outside of the share makes its
spans all the same and drops them at its end, unless it failed or was slow.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from benchmarks.load import post, repeat
from benchmarks.plan import Plan, Sample, Table, median, short, spread
from benchmarks.server import SERVER_CORES, NodeServer
from benchmarks.workloads import JOURNAL, Workload, take

SHARE = 0.01
WORKS = (
    Workload("runs", "stateless run", repeat(post("/v1/agents/echo/runs", b'{"input":"x"}')), (32,)),
    JOURNAL,
)
CALLERS = 32
HEAD = ["workload", "traces", "a second", "of that without", "CPU us node", "CPU us more, % of node", "bytes of spans"]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"


class Receiver(asyncio.Protocol):
    """Reads requests with a Content-Length and counts the bytes of their bodies."""

    counted: ClassVar[dict[int, int]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._buffer = transport, bytearray()
        self._port = transport.get_extra_info("sockname")[1]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            del self._buffer[: end + 4 + length]
            self.counted[self._port] = self.counted.get(self._port, 0) + length
            self._transport.write(ANSWER)


class TracedServer(NodeServer):
    """`share` None: traces are off."""

    def __init__(self, folder: Path, name: str, share: float | None, endpoint: str) -> None:
        self.name = name
        super().__init__(folder)
        self._share, self._endpoint = share, endpoint

    def prepare(self) -> None:
        super().prepare()
        if self._share is not None:
            with (self.folder / "pilothouse.toml").open("a") as file:
                file.write(f'[traces]\nendpoint = "{self._endpoint}"\nshare = {self._share}\n')


@asynccontextmanager
async def receiving() -> AsyncIterator[int]:
    """The port of a receiver."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def measure_traces(plan: Plan, folder: Path) -> Table:
    plan = replace(plan, seconds=plan.seconds * 2)  # a run of ten durable steps takes a while
    async with receiving() as sampled, receiving() as all_of_them:
        servers = [
            TracedServer(folder, "traces off", None, ""),
            TracedServer(folder, f"traces of {SHARE:.0%}", SHARE, f"http://127.0.0.1:{sampled}"),
            TracedServer(folder, "traces of all", 1.0, f"http://127.0.0.1:{all_of_them}"),
        ]
        ports = dict(zip((one.name for one in servers), (0, sampled, all_of_them), strict=True))
        taken: dict[tuple[str, str], list[Sample]] = {}
        try:
            for server in servers:
                await asyncio.to_thread(server.start, SERVER_CORES)
            for number in range(max(1, plan.repeats)):
                for work in WORKS:
                    for server in servers if number % 2 == 0 else reversed(servers):
                        sample = await take(plan, work, server, CALLERS)
                        taken.setdefault((work.key, server.name), []).append(sample)
        finally:
            for server in servers:
                await asyncio.to_thread(server.stop)  # what is left of the spans is sent
        return _table(servers, taken, ports)


def _table(servers: list[TracedServer], taken: dict[tuple[str, str], list[Sample]], ports: dict[str, int]) -> Table:
    lines, raw = [], []
    for work in WORKS:
        without = taken[work.key, servers[0].name]
        for server in servers:
            pairs = list(zip(taken[work.key, server.name], without, strict=True))
            rates = [own.per_second for own, _ in pairs]
            ratios = [own.per_second / other.per_second for own, other in pairs if other.per_second]
            cpu = [own.cpu_server_us for own, _ in pairs if own.cpu_server_us]
            more = [100 * (own.cpu_server_us / other.cpu_server_us - 1) for own, other in pairs
                    if own.cpu_server_us and other.cpu_server_us]  # fmt: skip
            sent = Receiver.counted.get(ports[server.name], 0)
            unit = "step" if work is JOURNAL else "run"
            lines.append([f"{work.key}, a {unit}", server.name, spread(rates), spread(ratios), spread(cpu),
                          spread(more, _signed), f"{sent:,}"])  # fmt: skip
            raw.append({"workload": work.key, "subject": server.name, "per_second": median(rates),
                        "ratio": median(ratios), "cpu_us": median(cpu), "more_percent": median(more),
                        "bytes": sent})  # fmt: skip
    note = (
        f"{CALLERS} callers. A ratio is taken inside a repeat. Bytes are of both workloads together, until the node "
        "has ended; spans are made on the node, sent by a thread of it, and dropped where more come than can be sent."
    )
    return Table("traces", "Traces: off, sampled, all", HEAD, lines, raw, note)


def _signed(value: float | None) -> str:
    return short(value) if value is None or value < 0 else f"+{short(value)}"
