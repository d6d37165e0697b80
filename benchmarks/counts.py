"""What one unit of work costs in things that can be counted: the same on every machine, fast or slow, idle or busy.

Run as `python -m benchmarks.counts [--write]`; prints a table, and with `--write` renews the figures that
`tests/perf` holds new code against. One caller asks a real node over HTTP, one request after the other:

- `calls`: Python functions of ours that were called or resumed, in all threads of a node with its agents inline;
- `statements`: SQL statements that were run, transactions included;
- `link`: bytes between the node and a host in a process of its own, both ways.

Nothing here is a time. What a timer does meanwhile only adds, so the least of a few rounds counts.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import uvloop

from benchmarks.load import get, post
from pilothouse import app
from pilothouse.sdk import link
from pilothouse.settings import AgentSettings, Flag, load_settings
from pilothouse.storage.records.place import FileConnection

SOURCE = str(Path(app.__file__).parent)
BASELINE = Path(__file__).parent.parent / "tests" / "perf" / "counts.json"
WARM, ROUNDS, COUNTED = 10, 5, 10
STEPS, EVENTS = 10, 100
AGENTS = f"""
from pilothouse import Context, agent


@agent
async def echo(message: str) -> str:
    return message


@agent(mode="session")
async def turn(message: str) -> str:
    return message


@agent(mode="event")
async def job(message: str) -> str:
    return message


async def nothing(number: int) -> dict[str, str]:
    return {{"role": "tool", "content": "x" * 170}}


@agent(mode="event")
async def steps(ctx: Context, message: str) -> None:
    for number in range({STEPS}):
        await ctx.step(nothing, number)


@agent(mode="event")
async def flood(ctx: Context, message: str) -> None:
    for number in range({EVENTS}):
        ctx.emit(number)
"""
NAMES = ("echo", "turn", "job", "steps", "flood")


@dataclass(frozen=True)
class Work:
    """`unit` is what a figure is for; one round does `times` of them beside a run."""

    unit: str
    requests: Callable[[int], list[bytes]]
    times: int = 1


def once(path: str, *headers: str) -> Callable[[int], list[bytes]]:
    body = b'{"input":"What is the weather in Paris?"}'
    return lambda number: [post(path, body, *headers)]


def turn(number: int) -> list[bytes]:
    """Sixteen sessions, so that the past of each stays short."""
    return [post("/v1/agents/turn/runs", b'{"input":"And tomorrow?","session":"customer-%d"}' % (number % 16))]


WORKS = (
    Work("stateless run", once("/v1/agents/echo/runs")),
    Work("session turn", turn),
    Work("background run", once("/v1/agents/job/runs", "Prefer: respond-async")),
    Work("step", once("/v1/agents/steps/runs", "Prefer: wait=20"), STEPS),
    Work("streamed event", once("/v1/agents/flood/runs", "Accept: text/event-stream"), EVENTS),
)


class Counter:
    """What was counted since `reset`. Threads count apart, since adding is not atomic."""

    def __init__(self) -> None:
        self._is_ours: dict[Any, bool] = {}
        self._threads = threading.local()
        self._calls: list[list[int]] = []
        self.statements = 0
        self.link = 0

    def hook(self, frame: Any, event: str, argument: Any) -> None:
        if event != "call":
            return
        code = frame.f_code
        is_ours = self._is_ours.get(code)
        if is_ours is None:
            is_ours = self._is_ours[code] = code.co_filename.startswith(SOURCE)
        if is_ours:
            try:
                self._threads.calls[0] += 1
            except AttributeError:
                self._threads.calls = [1]
                self._calls.append(self._threads.calls)

    @property
    def calls(self) -> int:
        return sum(count for (count,) in self._calls)

    def reset(self) -> None:
        for one in self._calls:
            one[0] = 0
        self.statements = self.link = 0


@contextmanager
def counting(counter: Counter) -> Iterator[None]:
    """Everything that begins in here is counted."""
    execute = FileConnection.execute
    write, received = link.Link._write, link.Link.data_received

    def counted_execute(self: Any, *words: Any, **more: Any) -> Any:
        counter.statements += 1
        return execute(self, *words, **more)

    def counted_write(self: Any, batch: list[Any]) -> None:
        counter.link += link.LENGTH.size + len(self._encode(batch))
        write(self, batch)

    def counted_received(self: Any, data: bytes) -> None:
        counter.link += len(data)
        received(self, data)

    threading.setprofile(counter.hook)
    sys.setprofile(counter.hook)
    try:
        with (
            patch.object(FileConnection, "execute", counted_execute),
            patch.object(link.Link, "_write", counted_write),
            patch.object(link.Link, "data_received", counted_received),
        ):
            yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


class Caller:
    """One connection of HTTP, as plain as it gets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> bytes:
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith((b"http/1.1 200", b"http/1.1 202")), head
        if b"transfer-encoding: chunked" in head:
            return await self._reader.readuntil(b"\r\n0\r\n\r\n")
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        return await self._reader.readexactly(length)

    async def perform(self, work: Work, number: int) -> None:
        for request in work.requests(number):
            answer = await self.ask(request)
        if work.unit == "background run":
            run = msgspec.json.decode(answer)["id"]
            await self.ask(get(f"/v1/runs/{run}?wait=10"))

    def close(self) -> None:
        self._writer.close()


async def count_works(counter: Counter, folder: Path, isolation: str) -> dict[str, dict[str, float]]:
    (folder / "counted_agents.py").write_text(AGENTS)
    flags = [
        Flag("server.port", "port", 0), Flag("server.grace_seconds", "grace", 1.0),
        Flag("worker.isolation", "isolation", isolation), Flag("records.url", "url", "sqlite:///counted.db"),
    ]  # fmt: skip
    agents = {name: AgentSettings(target=f"counted_agents:{name}") for name in NAMES}
    node = app.Node(load_settings({}, folder=folder, flags=flags, agents=agents), lambda line: None)
    await node.start()
    try:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", node.port, limit=2**24))
        found = {work.unit: await count(counter, caller, work) for work in WORKS}
        caller.close()
    finally:
        await node.stop()
    return found


async def count(counter: Counter, caller: Caller, work: Work) -> dict[str, float]:
    for number in range(WARM):
        await caller.perform(work, number)
    rounds = [await count_round(counter, caller, work) for _ in range(ROUNDS)]
    return {name: min(one[name] for one in rounds) for name in rounds[0]}


async def count_round(counter: Counter, caller: Caller, work: Work) -> dict[str, float]:
    counter.reset()
    for number in range(COUNTED):
        await caller.perform(work, number)
    figures = {"calls": counter.calls, "statements": counter.statements, "link": counter.link}
    return {name: figure / (COUNTED * work.times) for name, figure in figures.items()}


def count_all() -> dict[str, dict[str, float]]:
    """For each unit: calls and statements with agents inline, bytes on the link with a host."""
    counter = Counter()
    with tempfile.TemporaryDirectory(prefix="pilothouse-counts-") as place, counting(counter):
        found = {}
        for isolation in ("inline", "process"):
            folder = Path(place) / isolation
            folder.mkdir()
            found[isolation] = uvloop.run(count_works(counter, folder, isolation))
    return {
        unit: {
            "calls": round(figures["calls"], 1),
            "statements": round(figures["statements"], 2),
            "link": round(found["process"][unit]["link"], 1),
        }
        for unit, figures in found["inline"].items()
    }


ACCIDENT = {work.unit: max(0.05, 1.5 / (COUNTED * work.times)) for work in WORKS}
"""Statements of a unit that prove nothing: the sweeps of a node that has just begun can put one into every round on a
slow machine, and a hundred streamed events are a few commits, whose ends depend on what else the machine does."""


def grown(before: dict[str, dict[str, float]], now: dict[str, dict[str, float]], by: float) -> list[str]:
    """What costs more than it did, by more than this share and by what is no accident; each as a sentence."""
    told = []
    for unit, figures in before.items():
        for name, figure in figures.items():
            found = now.get(unit, {}).get(name)
            if found is None:
                told.append(f"{unit}: {name} is not counted any more")
            elif found > figure * (1 + by) and (name != "statements" or found - figure > ACCIDENT[unit]):
                told.append(f"{unit}: {name} grew from {figure:g} to {found:g}")
    return told


def main() -> None:
    reader = argparse.ArgumentParser(prog="python -m benchmarks.counts")
    reader.add_argument("--write", action="store_true", help=f"renew {BASELINE.name}")
    words = reader.parse_args()
    found = count_all()
    for unit, figures in found.items():
        print(f"{unit:16}", "  ".join(f"{name} {figure:9,.2f}" for name, figure in figures.items()))
    if words.write:
        BASELINE.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")


if __name__ == "__main__":
    main()
