"""Messages a second from a broker, and how long one takes.

Beside each broker's source stands a loop written by hand: take, call, acknowledge, nothing durable. The difference is
what it costs to lose nothing and to run nothing twice. FastStream and Celery do the same on the same brokers, each in
an environment of its own (`benchmarks/.peers`); neither keeps anything of what it ran.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import redis.asyncio

from benchmarks.peers.peer import PROGRAMS, Peer, Skipped
from benchmarks.plan import Plan, Table, short
from pilothouse import agent
from pilothouse.communication.triggers.loop import SourceLoop
from pilothouse.communication.triggers.nats import JetStream
from pilothouse.communication.triggers.redis import RedisStream
from pilothouse.domain.source import SourceRule
from pilothouse.engine.source import Intake
from pilothouse.ports.source import Source
from pilothouse.testing import LocalNode
from tests.triggers.brokers import Broker, nats_server, valkey_server

MESSAGES, QUICK_MESSAGES = 5_000, 200
AT_ONCE = 256
SINGLES = 100
PEER_WITHIN = 60.0
FIGURES = ("a second", "by hand", "of by hand", "p50 ms", "p95 ms")
NOTE = (
    "A source takes what was queued before; each message is a durable run (SQLite, synchronous = FULL) before it is "
    "acknowledged; the loop by hand keeps nothing, nor do the peers. p50 and p95 are of single messages, from their "
    "sending to the agent's function."
)
seen: list[float] = []


@agent(mode="event")
def note(sent: dict[str, float]) -> None:
    seen.append(time.time() - sent["at"])


def body() -> bytes:
    return json.dumps({"at": time.time()}).encode()


async def fill_nats(broker: Broker, many: int) -> None:
    client = await nats.connect(f"nats://127.0.0.1:{broker.port}")
    stream = client.jetstream()
    await stream.add_stream(name="notes", subjects=["notes.new"])
    for first in range(0, many, 200):
        await asyncio.gather(*[stream.publish("notes.new", body()) for _ in range(min(200, many - first))])
    await client.close()


async def fill_redis(broker: Broker, many: int) -> None:
    client = redis.asyncio.Redis(port=broker.port)
    for first in range(0, many, 500):
        pipe = client.pipeline()
        for _ in range(min(500, many - first)):
            pipe.xadd("notes", {"body": body()})
        await pipe.execute()
    await client.aclose()


def nats_source(broker: Broker) -> Source:
    return JetStream(f"nats://127.0.0.1:{broker.port}", "notes", "notes.new", f"c{time.time_ns()}")


def redis_source(broker: Broker) -> Source:
    return RedisStream(f"redis://127.0.0.1:{broker.port}", "notes", f"g{time.time_ns()}", "bench")


Fill = Callable[[Broker, int], Awaitable[None]]
BROKERS: dict[str, tuple[Callable[[Path], Broker], Fill, Callable[[Broker], Source]]] = {
    "nats": (nats_server, fill_nats, nats_source),
    "redis": (valkey_server, fill_redis, redis_source),
}


async def by_hand(source: Source, many: int) -> float:
    """Messages a second of a loop that calls the function and acknowledges."""
    began, done = time.monotonic(), 0
    while done < many:
        for one in await source.want(AT_ONCE):
            note(json.loads(one.message.body))
            await one.ack()
            done += 1
    await source.close()
    return many / (time.monotonic() - began)


async def by_node(source: Source, many: int, send: Callable[[], Awaitable[None]]) -> tuple[float, list[float]]:
    """Messages a second that were queued before, and the seconds that single ones take to the agent."""
    async with LocalNode({"note": note}, slots=AT_ONCE) as node:
        rule = SourceRule(name="notes", agent="note", concurrency=AT_ONCE)
        loop = SourceLoop(node.world, Intake(rule, "default"), source, print)
        began = time.monotonic()
        loop.start()
        await _wait(node, many)
        rate = many / (time.monotonic() - began)
        singles = []
        for _ in range(SINGLES):
            seen.clear()
            await send()
            await _wait(node, 1)
            singles.append(seen[0])
        await loop.stop()
    return rate, sorted(singles)


async def _wait(node: LocalNode, many: int) -> None:
    """A node looks for work once a second whatever it was told; this one is made to, since its clock stands still."""
    looked_at = time.monotonic()
    while len(seen) < many:
        await asyncio.sleep(0.001)
        if time.monotonic() - looked_at > 1.0:
            await node.tick()
            looked_at = time.monotonic()


async def measure(name: str, many: int, folder: Path) -> dict[str, Any]:
    start, fill, make = BROKERS[name]
    broker = start(folder)
    try:
        await fill(broker, many)
        bare = await by_hand(make(broker), many)
        seen.clear()
        rate, singles = await by_node(make(broker), many, lambda: fill(broker, 1))
        seen.clear()
    finally:
        broker.stop()
    middle, late = (singles[int(len(singles) * share)] * 1e3 for share in (0.5, 0.95))
    return {
        "who": f"pilothouse on {name}", "a second": rate, "by hand": bare, "of by hand": rate / bare, "p50 ms": middle,
        "p95 ms": late,
    }  # fmt: skip


PEERS = {
    "faststream": (("faststream[nats]",), "nats", nats_server, fill_nats),
    "celery": (("celery", "redis", "packaging"), "redis", valkey_server, None),
}


def measure_peer(name: str, many: int, folder: Path) -> dict[str, Any]:
    """What a peer did with as many messages on a broker of its own. Raises `Skipped`."""
    packages, kind, start, fill = PEERS[name]
    peer = Peer(f"messages-{name}", name, packages, "", "messages/s", "nothing", lambda peer, port, place: [])
    version = peer.install()
    broker = start(folder)
    try:
        if fill is not None:
            asyncio.run(fill(broker, many))
        words = [str(peer.python), str(PROGRAMS / f"{name}_messages.py"), f"{kind}://127.0.0.1:{broker.port}"]
        done = subprocess.run([*words, str(many), str(SINGLES)], capture_output=True, text=True, timeout=PEER_WITHIN)
    except subprocess.TimeoutExpired as error:
        raise Skipped(f"did not end within {PEER_WITHIN:g} s") from error
    finally:
        broker.stop()
    if done.returncode:
        raise Skipped((done.stderr.strip().splitlines() or ["without a word"])[-1][:160])
    told = json.loads(done.stdout.strip().splitlines()[-1])
    singles = sorted(told["spans"])
    middle, late = (singles[int(len(singles) * share)] * 1e3 for share in (0.5, 0.95))
    return {"who": f"{name} {version} on {kind}", "a second": told["per_second"], "p50 ms": middle, "p95 ms": late}


def measure_messages(plan: Plan, folder: Path) -> Table:
    """Each broker beside a loop written by hand, then the peers that can be installed."""
    many = QUICK_MESSAGES if plan.repeats == 1 else MESSAGES
    raw: list[dict[str, Any]] = []
    for name in (*BROKERS, *PEERS):
        place = folder / f"messages-{name}"
        place.mkdir()
        try:
            if name in BROKERS:
                raw.append(asyncio.run(measure(name, many, place)))
            elif plan.repeats > 1:
                raw.append(measure_peer(name, many, place))
        except Skipped as reason:
            raw.append({"who": name, "skipped": str(reason)})
    lines = [
        [one["who"], *(short(one.get(key)) for key in FIGURES)] if "skipped" not in one
        else [one["who"], f"skipped: {one['skipped']}", *[""] * (len(FIGURES) - 1)]
        for one in raw
    ]  # fmt: skip
    return Table("messages", f"Messages from brokers ({many:,} of them)", ["who", *FIGURES], lines, raw, NOTE)
