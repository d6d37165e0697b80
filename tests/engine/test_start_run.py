"""Taking in runs: modes, ids, idempotency, order, limits, and callers who go away.

Excluded: sessions (`test_session_turns`), waiting and following (`test_follow`), the HTTP side (`tests/server`).
"""

import asyncio
from datetime import datetime, timedelta

import pytest

from pilothouse import Context, Retry, agent
from pilothouse.engine.run import Idempotent, Started, start_run, wait_run, wait_started
from pilothouse.engine.world import Limits
from pilothouse.errors import (
    AgentNotFound,
    Draining,
    IdempotencyMismatch,
    InvalidInput,
    NotKept,
    Overloaded,
    RunExists,
    RunNotFound,
)
from pilothouse.ports.records import RunFilter
from pilothouse.testing import LocalNode
from tests.engine.agents import chat, command, echo, held, note, until


async def count_runs(node: LocalNode) -> int:
    return len((await node.kept.list_runs("default", RunFilter(), None, 1000)).items)


@pytest.mark.parametrize(("name", "output"), [("echo", "hi"), ("note", "HI"), ("chat", ["hi"])])
async def test_every_mode_runs_to_its_end(name, output):
    async with LocalNode({"echo": echo, "note": note, "chat": chat}) as node:
        run = await node.run(name, "hi")
        assert (run.status, run.output) == ("succeeded", output)


async def test_an_acknowledged_run_survives_a_crash_in_the_next_moment():
    async with LocalNode({"note": note}) as node:
        run = await node.start("note", "hi")
        node.crash()
        ended = await node.wait(run)
        assert ended.output == "HI"
        assert node.crashes == 1


async def test_an_unknown_agent_is_refused():
    async with LocalNode({"note": note}) as node:
        with pytest.raises(AgentNotFound):
            await node.start("nobody", "hi")


@pytest.mark.parametrize("name", ["echo", "note", "chat"])
async def test_an_input_that_does_not_fit_is_refused_with_its_faults_and_nothing_is_kept(name):
    async with LocalNode({"echo": echo, "note": note, "chat": chat}) as node:
        with pytest.raises(InvalidInput) as caught:
            await node.run(name, 42)
        assert caught.value.faults[0]["path"] == "$"
        assert await count_runs(node) == 0


async def test_a_stateless_agent_takes_no_session():
    async with LocalNode({"echo": echo}) as node:
        with pytest.raises(InvalidInput):
            await node.start("echo", "hi", session="ann")


# --- kept and not kept ----------------------------------------------------------------------------------------------


async def test_a_stateless_run_whose_caller_waits_touches_no_records():
    async with LocalNode({"echo": echo}) as node:
        await node.settle()
        before = node.records.calls
        started = await start_run(node.world, command("echo"))
        run = await wait_started(node.world, started, None)
        assert run.output == b'"x"'
        assert node.records.calls == before
        with pytest.raises(RunNotFound):
            await wait_run(node.world, "default", run.id, 0)


async def test_a_stateless_run_is_kept_when_its_agent_says_so():
    kept = agent(keep=True)(echo.function)
    async with LocalNode({"echo": kept}) as node:
        started = await start_run(node.world, command("echo"))
        await wait_started(node.world, started, None)
        assert await count_runs(node) == 1


async def test_a_share_of_stateless_runs_is_kept():
    some = agent(keep=0.5)(echo.function)
    async with LocalNode({"echo": some}) as node:
        for _ in range(40):
            await wait_started(node.world, await start_run(node.world, command("echo")), None)
        assert 8 < await count_runs(node) < 32


async def test_of_an_agent_that_keeps_errors_only_the_failed_run_is_kept_with_all_its_events():
    @agent(keep="errors")
    async def risky(ctx: Context, fails: bool) -> str:
        await ctx.emit("before")
        if fails:
            raise ValueError("no")
        return "fine"

    async with LocalNode({"risky": risky}) as node:
        for fails in (b"false", b"true"):
            await wait_started(node.world, await start_run(node.world, command("risky", fails)), None)
        (run,) = (await node.kept.list_runs("default", RunFilter(), None, 10)).items
        shown = await node.get(run.id)
        assert shown.status == "failed"
        assert [event.type for event in shown.events] == ["run.queued", "run.started", "output.delta", "run.failed"]


async def test_a_stateless_run_that_is_not_kept_cannot_ask_a_person():
    @agent
    async def asks(ctx: Context) -> str:
        return (await ctx.review("may I?")).verdict

    async with LocalNode({"asks": asks}) as node:
        run = await node.run("asks")
        assert run.status == "failed"
        assert run.error is not None
        assert run.error["code"] == NotKept.code


async def test_a_stateless_run_tries_again_as_its_agent_says():
    tries = []

    @agent(retry=Retry(attempts=3, delay=60, jitter=0))
    async def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("not yet")
        return len(tries)

    async with LocalNode({"flaky": flaky}) as node:
        started = await start_run(node.world, command("flaky", b"null"))
        await node.advance(seconds=59)
        assert len(tries) == 1
        await node.advance(minutes=5)
        assert (await wait_started(node.world, started, None)).output == b"3"


# --- ids and keys ---------------------------------------------------------------------------------------------------


async def test_the_same_idempotency_key_and_body_is_the_same_run():
    async with LocalNode({"note": note}) as node:
        key = Idempotent("k", b"digest")
        first = await start_run(node.world, command("note", idempotency=key))
        second = await start_run(node.world, command("note", idempotency=key))
        assert first.fresh
        assert not second.fresh
        assert first.run.id == second.run.id
        assert await count_runs(node) == 1


async def test_the_same_key_at_the_same_time_is_one_run():
    async with LocalNode({"note": note}) as node:
        key = Idempotent("k", b"digest")
        starts = [start_run(node.world, command("note", idempotency=key)) for _ in range(20)]
        found: list[Started] = await asyncio.gather(*starts)
        assert len({started.run.id for started in found}) == 1
        assert sum(started.fresh for started in found) == 1
        ends = await asyncio.gather(*(wait_started(node.world, started, 5) for started in found))
        assert {run.output for run in ends} == {b'"X"'}


async def test_the_same_key_is_the_same_run_after_a_crash():
    async with LocalNode({"note": note}) as node:
        key = Idempotent("k", b"digest")
        first = await start_run(node.world, command("note", idempotency=key))
        await node.restart()
        second = await start_run(node.world, command("note", idempotency=key))
        assert first.run.id == second.run.id
        assert (await wait_started(node.world, second, 5)).status == "succeeded"


async def test_the_same_key_with_another_body_is_refused():
    async with LocalNode({"note": note}) as node:
        await start_run(node.world, command("note", idempotency=Idempotent("k", b"one")))
        with pytest.raises(IdempotencyMismatch):
            await start_run(node.world, command("note", idempotency=Idempotent("k", b"two")))


async def test_a_key_is_free_again_when_its_time_is_over():
    async with LocalNode({"note": note}) as node:
        first = await start_run(node.world, command("note", idempotency=Idempotent("k", b"one")))
        node.clock.advance(hours=25)
        second = await start_run(node.world, command("note", idempotency=Idempotent("k", b"two")))
        assert second.fresh
        assert first.run.id != second.run.id


async def test_a_stateless_run_with_a_key_is_kept():
    async with LocalNode({"echo": echo}) as node:
        await wait_started(
            node.world, await start_run(node.world, command("echo", idempotency=Idempotent("k", b"d"))), None
        )
        assert await count_runs(node) == 1


async def test_a_caller_chooses_the_id_and_the_second_one_learns_that_it_is_taken():
    async with LocalNode({"note": note}) as node:
        run = await node.start("note", "x", run_id="run_mine")
        assert run.id == "run_mine"
        with pytest.raises(RunExists):
            await node.start("note", "x", run_id="run_mine")
        assert (await node.wait("run_mine")).output == "X"


# --- when -----------------------------------------------------------------------------------------------------------


async def test_a_delayed_run_starts_when_its_time_has_come_and_not_before():
    async with LocalNode({"note": note}) as node:
        run = await node.start("note", "x", delay=3600)
        await node.advance(seconds=3599)
        assert (await node.get(run)).status == "queued"
        await node.advance(seconds=2)
        ended = await node.wait(run)
        assert ended.status == "succeeded"
        due_at = node.clock.at - timedelta(seconds=1)
        assert datetime.fromisoformat(ended.events[0].body["due_at"]) == due_at


async def test_a_deadline_ends_a_run_that_is_still_delayed():
    async with LocalNode({"note": note}) as node:
        run = await node.start("note", "x", delay=3600, deadline=60)
        await node.advance(minutes=2)
        ended = await node.get(run)
        assert (ended.status, ended.error["code"]) == ("failed", "deadline_exceeded")


async def test_a_deadline_ends_a_run_in_the_middle_of_a_step():
    _gate, hold = held()
    async with LocalNode({"hold": hold}, patience=0.05) as node:
        run = await node.start("hold", "x", deadline=60)
        await node.advance(minutes=2)
        ended = await node.wait(run)
        assert (ended.status, ended.error["code"]) == ("failed", "deadline_exceeded")


async def test_a_deadline_ends_a_run_that_waits():
    @agent(mode="event")
    async def sleeper(ctx: Context) -> None:
        await ctx.sleep(3600)

    async with LocalNode({"sleeper": sleeper}) as node:
        run = await node.start("sleeper", deadline=60)
        await node.wait(run, "waiting")
        await node.advance(minutes=2)
        ended = await node.get(run)
        assert (ended.status, ended.error["code"]) == ("failed", "deadline_exceeded")


async def test_a_deadline_ends_a_stateless_run_that_is_not_kept():
    @agent
    async def sleeper(ctx: Context) -> None:
        await ctx.sleep(3600)

    async with LocalNode({"sleeper": sleeper}) as node:
        started = await start_run(node.world, command("sleeper", b"null", deadline_seconds=60.0))
        await node.advance(minutes=2)
        run = await wait_started(node.world, started, None)
        assert run.status == "failed"
        assert b"deadline_exceeded" in (run.error or b"")


async def test_an_attempt_that_works_longer_than_its_agent_allows_is_ended():
    gate, hold = held()
    async with LocalNode({"hold": hold}, options={"hold": {"timeout": 60.0}}, patience=0.05) as node:
        run = await node.start("hold", "x")
        await node.advance(seconds=59)
        assert (await node.get(run)).status == "running"
        await node.advance(seconds=2)
        assert (await node.wait(run)).error["code"] == "deadline_exceeded"
        gate.set()


# --- order and limits -----------------------------------------------------------------------------------------------


async def test_higher_priority_goes_first_and_then_the_older_one():
    order = []

    @agent(mode="event")
    async def record(text: str) -> None:
        order.append(text)

    gate, hold = held()
    async with LocalNode({"record": record, "hold": hold}, slots=1) as node:
        await node.start("hold", "x")
        runs = [
            await node.start("record", text, priority=priority)
            for text, priority in [("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)]
        ]
        gate.set()
        for run in runs:
            await node.wait(run)
    assert order == ["b", "d", "a", "c", "e"]


async def test_no_more_runs_of_an_agent_than_its_concurrency_are_under_way():
    under_way: list[int] = []
    most, gate = 0, asyncio.Event()

    async def work(number: int) -> None:
        nonlocal most
        under_way.append(number)
        most = max(most, len(under_way))
        await gate.wait()
        under_way.remove(number)

    @agent(mode="event")
    async def busy(ctx: Context, number: int) -> None:
        await ctx.step(work, number)

    async with LocalNode({"busy": busy}, options={"busy": {"concurrency": 2}}, patience=0.05) as node:
        runs = [await node.start("busy", number) for number in range(10)]
        await node.settle()
        assert len(under_way) == 2
        gate.set()
        for run in runs:
            await node.wait(run)
    assert most == 2


async def test_too_many_waiting_runs_are_refused_and_those_taken_in_are_done():
    gate, hold = held()
    async with LocalNode({"hold": hold}, slots=1, limits=Limits(queue=3)) as node:
        runs = [await node.start("hold", "x") for _ in range(4)]
        with pytest.raises(Overloaded):
            await node.start("hold", "x")
        gate.set()
        for run in runs:
            assert (await node.wait(run)).status == "succeeded"


async def test_a_node_that_drains_takes_nothing_new():
    async with LocalNode({"note": note}) as node:
        node.world.is_draining = True
        with pytest.raises(Draining):
            await node.start("note", "x")


async def test_stateless_callers_wait_in_line_for_a_place():
    gate = asyncio.Event()

    @agent
    async def hold(number: int) -> int:
        await gate.wait()
        return number

    async with LocalNode({"hold": hold}, slots=1) as node:

        async def call(number: int) -> bytes | None:
            started = await start_run(node.world, command("hold", str(number).encode()))
            return (await wait_started(node.world, started, None)).output

        calls = [asyncio.create_task(call(number)) for number in range(3)]
        await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(*calls) == [b"0", b"1", b"2"]


# --- callers who go away --------------------------------------------------------------------------------------------


async def test_a_caller_who_goes_away_while_the_run_is_written_neither_loses_it_nor_a_place():
    """A closed connection cancels its handler; the insert was under way, and the run was born claimed: without somebody
    to begin it, it would have stood there under a lease that is renewed for ever."""
    async with LocalNode({"note": note}, slots=1) as node:
        for number in range(3):
            caller = asyncio.create_task(start_run(node.world, command("note", run_id=f"run_{number}")))
            async with asyncio.timeout(60):
                while node.records.names[-1:] != ["submit"]:
                    await asyncio.sleep(0)
            caller.cancel()
            await asyncio.wait((caller,))
            await until(node, lambda number=number: node.kept.get_run("default", f"run_{number}"))
            assert (await node.wait(f"run_{number}")).status == "succeeded"
            node.records.names.clear()
        await node.settle()
        assert node.worker.reserve("note", "default")
        node.worker.unreserve("note", "default")


async def test_a_caller_who_goes_away_while_waiting_does_not_stop_the_run():
    gate, hold = held()
    async with LocalNode({"hold": hold}) as node:
        started = await start_run(node.world, command("hold"))
        caller = asyncio.create_task(wait_started(node.world, started, None))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait((caller,))
        gate.set()
        assert (await node.wait(started.run.id)).status == "succeeded"


async def test_waiting_for_an_end_gives_the_run_as_it_is_when_the_time_is_over():
    gate, hold = held()
    async with LocalNode({"hold": hold}) as node:
        started = await start_run(node.world, command("hold"))
        assert (await wait_started(node.world, started, 0.01)).status == "running"
        assert (await wait_run(node.world, "default", started.run.id, 0.01)).status == "running"
        gate.set()
        assert (await wait_run(node.world, "default", started.run.id, 5)).status == "succeeded"
