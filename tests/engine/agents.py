"""Agents and builders that several tests of the engine use."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pilothouse import Context, agent
from pilothouse.engine.run import StartRun
from pilothouse.testing import LocalNode


@agent
async def echo(text: str) -> str:
    return text


@agent(mode="event")
async def note(text: str) -> str:
    return text.upper()


@agent(mode="session")
async def chat(ctx: Context, text: str) -> list[str]:
    """All turns so far, and this one."""
    return [turn.input for turn in ctx.session.history] + [text]


def command(agent: str, input: bytes = b'"x"', **more: Any) -> StartRun:
    return StartRun(tenant="default", agent=agent, input=input, **more)


def held(mode: Any = "event", **options: Any) -> tuple[asyncio.Event, Callable[..., Any]]:
    """A gate, and an agent that waits in a step until it is opened."""
    gate = asyncio.Event()

    @agent(mode=mode, **options)
    async def hold(ctx: Context, text: str) -> str:
        await ctx.step(gate.wait, name="hold")
        return text

    return gate, hold


async def until(node: LocalNode, holds: Callable[[], Awaitable[Any]], within: float = 60.0) -> Any:
    """What `holds` gives, once that is something."""
    async with asyncio.timeout(within):
        while not (found := await holds()):
            await node.wait_move(0.01)
    return found
