"""Agents whose runs other nodes ask for. What began is noted, so that nothing can begin twice unseen."""

import asyncio

from pilothouse import Context, agent

begun: list[str] = []
ended: list[str] = []
gates: dict[str, asyncio.Event] = {}


@agent
async def echo(ctx: Context, text: str) -> str:
    begun.append(ctx.run.id)
    return text


@agent
async def talk(ctx: Context, count: int) -> str:
    """Says `count` things of 500 bytes, and all of them in the end."""
    begun.append(ctx.run.id)
    said = [f"{number}:" + "x" * 500 for number in range(count)]
    for one in said:
        await ctx.emit(one)
        await asyncio.sleep(0)
    return "".join(said)


@agent
async def hold(ctx: Context, gate: str) -> str:
    begun.append(ctx.run.id)
    try:
        await gates.setdefault(gate, asyncio.Event()).wait()
    finally:
        ended.append(ctx.run.id)
    return gate
