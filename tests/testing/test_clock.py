"""The clock that a test holds."""

import asyncio
from datetime import timedelta

import pytest

from pilothouse.testing import ManualClock, ManualEntropy
from pilothouse.testing.clock import span_of


def test_two_clocks_do_not_begin_at_the_same_instant():
    assert ManualClock().now() != ManualClock().now()


def test_a_clock_stands_still_until_it_is_moved():
    clock = ManualClock(1_000_000)
    assert (clock.now(), clock.now()) == (1_000_000, 1_000_000)
    clock.advance(2.5)
    clock.advance(timedelta(minutes=1))
    clock.advance(hours=1, seconds=1)
    assert clock.now() == 1_000_000 + round((2.5 + 60 + 3601) * 1e6)
    assert clock.at.timestamp() == clock.now() / 1e6


def test_time_does_not_go_back():
    clock = ManualClock(1_000_000)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    clock.advance_to(5)
    assert clock.now() == 1_000_000


def test_a_span_is_exact_to_the_microsecond():
    assert span_of(0.000001) == 1
    assert span_of(timedelta(days=30), seconds=1) == 30 * 86_400_000_000 + 1_000_000


async def test_sleepers_wake_in_their_order_when_the_clock_comes_by():
    clock, woken = ManualClock(), []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleep(seconds)) for seconds in (30, 10, 20, 0)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert woken == [0]
    assert clock.next_waking == clock.now() + 10_000_000
    clock.advance(20)
    await asyncio.sleep(0)
    assert woken == [0, 10, 20]
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert clock.next_waking is None


def test_chance_is_the_same_for_the_same_seed():
    one, other = ManualEntropy(7), ManualEntropy(7)
    assert [one.bits() for _ in range(5)] == [other.bits() for _ in range(5)]
    assert all(0 <= one.draw() < 1 for _ in range(100))
    assert ManualEntropy(1).bits() != ManualEntropy(2).bits()
