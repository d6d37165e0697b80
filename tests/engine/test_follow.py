"""Following events: from any point, gapless, over a bus that loses messages, by readers who are slow (I3, I4, I5)."""

import asyncio

import pytest

from pilothouse import Context, agent
from pilothouse.domain.event import Segment, events_of
from pilothouse.engine import event as following
from pilothouse.engine.event import Follower, follow_run, follow_started, read_events
from pilothouse.engine.run import start_run
from pilothouse.errors import BadCursor, RunNotFound
from pilothouse.testing import LocalNode, LossyBus
from pilothouse.testing.invariants import check_gapless, check_seen_is_kept
from tests.engine.agents import command, held, note

Event = tuple[int, str, bytes]


@agent(mode="event")
async def talk(ctx: Context, count: int) -> int:
    for number in range(count):
        await ctx.emit(number)
        if number % 5 == 4:
            await ctx.step(int, number, name="count")
    return count


async def read_all(follower: Follower, after: int = 0) -> list[Event]:
    found: list[Event] = []
    async with asyncio.timeout(60):
        while not follower.is_over:
            for segment in await follower.take(1.0):
                found += events_of(segment, after)
                after = segment.last
    follower.close()
    return found


def numbers(events: list[Event]) -> list[int]:
    return [seq for seq, _, _ in events]


async def kept_events(node: LocalNode, run: str) -> list[Event]:
    return [one for segment in await node.kept.read_events("default", run, 0, 10_000) for one in events_of(segment)]


async def test_a_reader_from_the_beginning_gets_every_event_once_and_the_same_that_is_kept():
    async with LocalNode({"talk": talk}) as node:
        started = await start_run(node.world, command("talk", b"20"))
        seen = await read_all(await follow_started(node.world, started))
        assert seen == await kept_events(node, started.run.id)
        assert (seen[0][1], seen[-1][1]) == ("run.queued", "run.succeeded")


async def test_a_reader_resumes_after_any_event():
    async with LocalNode({"talk": talk}) as node:
        run = await node.run("talk", 12)
        whole = await kept_events(node, run.id)
        for after in range(len(whole)):
            seen = await read_all(await follow_run(node.world, "default", run.id, after), after)
            assert seen == whole[after:]


async def test_a_reader_who_has_seen_the_end_is_told_that_nothing_comes():
    async with LocalNode({"talk": talk}) as node:
        run = await node.run("talk", 3)
        follower = await follow_run(node.world, "default", run.id, run.events[-1].seq)
        assert await follower.take(5) == []
        assert follower.is_over
        follower.close()
        follower.close()


async def test_a_position_that_never_was_is_refused():
    gate, hold = held()
    async with LocalNode({"hold": hold}) as node:
        run = await node.start("hold", "x")
        with pytest.raises(BadCursor):
            await follow_run(node.world, "default", run.id, 1000)
        with pytest.raises(RunNotFound):
            await follow_run(node.world, "default", "run_unknown", 0)
        gate.set()


@pytest.mark.parametrize("seed", range(6))
async def test_a_bus_that_drops_repeats_delays_and_reorders_makes_readers_slower_and_nothing_else(seed, monkeypatch):
    monkeypatch.setattr(following, "LOOK_AGAIN_EVERY", 0.05)
    async with LocalNode({"talk": talk}, bus=lambda: LossyBus(seed)) as node:
        runs = [await start_run(node.world, command("talk", b"30")) for _ in range(3)]

        async def drive() -> None:  # a bell that was lost is made up for by the next round of the loops
            while True:
                await node.tick()
                await asyncio.sleep(0.02)

        driver = asyncio.create_task(drive())
        try:
            readers = [await follow_started(node.world, started) for started in runs]
            seen = await asyncio.gather(*(read_all(reader) for reader in readers))
        finally:
            driver.cancel()
        for started, events in zip(runs, seen, strict=True):
            assert events == await kept_events(node, started.run.id)


async def test_a_slow_reader_is_held_in_a_bounded_buffer_and_misses_nothing(monkeypatch):
    monkeypatch.setattr(following, "BUFFER_BYTES", 2000)

    @agent(mode="event")
    async def wordy(ctx: Context) -> None:
        for number in range(60):
            await ctx.emit("x" * 200)
            await ctx.step(int, number, name="count")

    async with LocalNode({"wordy": wordy}) as node:
        started = await start_run(node.world, command("wordy", b"null"))
        follower = await follow_started(node.world, started)
        first = await follower.take(1.0)
        await node.wait(started.run.id)
        assert follower._heard_bytes <= 2000
        rest = await read_all(follower, first[-1].last)
        seen = [one for segment in first for one in events_of(segment)] + rest
        assert seen == await kept_events(node, started.run.id)


async def test_nothing_in_time_is_an_empty_answer():
    gate, hold = held()
    async with LocalNode({"hold": hold}) as node:
        started = await start_run(node.world, command("hold"))
        follower = await follow_started(node.world, started)
        async with asyncio.timeout(60):
            while await follower.take(0.05):
                pass
        assert not follower.is_over
        gate.set()
        await read_all(follower)


async def test_what_a_reader_saw_before_a_crash_is_in_the_records_after_it():
    async with LocalNode({"talk": talk}) as node:
        started = await start_run(node.world, command("talk", b"10"))
        follower = await follow_started(node.world, started)
        seen: list[Segment] = []
        async with asyncio.timeout(60):
            while sum(segment.count for segment in seen) < 8:
                seen += await follower.take(1.0)
        node.crash()
        follower.close()
        ended = await node.wait(started.run.id)
        kept = await node.kept.read_events("default", ended.id, 0, 1000)
        assert check_seen_is_kept(seen, {ended.id: kept}) == []
        assert check_gapless(kept) == []


# --- runs that are not kept -----------------------------------------------------------------------------------------


async def test_a_stream_of_a_run_that_is_not_kept_is_whole():
    quiet = agent()(talk.function)
    async with LocalNode({"talk": quiet}) as node:
        started = await start_run(node.world, command("talk", b"10", wants="stream"))
        seen = await read_all(await follow_started(node.world, started))
        assert numbers(seen) == list(range(1, len(seen) + 1))
        assert [kind for _, kind, _ in seen] == ["run.queued", "run.started", *["output.delta"] * 10, "run.succeeded"]


async def test_a_second_reader_of_a_run_that_is_not_kept_gets_all_of_it():
    gate, hold = held("stateless")
    async with LocalNode({"hold": hold}) as node:
        started = await start_run(node.world, command("hold", wants="stream"))
        follower = await follow_run(node.world, "default", started.run.id, 0)
        gate.set()
        seen = await read_all(follower)
        assert [kind for _, kind, _ in seen] == ["run.queued", "run.started", "run.succeeded"]
        with pytest.raises(RunNotFound):
            await read_events(node.world, "default", started.run.id, 0, 10)


async def test_a_reader_of_a_run_that_nobody_streams_learns_that_it_is_gone():
    gate, hold = held("stateless")
    async with LocalNode({"hold": hold}) as node:
        started = await start_run(node.world, command("hold"))
        follower = await follow_run(node.world, "default", started.run.id, 0)
        assert await follower.take(0.01) == []
        gate.set()
        assert await read_all(follower) == []


async def test_a_reader_of_a_run_whose_errors_are_kept_sees_the_same_as_the_records():
    """The terminal event once left before it was kept, with the flush that follows a host's last word."""

    @agent(keep="errors")
    async def risky(ctx: Context) -> None:
        await ctx.emit("before")
        raise ValueError("no")

    async with LocalNode({"risky": risky}) as node:
        for reads_late in (False, True):
            started = await start_run(node.world, command("risky", b"null", wants="stream"))
            if reads_late:
                await node.settle()
            seen = await read_all(await follow_started(node.world, started))
            assert seen == await kept_events(node, started.run.id)


async def test_a_stream_that_grows_without_end_is_ended():
    @agent
    async def flood(ctx: Context) -> None:
        while True:
            await ctx.emit("x" * 100_000)

    async with LocalNode({"flood": flood}) as node:
        started = await start_run(node.world, command("flood", b"null", wants="stream"))
        seen = await read_all(await follow_started(node.world, started))
        assert seen[-1][1] == "run.failed"
        assert b"too_large" in seen[-1][2]


async def test_pages_of_events_begin_where_they_are_asked_for():
    async with LocalNode({"note": note}) as node:
        run = await node.run("note", "x")
        found = await read_events(node.world, "default", run.id, 2, 10)
        assert found[0].seq <= 3 <= found[0].last
        with pytest.raises(RunNotFound):
            await read_events(node.world, "default", "run_unknown", 0, 10)
