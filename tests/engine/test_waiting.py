"""Waiting for one future: done, too late, or given up, and nothing is left behind in any case."""

import asyncio

import pytest

from pilothouse.engine.waiting import wait_done


async def test_a_future_that_is_done_is_not_waited_for():
    future = asyncio.get_running_loop().create_future()
    future.set_result(1)
    assert await wait_done(future, 0)


async def test_what_comes_in_time_is_heard_whatever_it_is():
    loop = asyncio.get_running_loop()
    for end in (
        lambda one: one.set_result(1),
        lambda one: one.set_exception(ValueError("x")),
        lambda one: one.cancel(),
    ):
        future = loop.create_future()
        loop.call_soon(end, future)
        assert await wait_done(future, 60)
        assert future.cancelled() or future.exception() or future.result() == 1


async def test_what_does_not_come_leaves_the_future_alone():
    future = asyncio.get_running_loop().create_future()
    assert not await wait_done(future, 0.001)
    assert not future.done()
    future.set_result(1)
    await asyncio.sleep(0)


async def test_who_is_cancelled_while_waiting_takes_nobody_along():
    future = asyncio.get_running_loop().create_future()
    others = [asyncio.create_task(wait_done(future, None)) for _ in range(2)]
    await asyncio.sleep(0)
    others[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await others[0]
    assert not future.done()
    future.set_result(1)
    assert await others[1]
