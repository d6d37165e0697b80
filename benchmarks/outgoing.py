"""What the border adds to a model call and to a tool call: processor time of node and host, feature by feature.

One agent makes many calls one after the other, with one httpx client, against a model server in this process. The same
calls by a bare program are the floor; each row adds one thing. Time of this process is not counted.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]

from benchmarks.plan import Plan, Table, median
from benchmarks.server import ROOT, START_WITHIN
from pilothouse.client import Client
from pilothouse.testing import Answer, ScriptedModel, Usage

BARE = """
import asyncio, os, sys, time
import httpx
URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
async def main(count):
    async with httpx.AsyncClient(verify=False) as client:
        for number in range(count + 20):
            if number == 20:
                began = time.process_time()
            body = {"model": "scripted", "messages": [{"role": "user", "content": str(number)}]}
            (await client.post(URL, json=body)).json()
    print((time.process_time() - began) / count * 1e6)
asyncio.run(main(int(sys.argv[1])))
"""
AGENTS = """
import os
import httpx
from pilothouse import Context, agent, tool
URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
CLIENT = httpx.AsyncClient(verify=False)

async def ask(number):
    body = {"model": "scripted", "messages": [{"role": "user", "content": str(number)}]}
    headers = {"authorization": "Bearer " + os.environ.get("KEY", "any")}
    return (await CLIENT.post(URL, json=body, headers=headers)).json()

@agent
async def quick(count: int) -> None:
    for number in range(count):
        await ask(number)

@agent(mode="event")
async def kept(count: int) -> None:
    for number in range(count):
        await ask(number)

@tool
async def look(number: int) -> int:
    return number

@agent(mode="event")
async def handy(ctx: Context, count: int) -> None:
    for number in range(count):
        await ctx.call_tool(look, number=number)
"""
BUDGET = """
run_budget = { tokens = 1000000000, tool_calls = 1000000 }
budget = { cost_usd = 1000000, tool_calls = 1000000 }
"""
SECRET = '[secrets.KEY]\nvalue = "sk-0123456789abcdef"\nhosts = ["127.0.0.1"]\n'
LIMITS = "limits = { requests_per_minute = 1000000, tokens_per_minute = 1000000000 }"
ROWS = (
    ("model call, counted (the run is not kept)", "quick", "", ""),
    ("model call, recorded", "kept", "", ""),
    ("model call, recorded, only listed hosts", "kept", "", '[egress]\nmode = "listed"\nhosts = ["127.0.0.1"]\n'),
    ("model call, recorded, limits", "kept", LIMITS, ""),
    ("model call, recorded, a price", "kept", "", ""),
    ("model call, recorded, budgets", "kept", BUDGET, ""),
    ("model call, recorded, the breaker off", "kept", "", ""),
    ("model call, recorded, a hedge that never comes", "kept", "", ""),
    ("model call, recorded, a secret", "kept", "", SECRET),
    ("tool call", "handy", "", ""),
    ("tool call, budgets", "handy", BUDGET, ""),
)
PROVIDER = {
    "a price": "prices = { scripted = { input = 1, output = 2 } }",
    "the breaker off": "breaker = { failures = 0 }",
    "a hedge": "hedge = { after_seconds = 600 }",
}
"""Keys of the provider, by a word of the row."""
OPEN = '[egress]\nmode = "open"\n'
HEAD = ["call", "CPU us of host and node", "more than the bare call"]


def measure_outgoing(plan: Plan, folder: Path) -> Table:
    count, repeats = (400, 3) if plan.repeats > 1 else (60, 1)
    lines: list[list[str]] = []
    raw = []
    with ScriptedModel(Answer("yes", usage=Usage(10, 20))) as model:
        bare = median([_bare(model, count) for _ in range(repeats)])
        lines.append(["httpx in a bare program", f"{bare:,.0f}", ""])
        raw.append({"call": "bare", "cpu_us": bare})
        for number, (name, agent, keys, tables) in enumerate(ROWS):
            home = folder / f"outgoing-{number}"
            home.mkdir(parents=True)
            (home / "agents.py").write_text(AGENTS)
            price = next((keys for word, keys in PROVIDER.items() if word in name), "")
            text = f"[server]\nport = 0\n{tables if '[egress]' in tables else OPEN + tables}"
            text += f'[providers.local]\nurl = "{model.base_url}"\n{price}\n'
            text += f'[agents.{agent}]\ntarget = "agents:{agent}"\n{keys}\n'
            (home / "pilothouse.toml").write_text(text)
            used = _served(home, model, agent, count, repeats, "secret://KEY" if "secret" in name else "any")
            more = f"{used - bare:+,.0f}" if name.startswith("model") else ""
            lines.append([name, f"{used:,.0f}", more])
            raw.append({"call": name, "cpu_us": used})
    note = f"{count} calls one after the other in one run, median of {repeats}; the model server is not in it."
    return Table("outgoing", "Outgoing calls: what the border adds", HEAD, lines, raw, note)


def _bare(model: ScriptedModel, count: int) -> float:
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(count)],
        env={**os.environ, **model.environment}, capture_output=True, check=True, text=True,
    )  # fmt: skip
    return float(done.stdout)


@contextmanager
def serving_node(home: Path, variables: Mapping[str, str]) -> Iterator[tuple[str, Callable[[], float]]]:
    """(url, processor time of the node and its hosts in seconds) of a node on the project in `home`."""
    environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pilothouse", "serve", "--json"]
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as node:
        try:
            assert node.stdout is not None
            yield msgspec.json.decode(node.stdout.readline())["url"], lambda: _processor_time(node.pid)
        finally:
            node.terminate()
            node.wait(START_WITHIN)


def _served(home: Path, model: ScriptedModel, agent: str, count: int, repeats: int, key: str) -> float:
    with serving_node(home, {**model.environment, "KEY": key}) as (url, processor_time):
        return _run_often(url, processor_time, agent, count, repeats)


def _run_often(url: str, processor_time: Callable[[], float], agent: str, count: int, repeats: int) -> float:
    samples = []
    with Client(url) as client:
        for number in range(repeats + 1):  # the first one warms up
            before = processor_time()
            run = client.start_run(agent, 20 if number == 0 else count, wait="later" if agent != "quick" else None)
            while not run.is_terminal:
                run = client.wait_run(run.id, within=60)
            assert run.status == "succeeded", run
            time.sleep(0.05)
            if number:
                samples.append((processor_time() - before) / count * 1e6)
    return median(samples)


def _processor_time(pid: int) -> float:
    node = psutil.Process(pid)
    return float(sum(sum(one.cpu_times()[:2]) for one in (node, *node.children(recursive=True))))
