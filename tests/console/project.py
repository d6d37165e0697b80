"""The agents that the tests of the console look at, and the node that serves them.

They show each thing a page has to show: steps that last, a conversation with a model, a call of a tool, a question to a
person, a session with a state, a failure, an input with a form, and text that would be markup if it were let.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.cli.served import environment

EVIL = (
    '<img src=x onerror="document.title=1"> <b>bold</b> [a](javascript:alert(1)) ![p](https://elsewhere.invalid/p.png)'
)
AGENTS = f'''
"""Agents for the tests of the console."""

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pilothouse import Context, agent, tool

EVIL = {EVIL!r}


def ask_model(messages: list[dict[str, Any]]) -> dict[str, Any]:
    call = {{"id": "call_1", "function": {{"name": "find_order", "arguments": '{{"order": "A-1042"}}'}}}}
    return {{"choices": [{{"message": {{"role": "assistant", "content": EVIL, "tool_calls": [call]}}}}]}}


def find_order(order: str) -> dict[str, Any]:
    return {{"order": order, "cents": 4900}}


@dataclass
class Claim:
    customer: str
    cents: int
    reason: str = "It broke."
    channel: Literal["mail", "phone", "web"] = "web"
    urgent: bool = False


@agent(mode="event")
async def refunds(ctx: Context, claim: Claim) -> dict[str, Any]:
    """Looks at a claim and asks a person about a large one."""
    print("claim of", claim.customer)
    ctx.record_usage(input_tokens=812, output_tokens=64, model_calls=1, cost_usd=0.0031)
    await ctx.step(ask_model, [{{"role": "user", "content": claim.reason}}])
    order = await ctx.step(find_order, "A-1042")
    if claim.cents < 0:
        raise ValueError("a claim of less than nothing")
    if claim.cents < 10_000:
        return {{"paid": claim.cents, "order": order}}
    details = {{"arguments": {{"order": "A-1042", "cents": claim.cents}}, "order": order}}
    question = f"Pay back {{claim.cents}} to {{claim.customer}}?"
    answer = await ctx.review(question, details=details, within=timedelta(hours=2))
    return {{"verdict": answer.verdict, "edited": answer.edited, "response": answer.response, "reason": answer.reason}}


@agent(mode="session")
async def desk(ctx: Context, message: str) -> str:
    """Talks, and remembers."""
    ctx.session.state["last"] = message
    text = f"Turn {{len(ctx.session.history) + 1}}: {{message}}"
    for word in text.split(" "):
        await ctx.emit(word + " ")
    return text


@agent(mode="event")
async def climb(ctx: Context, folder: str) -> list[int]:
    """One step for each file that appears; each names the process that it ran in."""
    return [await ctx.step(await_file, folder, number) for number in (1, 2, 3)]


async def await_file(folder: str, number: int) -> int:
    (Path(folder) / f"began-{{number}}").write_text(str(os.getpid()))
    while not (Path(folder) / f"go-{{number}}").exists():
        await asyncio.sleep(0.01)
    return os.getpid()


@agent(mode="event")
def quick(number: int) -> int:
    return number


@tool(risk="consequential")
async def refund(order: str, cents: int) -> str:
    return f"paid {{cents}} for {{order}}"


@agent(mode="event")
async def payer(ctx: Context, cents: int) -> str:
    """Pays without asking, unless policies say otherwise."""
    return await ctx.call_tool(refund, order="A-1042", cents=cents)


@agent(mode="event")
async def writer(ctx: Context, text: str) -> str:
    """Asks a model by itself, as code without a framework does."""
    import httpx

    body = {{"model": "scripted", "messages": [{{"role": "user", "content": text}}]}}
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=body)
    return answer.json()["choices"][0]["message"]["content"]


@agent
def shout(text: str) -> str:
    """Answers at once, and is forgotten."""
    return text.upper()
'''
NAMES = ("refunds", "desk", "climb", "quick", "shout", "payer", "writer")
SETTINGS = """[server]
port = 0
grace_seconds = 0.5

[worker]
cancel_grace_seconds = 0.5
park_after_seconds = 0

""" + "\n".join(f'[agents.{name}]\ntarget = "agents:{name}"\n' for name in NAMES)
STOP_WITHIN = 60.0


class Node:
    """A node that serves: its address, a client, and the process."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url, self.process = url, process
        self.http = httpx2.Client(base_url=url, timeout=30, trust_env=False)

    def start(self, agent: str, input: object, **more: object) -> dict:
        """Starts a run in the background, and gives it as it is then."""
        answer = self.http.post(
            f"/v1/agents/{agent}/runs", json={"input": input, **more}, headers={"Prefer": "respond-async"}
        )
        assert answer.status_code == 202, answer.text
        return answer.json()

    def ended(self, run: str) -> dict:
        return self.http.get(f"/v1/runs/{run}", params={"wait": 30}).json()

    def parked(self, run: str) -> dict:
        """The open review of a run that asks for one."""
        with self.http.stream("GET", f"/v1/runs/{run}/events", headers={"Accept": "text/event-stream"}) as events:
            for line in events.iter_lines():
                if line == "event: run.waiting":
                    break
        [review] = self.http.get("/v1/reviews", params={"run": run}).json()["items"]
        return review


@contextmanager
def serve(folder: Path, *flags: str, more: str = "", settings: str = "", **variables: str) -> Iterator[Node]:
    """`more`: code beside that of the agents, which makes them another release. `settings`: further tables of them."""
    (folder / "agents.py").write_text(AGENTS + more, encoding="utf-8")
    (folder / "pilothouse.toml").write_text(SETTINGS + settings, encoding="utf-8")
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pilothouse", "serve", "--json", *flags],
            cwd=folder, env=environment(**variables), stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    node = None
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError((folder / "serve.log").read_text(encoding="utf-8"))
        node = Node(str(json.loads(line)["url"]), process)
        yield node
    finally:
        if node is not None:
            node.http.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def host_of(folder: Path, number: int) -> int:
    """The process of the host that works on a step of `climb`; waits until the step has begun."""
    file = folder / f"began-{number}"
    while not (file.exists() and file.read_text()):
        time.sleep(0.01)
    return int(file.read_text())
