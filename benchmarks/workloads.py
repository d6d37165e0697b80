"""W1 to W4 and the journal's runs: what the load asks of each server, and how the samples of one repeat alternate.

Every subject of a workload is measured in each repeat, in turning order, so that a slow minute of the machine falls on
all of them. An idle server beside the one under load costs it nothing that could be seen.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from benchmarks.agents import STEPS
from benchmarks.load import Script, ask_on, connect, get, percentile_pair, post, repeat, sample
from benchmarks.plan import Plan, Sample, Section, Table, percentile, short
from benchmarks.server import Server

DELTA = b"\nevent: output.delta\n"
BARE = "bare Starlette"


class Started(msgspec.Struct):
    id: str


STARTED = msgspec.json.Decoder(Started)


def stateless(number: int) -> Callable[[bytes], bytes]:
    return repeat(post("/v1/agents/echo/runs", b'{"input":"What is the weather in Paris?"}'))(number)


def turns(number: int) -> Callable[[bytes], bytes]:
    """A session for each connection."""
    return repeat(post("/v1/agents/turn/runs", b'{"input":"And tomorrow?","session":"customer-%d"}' % number))(number)


def submit_and_wait(number: int) -> Callable[[bytes], bytes]:
    submit = post("/v1/agents/job/runs", b'{"input":"Do it"}', "Prefer: respond-async")
    is_submitted = False

    def following(answer: bytes) -> bytes:
        nonlocal is_submitted
        is_submitted = not is_submitted
        return submit if is_submitted else get(f"/v1/runs/{STARTED.decode(answer).id}?wait=10")

    return following


def streams(agent: str) -> Script:
    return repeat(post(f"/v1/agents/{agent}/runs", b'{"input":"Tell"}', "Accept: text/event-stream"))


@dataclass(frozen=True)
class Workload:
    key: str
    title: str
    script: Script
    callers: tuple[int, ...]
    exchanges: int = 1
    marks: bytes = b""
    weight: int = 1
    """Units that one answer stands for."""
    has_bare: bool = True
    unit: str = "a second"
    note: str = ""


WORKLOADS = (
    Workload("W1", "W1 stateless runs", stateless, (1, 32, 128), unit="runs/s"),
    Workload(
        "W2", "W2 durable session turns", turns, (1, 16, 64), unit="turns/s",
        note="The bare server commits each turn to SQLite with synchronous=FULL.",
    ),
    Workload(
        "W3", "W3 background runs, submit to done", submit_and_wait, (32,), exchanges=2, unit="runs/s",
        note="The bare server commits twice to SQLite with synchronous=FULL, and takes up nothing after a crash.",
    ),
    Workload(
        "W4 tick", "W4 streamed events, 100 a run, one a tick", streams("burst"), (32,), marks=DELTA, unit="events/s",
        note="p50 and p99 are of whole streams, processor time is for each event. Only ours are durable.",
    ),
    Workload(
        "W4 paced", "W4 streamed events, 32 agents, one every 5 ms", streams("paced"), (32,), marks=DELTA,
        unit="events/s", note="At most 6,400 are possible.",
    ),
)  # fmt: skip
JOURNAL = Workload(
    "journal", "Journal: runs of 10 no-op steps, each durable before the next",
    repeat(post("/v1/agents/steps/runs", b'{"input":"Ten steps"}', "Prefer: wait=20")), (1, 32, 128), weight=STEPS,
    has_bare=False, unit="steps/s",
    note="`file`: one append and fdatasync for all steps that wait. `records`: our records on SQLite FULL, no runtime. "
    "p50 and p99 are of whole runs, processor time is for each step. The targets (0.34, 0.38, 0.3) are 40 % of "
    "what a prototype without a runtime (no HTTP, host, events, audit, end of a run) made of the file of its day, "
    "which did 43,000 and 124,000 to 152,000 steps/s at 32 and 128 runs. On what a step at 128 runs is spent, as "
    "shares of processor time: the loop of the node 45 % (two fifths of that for the run around its ten steps; "
    "the rest for the frame, rows, events and acks of the step), the writer 28 % (half of it statements of "
    "SQLite, a quarter the commit, a quarter Python), the host 27 %. To go further, all steps of a frame would "
    "have to become one Change, without objects for each, and the writer would need a core and an interpreter of "
    "its own.",
)  # fmt: skip


def sections() -> dict[str, Section]:
    found = {one.key: Section(one.key, one.title, BARE, unit=one.unit, note=one.note) for one in WORKLOADS}
    found["journal"] = Section("journal", JOURNAL.title, "file", unit=JOURNAL.unit, note=JOURNAL.note)
    return found


async def measure(plan: Plan, work: Workload, section: Section, servers: list[Server], repeat_number: int) -> None:
    """One repeat of a workload: each number of callers, each server."""
    for callers in work.callers:
        order = [one for one in servers if work.has_bare or one.name != BARE]
        for server in order if repeat_number % 2 == 0 else reversed(order):
            section.row(server.name, callers).samples.append(await take(plan, work, server, callers))
    order_rows(section, servers)


def order_rows(section: Section, servers: list[Server]) -> None:
    names = ["file", "records", *(one.name for one in servers)]
    section.rows.sort(key=lambda row: (row.callers, names.index(row.subject)))


async def take(plan: Plan, work: Workload, server: Server, callers: int) -> Sample:
    edges: list[tuple[float, float, float]] = []

    def note_edge() -> None:
        edges.append((*server.cpu(), time.process_time()))

    counted, span = await sample(
        server.port, work.script, callers, plan.seconds, plan.warm, work.exchanges, work.marks, note_edge
    )
    (server_before, hosts_before, load_before), (server_after, hosts_after, load_after) = edges
    units = counted.units * work.weight
    p50, p99 = percentile_pair(counted.spans)
    return Sample(
        per_second=units / span,
        p50_ms=p50,
        p99_ms=p99,
        first_ms=percentile_pair(counted.first_spans)[0],
        cpu_server_us=(server_after - server_before) / units * 1e6 if units else None,
        cpu_hosts_us=(hosts_after - hosts_before) / units * 1e6 if units else None,
        load_busy=(load_after - load_before) / span,
    )


async def measure_idle(plan: Plan, servers: list[Server]) -> Table:
    """How soon the agent begins after a submit to an idle node: the clock of both is the same."""
    request = post("/v1/agents/job/runs", b'{"input":"Do it"}', "Prefer: respond-async")
    lines, raw = [], []
    for server in servers:
        if server.name == BARE:
            continue
        starts, answers = [], []
        with connect(server.port) as connection:
            for _ in range(plan.submits):
                began_at = time.monotonic_ns()
                run = STARTED.decode(ask_on(connection, request)).id
                answers.append((time.monotonic_ns() - began_at) / 1e6)
                ended = msgspec.json.decode(ask_on(connection, get(f"/v1/runs/{run}?wait=10")))
                starts.append((ended["output"] - began_at) / 1e6)
                await asyncio.sleep(0.004)
        figures = {
            "subject": server.name, "submits": plan.submits,
            "start_p50_ms": percentile(starts, 0.5), "start_p99_ms": percentile(starts, 0.99),
            "accepted_p50_ms": percentile(answers, 0.5), "accepted_p99_ms": percentile(answers, 0.99),
        }  # fmt: skip
        raw.append(figures)
        lines.append([server.name, str(plan.submits), *(short(figures[one]) for one in list(figures)[2:])])
    head = ["subject", "submits", "start p50 ms", "start p99 ms", "202 p50 ms", "202 p99 ms"]
    return Table("idle", "W3 idle node: submit to the agent's first line, and to the caller's 202", head, lines, raw)
