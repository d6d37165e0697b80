"""What stays: memory for each open stream, waiting run and session, bytes for each turn, and how long a replay is.

Memory is what the resident set of the node grew by, from a warm node on. A waiting run is parked: its row is all that
should be left of it. Turns are taken in one session, so a peer that copies the past into each would grow with the
square. A replay runs an agent of a thousand recorded steps to its end, in a host runtime alone. The import is `import
pilothouse`, which every program that has an agent pays.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from benchmarks.growth import size_of
from benchmarks.load import ask_on, connect, get, post
from benchmarks.plan import Plan, Table, median
from benchmarks.readers import reading
from benchmarks.server import ALL_CORES, NodeServer
from pilothouse import Context, agent
from pilothouse.domain.journal import ENDED, StepRow, digest_arguments, step_key
from pilothouse.engine.session_memory import SESSIONS
from pilothouse.sdk.host import HostRuntime
from pilothouse.wire.frames import NO_HISTORY, Finished, Message, Start
from pilothouse.wire.host import HostConfig

STEPS = 1000
REPLAYS = IMPORTS = 7
CALLERS = 16
MANY_WITHIN = 60.0
"""Seconds. A slow machine gets fewer runs and sessions, and the row says how many."""
SETTLED_AFTER = 0.5
HEAD = ["what", "measured"]
WAITS = '''

@agent(mode="event")
async def waits(ctx: Context, message: str) -> str:
    """Parked until somebody sends a signal that nobody sends."""
    return await ctx.signal("go")
'''


class WaitingServer(NodeServer):
    """The node under test, with an agent that waits."""

    name = "host"

    def prepare(self) -> None:
        super().prepare()
        agents = self.folder / "bench_agents.py"
        agents.write_text(agents.read_text() + WAITS)
        file = self.folder / "pilothouse.toml"
        told = file.read_text().replace("[server]", "[server]\nmax_requests = 50000")
        told = told.replace("[worker]", "[worker]\npark_after_seconds = 0.0")
        file.write_text(told + '[agents.waits]\ntarget = "bench_agents:waits"\n')


def measure_footprint(plan: Plan, folder: Path) -> Table:
    streams, waiting, sessions = plan.readers, plan.waiting, min(plan.kept * 4, SESSIONS - CALLERS * 4)
    turns = [plan.kept // 10 * times for times in (1, 2, 4)]
    kb, sessions = kb_a_session(folder, sessions)
    figures = {"kb_a_session": kb}
    server = WaitingServer(folder / "footprint")
    server.start(ALL_CORES)
    try:
        for _ in range(20):
            take_turn(server, "warm")
        figures["kb_a_waiting_run"], waiting = kb_a_waiting_run(server, waiting)
        figures["kb_a_stream"], figures["us_a_stream"] = kb_a_stream(server, streams, plan.seconds * 8)
        figures |= {f"bytes_a_turn_of_{count}": size for count, size in bytes_a_turn(server, turns).items()}
    finally:
        server.stop()
    figures["replay_ms"] = replay_ms()
    figures["import_ms"] = import_ms()
    names = {
        "kb_a_waiting_run": f"KB of memory a waiting run ({waiting:,} of them)",
        "kb_a_stream": f"KB of memory an open stream ({streams:,} readers of events)",
        "us_a_stream": "us of processor time a second an idle reader",
        "kb_a_session": f"KB of memory a session with one turn ({sessions:,} of the {SESSIONS:,} kept warm)",
        **{f"bytes_a_turn_of_{count}": f"bytes of records a turn, {count} turns in a session" for count in turns},
        "replay_ms": f"ms to replay a run of {STEPS:,} steps",
        "import_ms": "ms of processor time to import the sdk",
    }
    lines = [[names[name], f"{value:,.1f}"] for name, value in figures.items()]
    note = "Memory of node and host together, resident. An idle reader also costs the kernel a socket."
    return Table("footprint", "What stays: memory and bytes", HEAD, lines, [{"subject": server.name, **figures}], note)


def kb_a_waiting_run(server: NodeServer, waiting: int) -> tuple[float, int]:
    """And how many wait."""
    before = resident(server)
    waiting = ask_many(
        server, waiting, lambda number: post("/v1/agents/waits/runs", b'{"input":"go"}', "Prefer: respond-async")
    )
    with connect(server.port) as connection:
        while True:
            page = msgspec.json.decode(ask_on(connection, get("/v1/runs?agent=waits&status=running,queued&limit=1")))
            if not page["items"]:
                break
            time.sleep(0.05)
    return (resident(server) - before) * 1024 / waiting, waiting


def ask_many(server: NodeServer, count: int, request: Callable[[int], bytes]) -> int:
    """On several connections, so that commits are shared. How many there was time for."""
    end_by = time.monotonic() + MANY_WITHIN

    def some(first: int) -> int:
        done = 0
        with connect(server.port) as connection:
            for number in range(first, count, CALLERS):
                if time.monotonic() > end_by:
                    break
                ask_on(connection, request(number))
                done += 1
        return done

    with ThreadPoolExecutor(CALLERS) as threads:
        return sum(threads.map(some, range(CALLERS)))


def kb_a_stream(server: NodeServer, streams: int, idle: float) -> tuple[float, float]:
    """And microseconds of processor time a second: hints may be lost, so each looks at the records now and then."""
    with connect(server.port) as connection:
        page = msgspec.json.decode(ask_on(connection, get("/v1/runs?agent=waits&status=waiting&limit=1")))
    before = resident(server)
    with reading(server.port, page["items"][0]["id"], streams):
        memory = (resident(server) - before) * 1024 / streams
        used, began_at = sum(server.cpu()), time.monotonic()
        time.sleep(idle)
        share = (sum(server.cpu()) - used) / (time.monotonic() - began_at)
        return memory, share * 1e6 / streams


def kb_a_session(folder: Path, sessions: int) -> tuple[float, int]:
    """And of how many. On a node of its own that has seen some, and no more than it keeps warm: later ones take the
    place of others. On one that held anything else before, they would fill what that left."""
    server = WaitingServer(folder / "sessions")
    server.start(ALL_CORES)
    try:
        ask_many(server, CALLERS * 4, lambda number: first_turn(b"warm-%d" % number))
        before = resident(server)
        sessions = ask_many(server, sessions, lambda number: first_turn(b"one-%d" % number))
        return (resident(server) - before) * 1024 / sessions, sessions
    finally:
        server.stop()


def first_turn(session: bytes) -> bytes:
    return post("/v1/agents/turn/runs", b'{"input":"Hi","session":"%b"}' % session)


def bytes_a_turn(server: NodeServer, counts: list[int]) -> dict[int, float]:
    file = server.folder / "bench.db"
    found = {}
    before, taken = size_of(file), 0
    for turns in counts:
        while taken < turns:
            take_turn(server, "long")
            taken += 1
        found[turns] = (size_of(file) - before) / turns
    return found


def take_turn(server: NodeServer, session: str) -> None:
    with connect(server.port) as connection:
        ask_on(connection, post("/v1/agents/turn/runs", b'{"input":"And tomorrow?","session":"%b"}' % session.encode()))


def resident(server: NodeServer) -> float:
    time.sleep(SETTLED_AFTER)
    return sum(server.memory())


def import_ms() -> float:
    """The least of a few, since what runs beside only adds."""
    code = "import time; began = time.process_time(); import pilothouse; print((time.process_time() - began) * 1e3)"
    command = [sys.executable, "-c", code]
    return min(float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(IMPORTS))


async def nothing(number: int) -> dict[str, str]:
    return {"role": "tool", "content": "x" * 170}


@agent(mode="event")
async def replayed(ctx: Context, message: str) -> None:
    for number in range(STEPS):
        await ctx.step(nothing, number)


def replay_ms() -> float:
    """In a loop of its own: the bench itself runs in one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, measure_replay()).result()


async def measure_replay() -> float:
    """Milliseconds from the Start with its journal to the end of the attempt."""
    loop = asyncio.get_running_loop()
    rows = [recorded(number) for number in range(STEPS)]
    spans = []
    for _ in range(REPLAYS):
        ended = loop.create_future()

        def hear(message: Message, ended: "asyncio.Future[Message]" = ended) -> None:
            if not ended.done():
                ended.set_result(message)

        runtime = HostRuntime(hear, HostConfig(socket="", project="", agents={}), loop)
        runtime.add("replayed", replayed)
        began_at = time.perf_counter()
        runtime.receive([start(rows)])
        word = await ended
        assert isinstance(word, Finished), word
        spans.append((time.perf_counter() - began_at) * 1e3)
        runtime.close()
    return median(spans) or 0.0


def recorded(number: int) -> StepRow:
    given = msgspec.json.encode({"number": number})
    key = step_key("nothing", digest_arguments(given), 1)
    output = msgspec.json.encode({"role": "tool", "content": "x" * 170})
    return StepRow(key, "step", "nothing", ENDED, "succeeded", input=given, output=output, finished_at=1)


def start(rows: list[StepRow]) -> Start:
    return Start(
        slot=1, tenant="default", run="run_1", agent="replayed", release="1", mode="event", attempt=2, input=b'"x"',
        kept=True, stream=True, metadata=b"{}", subject=None, session=None, state=b"{}", history=NO_HISTORY,
        journal=rows, now=time.time_ns() // 1000, strict=False,
    )  # fmt: skip
