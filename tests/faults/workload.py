"""The agents under test: copied into a project as `agents.py`, they run in real hosts and tell a receiver what they do.

Every effect says which run, step and attempt it belongs to and shows its idempotency key, so that the receiver can
prove what happened how often; every delta says its attempt, so that nobody mistakes an old attempt for the current one.
"""

import asyncio
import ctypes
import json
import mmap
import os
import time
import urllib.request
from datetime import timedelta
from typing import Any

from pilothouse import Context, Retry, agent, tool


def tell(ctx: Context, step: str) -> int:
    """One effect in the outside world, from inside a step."""
    return post(ctx, step, ctx.idempotency_key)


def post(ctx: Context, step: str, key: str) -> int:
    body = {"run": ctx.run.id, "step": step, "attempt": ctx.run.attempt, "host": os.getpid()}
    request = urllib.request.Request(
        os.environ["RECEIVER_URL"],
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Idempotency-Key": key},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        times: int = json.load(answer)["times"]
        return times


@agent(mode="event")
async def chain(ctx: Context, plan: dict[str, Any]) -> list[Any]:
    """Steps one after the other, each with an effect and a delta; those in `once` are declared so."""

    def effect(number: int) -> int:
        tell(ctx, str(number))
        return number

    done = []
    for number in range(plan["steps"]):
        done.append(await ctx.step(effect, number, once=number in plan.get("once", ())))
        await ctx.emit({"attempt": ctx.run.attempt, "step": number})
    return done


@agent(mode="session")
async def chat(ctx: Context, text: str) -> dict[str, Any]:
    """A turn that knows all turns before it, with one effect."""
    number = len(ctx.session.history)
    ctx.session.state["turns"] = number + 1

    def effect(text: str) -> str:
        tell(ctx, text)
        return text

    said = await ctx.step(effect, text)
    return {"turn": number, "said": said, "before": [turn.input for turn in ctx.session.history]}


@agent(mode="event")
async def talk(ctx: Context, plan: dict[str, Any]) -> int:
    """Deltas one by one, so slowly that a kill finds it talking."""
    for number in range(plan["deltas"]):
        await ctx.emit({"attempt": ctx.run.attempt, "number": number, "fill": "x" * plan.get("fill", 0)})
        await asyncio.sleep(plan.get("every", 0.0))
    return plan["deltas"]


@agent
async def echo(ctx: Context, text: str) -> str:
    return text


@agent(mode="event")
async def rest(ctx: Context, seconds: float) -> str:
    """A durable sleep with an effect after it."""
    await ctx.sleep(seconds)

    def effect() -> int:
        return tell(ctx, "awake")

    await ctx.step(effect)
    return "rested"


@agent(mode="event")
async def crash(ctx: Context, how: str) -> str:
    """Brings its host down, each time."""

    def effect() -> int:
        return tell(ctx, how)

    if how != "block":
        effect()
    match how:
        case "exit":
            os._exit(3)
        case "segv":
            ctypes.string_at(0)
        case "data":
            b"x" * (1 << 40)
        case "memory":
            held = mmap.mmap(-1, 300 << 20)  # shared pages, which no limit of the kernel on data counts
            for _ in range(300):
                held.write(b"x" * (1 << 20))
            time.sleep(600)
        case "block":
            effect()
            time.sleep(600)
    return "survived"


@agent(mode="event")
async def stubborn(ctx: Context, plan: dict[str, Any]) -> str:
    """Does not obey a cancel; its effects tell how long it goes on."""
    loop = asyncio.get_running_loop()
    until = loop.time() + plan["seconds"]

    def effect() -> int:
        return tell(ctx, "began")

    await ctx.step(effect)
    while loop.time() < until:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue
    return "as if nothing had been"


@agent
async def heed(ctx: Context, seconds: float) -> str:
    """Tells that it began, and that it was cancelled."""
    await asyncio.to_thread(post, ctx, "began", f"{ctx.run.id} began")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        post(ctx, "cancelled", f"{ctx.run.id} cancelled")
        raise
    return "heeded"


@agent(mode="event")
async def wait(ctx: Context, name: str) -> Any:
    """Waits for a signal for as long as it takes."""
    return await ctx.signal(name)


@agent(mode="event")
async def ask(ctx: Context, question: str) -> str:
    return (await ctx.review(question, within=timedelta(hours=1))).verdict


@tool(risk="irreversible", once=True)
def move_money(ctx: Context, order: str) -> str:
    """What people have to agree to, where policies say so."""
    tell(ctx, "move")
    return f"moved for {order}"


@agent(mode="event")
async def move(ctx: Context, order: str) -> str:
    return await ctx.call_tool(move_money, order=order)


@agent(mode="event")
async def consult(ctx: Context, plan: dict[str, Any]) -> str:
    """One call of a language model as a step that is tried again."""

    def think(question: str) -> str:
        return _chat(question, plan)

    patient = Retry(attempts=plan.get("attempts", 4), delay=0.05, jitter=0.0)
    return await ctx.step(think, plan["question"], retry=patient, timeout=plan.get("timeout"))


def _chat(question: str, plan: dict[str, Any]) -> str:
    body = {
        "model": "scripted",
        "messages": [{"role": "user", "content": question}],
        "stream": plan.get("stream", False),
    }
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer unused"},
    )
    with urllib.request.urlopen(request, timeout=plan.get("patience", 10)) as answer:
        if not plan.get("stream"):
            whole: str = json.load(answer)["choices"][0]["message"]["content"]
            return whole
        pieces = []
        for line in answer:
            if line.startswith(b"data: ") and b"[DONE]" not in line:
                delta = json.loads(line[6:])["choices"][0]["delta"]
                pieces.append(delta.get("content") or "")
            elif line.startswith(b"data: "):
                return "".join(pieces)
        raise ConnectionError("the stream ended before it was done")
