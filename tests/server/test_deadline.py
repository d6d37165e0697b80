"""Ending an await early: ours is told apart from everybody else's cancellation, and nothing is left behind."""

import asyncio
from math import inf

import pytest

from pilothouse.communication.http import deadline
from pilothouse.communication.http.deadline import POLL, RUN, EarlyEnd, Patience, Patiences, Within


def patience_here() -> Patience:
    task = asyncio.current_task()
    assert task is not None
    return Patience(task)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(deadline, "SWEEP_EVERY", 0.001)


async def test_what_takes_too_long_times_out(quick):
    patience, patiences = patience_here(), Patiences()
    patiences.add(patience, asyncio.get_running_loop())
    with pytest.raises(TimeoutError):
        with Within(patience, asyncio.get_running_loop().time()):
            await asyncio.Event().wait()
    assert patience.task.cancelling() == 0
    await asyncio.sleep(0)
    patiences.close()


async def test_what_is_over_in_time_is_left_alone(quick):
    patience, patiences = patience_here(), Patiences()
    patiences.add(patience, asyncio.get_running_loop())
    with Within(patience, asyncio.get_running_loop().time() + 60):
        await asyncio.sleep(0.003)
    assert patience.until == inf
    patiences.close()


async def test_the_sweep_stops_when_nobody_waits(quick):
    patience, patiences = patience_here(), Patiences()
    patiences.add(patience, asyncio.get_running_loop())
    patiences.all.discard(patience)
    while patiences._timer is not None:
        await asyncio.sleep(0.001)


async def test_a_drain_ends_polls_and_leaves_those_who_wait_for_a_run():
    patiences, ends = Patiences(), dict[str, bool]()

    async def wait(name: str, reason: int) -> None:
        patience = patience_here()
        patiences.add(patience, asyncio.get_running_loop())
        with EarlyEnd(patience, reason) as end:
            await asyncio.Event().wait()
        ends[name] = end.was_told

    poll, run = asyncio.create_task(wait("poll", POLL)), asyncio.create_task(wait("run", RUN))
    await asyncio.sleep(0)
    patiences.end_early(polls_only=True)
    await poll
    assert ends == {"poll": True}
    patiences.end_early(polls_only=False)
    await run
    assert ends == {"poll": True, "run": True}
    patiences.close()


@pytest.mark.parametrize("kind", ["early", "within"])
async def test_a_cancellation_by_somebody_else_goes_through(kind):
    async def wait() -> None:
        patience = patience_here()
        with EarlyEnd(patience, POLL) if kind == "early" else Within(patience, inf):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_is_a_cancellation():
    """A task that its owner cancels in the same tick must not go on as if only its wait were over."""
    held: list[Patience] = []

    async def wait() -> None:
        held.append(patience_here())
        with EarlyEnd(held[0], POLL):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    held[0].tell()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_what_is_awaited_goes_through():
    with pytest.raises(ValueError, match="broken"):
        with EarlyEnd(patience_here(), POLL):
            raise ValueError("broken")
