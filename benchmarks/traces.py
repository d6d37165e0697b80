"""What being watched costs: the same two workloads on nodes side by side, with nothing, with a scraper of the metrics,
and with traces sampled, all recorded, and all recorded for a collector that is slow.

The nodes send to a receiver in this process that answers like a collector and counts what came, so a row whose spans
went nowhere would show. A step of the journal is one span, and each run one more; a run outside of the share keeps
what its spans would say until its end, for it may fail or be slow. The slow collector takes a second for each request,
so its queue is full all the time: what is shown is that nobody waits for it.
"""

import asyncio
import re
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
HEAD = ["workload", "watched by", "a second", "of that without", "CPU us node", "CPU us more, % of node",
        "bytes of spans", "spans"]  # fmt: skip
SCRAPE_EVERY = 0.25
"""Seconds: sixty times as often as Prometheus by default, since a sample is short."""
SLOW = 1.0
"""Seconds that the slow collector takes for a request."""
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
            self.answer()

    def answer(self) -> None:
        self._transport.write(ANSWER)


class SlowReceiver(Receiver):
    def answer(self) -> None:
        asyncio.get_running_loop().call_later(SLOW, self._transport.write, ANSWER)


class TracedServer(NodeServer):
    """`share` None: traces are off."""

    def __init__(self, folder: Path, name: str, share: float | None, port: int, is_scraped: bool = False) -> None:
        self.name = name
        super().__init__(folder)
        self._share, self.collector, self.is_scraped = share, port, is_scraped
        self.spans = ""

    def prepare(self) -> None:
        super().prepare()
        if self._share is not None:
            with (self.folder / "pilothouse.toml").open("a") as file:
                file.write(f'[traces]\nendpoint = "http://127.0.0.1:{self.collector}"\nshare = {self._share}\n')


async def scrape(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()


async def keep_scraping(port: int) -> None:
    while True:
        await scrape(port)
        await asyncio.sleep(SCRAPE_EVERY)


async def take_watched(plan: Plan, work: Workload, server: TracedServer) -> Sample:
    scraper = asyncio.create_task(keep_scraping(server.port)) if server.is_scraped else None
    try:
        return await take(plan, work, server, CALLERS)
    finally:
        if scraper is not None:
            scraper.cancel()
            await asyncio.gather(scraper, return_exceptions=True)


def spans_of(page: str) -> str:
    """What became of the spans, as the node counts them."""
    found = re.findall(r'^pilothouse_spans_total\{outcome="(\w+)"\} (\S+)', page, re.MULTILINE)
    return ", ".join(f"{float(count):,.0f} {outcome}" for outcome, count in found if float(count))


@asynccontextmanager
async def receiving(kind: type[Receiver] = Receiver) -> AsyncIterator[int]:
    """The port of a receiver."""
    server = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def measure_traces(plan: Plan, folder: Path) -> Table:
    plan = replace(plan, seconds=plan.seconds * 2)  # a run of ten durable steps takes a while
    async with receiving() as sampled, receiving() as all_of_them, receiving(SlowReceiver) as slow:
        servers = [
            TracedServer(folder, "nobody", None, 0),
            TracedServer(folder, "a scraper", None, 0, is_scraped=True),
            TracedServer(folder, f"traces of {SHARE:.0%}", SHARE, sampled),
            TracedServer(folder, "traces of all", 1.0, all_of_them),
            TracedServer(folder, "all, slow collector", 1.0, slow),
        ]
        taken: dict[tuple[str, str], list[Sample]] = {}
        try:
            for server in servers:
                await asyncio.to_thread(server.start, SERVER_CORES)
            for number in range(max(1, plan.repeats)):
                for work in WORKS:
                    for server in servers if number % 2 == 0 else reversed(servers):
                        taken.setdefault((work.key, server.name), []).append(await take_watched(plan, work, server))
            for server in servers:
                server.spans = spans_of(await scrape(server.port))
        finally:
            for server in servers:
                await asyncio.to_thread(server.stop)  # what is left of the spans is sent
        return _table(servers, taken)


def _table(servers: list[TracedServer], taken: dict[tuple[str, str], list[Sample]]) -> Table:
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
            sent = Receiver.counted.get(server.collector, 0)
            unit = "step" if work is JOURNAL else "run"
            lines.append([f"{work.key}, a {unit}", server.name, spread(rates), spread(ratios), spread(cpu),
                          spread(more, _signed), f"{sent:,}", server.spans])  # fmt: skip
            raw.append({"workload": work.key, "subject": server.name, "per_second": median(rates),
                        "ratio": median(ratios), "cpu_us": median(cpu), "more_percent": median(more),
                        "bytes": sent, "spans": server.spans})  # fmt: skip
    note = (
        f"{CALLERS} callers. A ratio is taken inside a repeat. Bytes and spans are of both workloads together; bytes "
        "until the node has ended, spans as it counts them after the last sample. Spans are made on the node, sent by "
        f"a thread of it, and dropped where more come than can be sent. The scraper asks every {SCRAPE_EVERY:g} s."
    )
    return Table("traces", "Being watched: metrics and traces, off and on", HEAD, lines, raw, note)


def _signed(value: float | None) -> str:
    return short(value) if value is None or value < 0 else f"+{short(value)}"
