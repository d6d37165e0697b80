"""The agents under test. They do nothing, so that what is measured is the runtime around them.

Copied as `bench_agents.py` beside the pilothouse.toml that the bench writes.
"""

import asyncio
import time

from pilothouse import Context, agent

EVENTS = 100
STEPS = 10
GAP = 0.005


@agent
async def echo(message: str) -> str:
    return message


@agent(mode="session")
async def turn(message: str) -> str:
    return message


@agent(mode="event")
async def job(message: str) -> int:
    """Gives the instant at which it began; all processes of a machine share this clock."""
    return time.monotonic_ns()


@agent(mode="event")
async def burst(ctx: Context, message: str) -> None:
    """One event for each tick of the loop."""
    for number in range(EVENTS):
        await ctx.emit(number)
        await asyncio.sleep(0)


@agent(mode="event")
async def paced(ctx: Context, message: str) -> None:
    """Events that come one by one, as tokens of a language model do."""
    for number in range(EVENTS):
        await ctx.emit(number)
        await asyncio.sleep(GAP)


@agent(mode="event")
async def rest(message: str) -> None:
    """As an agent that waits for a model."""
    await asyncio.sleep(0.05)


async def nothing(number: int) -> dict[str, str]:
    return {"role": "tool", "content": "x" * 170}


@agent(mode="event")
async def steps(ctx: Context, message: str) -> None:
    """Each step is durable before the next begins."""
    for number in range(STEPS):
        await ctx.step(nothing, number)
