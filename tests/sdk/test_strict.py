"""A journal of another release: the same steps go on, other ones are a divergence and told loudly."""

import asyncio

import pytest

from pilothouse import Context, JournalDiverged
from tests.sdk.node import Node


async def one(number):
    return number


async def recorded(agent):
    node = Node(agent)
    await node.output()
    return node.rows


async def as_another_release(agent, rows):
    node = Node(agent, strict=True)
    node.rows = list(rows)
    return node


async def test_code_that_asks_for_all_recorded_steps_goes_on():
    async def before(ctx: Context):
        return [await ctx.step(one, 1), await ctx.step(one, 2)]

    async def after(ctx: Context):
        return [await ctx.step(one, 1), await ctx.step(one, 2), await ctx.step(one, 3), ctx.random() < 1]

    node = await as_another_release(after, await recorded(before))
    assert await node.output() == [1, 2, 3, True]


@pytest.mark.slow
async def test_a_new_step_while_recorded_ones_were_not_asked_for_diverges():
    ran = []

    async def other():
        ran.append(1)

    async def before(ctx: Context):
        await ctx.step(one, 1)
        await ctx.step(one, 2)

    async def after(ctx: Context):
        await ctx.step(one, 1)
        try:
            await ctx.step(other)
        except BaseException:
            return "swallowed"

    node = await as_another_release(after, await recorded(before))
    word = await node.run()
    assert b"journal_diverged" in word.error
    assert word.retryable is False
    assert JournalDiverged.__name__ in word.kinds
    assert ran == []


@pytest.mark.slow
async def test_a_value_that_is_new_diverges_as_well_and_its_row_is_never_sent():
    async def before(ctx: Context):
        await ctx.step(one, 1)

    async def after(ctx: Context):
        ctx.random()
        await ctx.signal("go")

    node = await as_another_release(after, await recorded(before))
    assert b"journal_diverged" in (await node.run()).error
    assert len(node.heard) == 1


async def test_code_that_asks_for_recorded_steps_a_moment_later_goes_on():
    async def before(ctx: Context):
        return await ctx.step(one, 1)

    async def after(ctx: Context):
        async def late():
            await asyncio.sleep(0.01)
            return await ctx.step(one, 1)

        return await asyncio.gather(ctx.step(one, 2), late())

    node = await as_another_release(after, await recorded(before))
    assert await node.output() == [2, 1]


async def test_the_same_release_may_go_another_way():
    async def before(ctx: Context):
        await ctx.step(one, 1)

    async def after(ctx: Context):
        return await ctx.step(one, 2)

    node = Node(after)
    node.rows = list(await recorded(before))
    assert await node.output() == 2
