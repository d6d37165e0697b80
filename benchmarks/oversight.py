"""What it costs to be asked and to be told: the gate before a tool, entries of the audit log, and verifying an export.

Figures are of this process, on records in a file of its own; a gated call is compared with the same call without
policies in the same node, run by run.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.plan import Plan, Table, median
from pilothouse import Context, agent, tool
from pilothouse.cli.audit_file import checkpoint_line, head_line, verify_export
from pilothouse.domain.evidence import Checkpoint, leaf_hash, note_of, root_of, verifier_key
from pilothouse.domain.policy import PolicyRequest, Tool
from pilothouse.domain.principal import LOCAL
from pilothouse.engine import policy
from pilothouse.engine.audit_entry import entry
from pilothouse.ports.change import Change
from pilothouse.security.cedar import CedarLanguage
from pilothouse.security.signing import SigningKey
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing import LocalNode

HEAD = ["what", "figure", "of"]
CALLS = 40
RULINGS = 2_000
SCHEMA = b'{"type":"object","properties":{"cents":{"type":"integer"}},"required":["cents"]}'
MANY_TOOLS, MANY_POLICIES = 100, 50
BUDGET_US = 300.0
"""What a ruling may take."""
RULES = 'permit (principal, action == Action::"bench_pay", resource) when { context.arguments.cents < 100 };'


@tool(risk="irreversible", name="bench_pay")
async def pay(cents: int) -> int:
    return cents


@agent(mode="event")
async def payer(ctx: Context, calls: int) -> int:
    for number in range(calls):
        await ctx.call_tool(pay, cents=number % 100)
    return calls


async def measure_oversight(plan: Plan, folder: Path) -> Table:
    entries = 200_000 if plan.repeats > 1 else 5_000
    ruling, among_many, asked = time_rulings()
    plain, gated = await time_calls(plan.repeats)
    written = await time_entries(folder / "audit.db", entries // 10)
    verified = time_verify(entries)
    raw = [
        {"what": "a ruling, compiled once, us", "figure": ruling, "of": RULINGS},
        {
            "what": f"the same among {MANY_POLICIES} policies and {MANY_TOOLS} tools, us",
            "figure": among_many,
            "of": RULINGS,
        },
        {"what": "one that asks people and yields to them, us", "figure": asked, "of": RULINGS},
        {
            "what": "the slowest of these, as a share of the 300 us that a ruling may take",
            "figure": max(ruling, among_many, asked) / BUDGET_US,
            "of": RULINGS,
        },
        {"what": "a tool call without policies, ms", "figure": plain, "of": CALLS},
        {"what": "the same call through the gate, ms", "figure": gated, "of": CALLS},
        {"what": "entries a second, each in a Change of its own", "figure": written, "of": entries // 10},
        {"what": "seconds to verify a million entries", "figure": verified * 1e6 / entries, "of": entries},
    ]
    lines = [[str(one["what"]), f"{one['figure']:,.2f}", f"{one['of']:,}"] for one in raw]
    note = "Calls and entries are durable (SQLite, synchronous = FULL); a gated call has a Change more, before it runs."
    return Table("oversight", "Oversight: the gate, the log, and verifying it", HEAD, lines, raw, note)


def time_rulings() -> tuple[float, float, float]:
    """Microseconds: of one policy, among many, and of one that is judged as if people had agreed as well."""
    tools = [Tool("bench_pay", "irreversible", schema=SCHEMA)]
    tools += [Tool(f"tool_{number}", "irreversible", schema=SCHEMA) for number in range(MANY_TOOLS - 1)]
    others = [
        f'@id("p{number}") forbid (principal, action == Action::"tool_{number}", resource) '
        "when { context.arguments.cents > 5 };"
        for number in range(MANY_POLICIES - 1)
    ]
    asking = (
        f"{RULES} "
        '@id("ask") @review("owner") forbid (principal, action, resource) when { context.risk == "irreversible" } '
        "unless { context.approved };"
    )
    found = []
    for text, known, verdict in (
        (RULES, tools[:1], "allow"),
        ("\n".join((RULES, *others)), tools, "allow"),
        ("\n".join((asking, *others)), tools, "ask"),
    ):
        compiled = CedarLanguage().compile(text, known, ["payer"])
        request = PolicyRequest(tenant="default", agent="payer", release="r1", tool="bench_pay", risk="irreversible",
                                arguments=b'{"cents":5}')  # fmt: skip
        assert policy.ruling_under(compiled, request).verdict == verdict
        found.append(_seconds(partial(policy.ruling_under, compiled, request), RULINGS) * 1e6)
    one, many, asked = found
    return one, many, asked


def _seconds(act: Callable[[], Any], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - began) / times


async def time_calls(repeats: int) -> tuple[float, float]:
    """Milliseconds of one call of a tool: without policies, and with."""
    plain, gated = [], []
    async with LocalNode({"payer": payer}) as node:
        for is_gated, samples in ((False, plain), (True, gated)):
            if is_gated:
                await policy.activate(node.world, LOCAL, RULES, "enforce", signed=True)
            for _ in range(max(2, repeats)):
                began = time.perf_counter()
                run = await node.run("payer", CALLS)
                assert run.output == CALLS, run.error
                samples.append((time.perf_counter() - began) / CALLS * 1e3)
    return median(plain), median(gated)


async def time_entries(path: Path, count: int) -> float:
    """Entries a second, handed over as fast as they are taken."""
    records = SqliteRecords(f"sqlite:///{path}")
    await records.open()
    try:
        one = entry("default", "run_a", 1_700_000_000_000_000, "run.queued", "node", agent="payer", input="hmac:0")
        began = time.perf_counter()
        for _ in range(0, count, 500):
            await asyncio.gather(*(records.commit(Change((one,))) for _ in range(500)))
        return count / (time.perf_counter() - began)
    finally:
        await records.close()


def time_verify(count: int) -> float:
    """Seconds to verify an export of so many entries."""
    key = SigningKey("bench")
    leaves = [b'{"seq":%d,"at":"2026-11-28T10:00:00.000000Z","kind":"run.queued","id":"run_%d","by":"x"}' % (n, n)
              for n in range(1, count + 1)]  # fmt: skip
    checkpoint = Checkpoint("bench/default", count, root_of([leaf_hash(one) for one in leaves]))
    note = note_of(checkpoint, key.name, key.public, key.sign(checkpoint.text().encode()))
    public = verifier_key(key.name, key.public)
    lines = [head_line("default", public), *(one + b"\n" for one in leaves), checkpoint_line(note)]
    return _seconds(lambda: verify_export(iter(lines), [public], []), 1)
