"""Sessions: one turn at a time and in order, what a second one does, and the memory between them.

Excluded: reading and editing from outside (`test_session_edit`).
"""

import asyncio

import pytest

from pilothouse import Context, Retry, agent
from pilothouse.engine.run import start_run, wait_run
from pilothouse.engine.world import Limits
from pilothouse.errors import Overloaded, SessionBusy
from pilothouse.testing import LocalNode
from tests.engine.agents import chat, command, held


async def inputs(node: LocalNode, agent: str, key: str) -> list[bytes]:
    return [turn.input for turn in await node.history(agent, key)]


async def test_a_turn_sees_the_turns_before_it():
    async with LocalNode({"chat": chat}) as node:
        assert (await node.run("chat", "a", session="s")).output == ["a"]
        assert (await node.run("chat", "b", session="s")).output == ["a", "b"]
        assert (await node.run("chat", "c", session="other")).output == ["c"]


async def test_a_turn_without_a_key_gets_a_session_of_its_own():
    async with LocalNode({"chat": chat}) as node:
        first, second = await node.run("chat", "a"), await node.run("chat", "b")
        assert first.session != second.session
        assert second.output == ["b"]


@pytest.mark.slow
async def test_a_hundred_turns_sent_at_once_run_one_at_a_time_in_the_order_in_which_they_came():
    async with LocalNode({"chat": chat}) as node:
        sent = [start_run(node.world, command("chat", f'"{number}"'.encode(), session="s")) for number in range(100)]
        started = await asyncio.gather(*sent)
        for one in started:
            assert (await wait_run(node.world, "default", one.run.id, 20)).status == "succeeded"
        assert await inputs(node, "chat", "s") == [f'"{number}"'.encode() for number in range(100)]
        last = await node.run("chat", "end", session="s")
        assert last.output == [*(str(number) for number in range(100)), "end"]


async def test_turns_of_different_sessions_run_side_by_side():
    together = asyncio.Barrier(5)

    @agent(mode="session")
    async def meet(ctx: Context, text: str) -> str:
        await ctx.step(together.wait, name="meet")
        return text

    async with LocalNode({"meet": meet}) as node:
        runs = [await node.start("meet", "x", session=f"s{number}") for number in range(5)]
        for run in runs:
            assert (await node.wait(run)).status == "succeeded"


async def test_the_state_is_saved_with_the_turn_and_not_without_it():
    @agent(mode="session")
    async def counter(ctx: Context, fails: bool) -> int:
        ctx.session.state["n"] = ctx.session.state.get("n", 0) + 1
        if fails:
            raise ValueError("no")
        return int(ctx.session.state["n"])

    async with LocalNode({"counter": counter}) as node:
        assert (await node.run("counter", False, session="s")).output == 1
        assert (await node.run("counter", True, session="s")).status == "failed"
        assert await node.state("counter", "s") == {"n": 1}
        assert (await node.run("counter", False, session="s")).output == 2
        await node.restart()
        assert (await node.run("counter", False, session="s")).output == 3
        assert len(await node.history("counter", "s")) == 3


async def test_history_is_bounded_by_what_the_settings_say():
    async with LocalNode({"chat": chat}, options={"chat": {"history_limit": 2}}) as node:
        for text in "abcd":
            run = await node.run("chat", text, session="s")
        assert run.output == ["b", "c", "d"]
        await node.restart()
        assert (await node.run("chat", "e", session="s")).output == ["c", "d", "e"]


async def test_an_agent_may_want_no_history_at_all():
    async with LocalNode({"chat": chat}, options={"chat": {"history_limit": 0}}) as node:
        for text in "abc":
            run = await node.run("chat", text, session="s")
        assert run.output == ["c"]
        assert len(await node.history("chat", "s")) == 3


# --- on_busy --------------------------------------------------------------------------------------------------------


async def test_enqueue_waits_for_the_turn_before_it():
    gate, hold = held("session")
    async with LocalNode({"hold": hold}) as node:
        first = await node.start("hold", "a", session="s")
        second = await node.start("hold", "b", session="s")
        assert second.status == "queued"
        gate.set()
        assert (await node.wait(second)).status == "succeeded"
        assert (await node.get(first)).run.finished_at <= (await node.get(second)).run.started_at


async def test_reject_is_told_that_the_session_is_busy():
    gate, hold = held("session")
    async with LocalNode({"hold": hold}) as node:
        first = await node.start("hold", "a", session="s")
        with pytest.raises(SessionBusy):
            await node.start("hold", "b", session="s", on_busy="reject")
        gate.set()
        await node.wait(first)
        assert (await node.run("hold", "c", session="s", on_busy="reject")).status == "succeeded"


async def test_of_many_that_want_no_other_turn_before_them_one_is_taken():
    """They come at once: none sees the insert of the others in the records yet."""
    gate, hold = held("session")
    async with LocalNode({"hold": hold}) as node:
        sent = [start_run(node.world, command("hold", session="s", on_busy="reject")) for _ in range(10)]
        found = await asyncio.gather(*sent, return_exceptions=True)
        refused = [one for one in found if isinstance(one, SessionBusy)]
        assert len(refused) == 9
        gate.set()
        await node.settle()
        assert len(await node.history("hold", "s")) == 1


async def test_interrupt_ends_the_running_turn_and_keeps_it_in_the_history():
    gate, hold = held("session")
    async with LocalNode({"hold": hold}) as node:
        first = await node.start("hold", "a", session="s")
        second = await node.start("hold", "b", session="s", on_busy="interrupt")
        gate.set()
        assert (await node.wait(second)).status == "succeeded"
        assert (await node.wait(first)).status == "cancelled"
        assert [(turn.input, turn.status) for turn in await node.history("hold", "s")] == [
            (b'"a"', "cancelled"),
            (b'"b"', "succeeded"),
        ]


async def test_rollback_is_as_if_the_running_turn_never_was():
    gate, hold = held("session")
    async with LocalNode({"hold": hold}) as node:
        first = await node.start("hold", "a", session="s")
        second = await node.start("hold", "b", session="s", on_busy="rollback")
        gate.set()
        assert (await node.wait(second)).status == "succeeded"
        assert (await node.wait(first)).status == "cancelled"
        assert await inputs(node, "hold", "s") == [b'"b"']


@pytest.mark.parametrize(("on_busy", "kept"), [("interrupt", [b'"a"', b'"b"']), ("rollback", [b'"b"'])])
async def test_a_waiting_turn_is_interrupted_as_well(on_busy, kept):
    @agent(mode="session")
    async def asks(ctx: Context, text: str) -> str:
        if text == "a":
            await ctx.review("go on?")
        return text

    async with LocalNode({"asks": asks}) as node:
        first = await node.start("asks", "a", session="s")
        await node.wait(first, "waiting")
        second = await node.run("asks", "b", session="s", on_busy=on_busy)
        assert second.status == "succeeded"
        assert (await node.get(first)).status == "cancelled"
        assert await node.reviews(status="open") == []
        assert await inputs(node, "asks", "s") == kept


async def test_a_turn_between_two_tries_is_interrupted_as_well():
    @agent(mode="session", retry=Retry(attempts=2, delay=3600))
    async def flaky(text: str) -> str:
        if text == "a":
            raise OSError("not yet")
        return text

    async with LocalNode({"flaky": flaky}) as node:
        first = await node.start("flaky", "a", session="s")
        await node.settle()
        assert (await node.get(first)).status == "queued"
        second = await node.run("flaky", "b", session="s", on_busy="interrupt")
        assert second.status == "succeeded"
        assert (await node.get(first)).status == "cancelled"


async def test_no_turn_overtakes_one_that_tries_again():
    tries = []

    @agent(mode="session", retry=Retry(attempts=2, delay=60))
    async def flaky(text: str) -> str:
        tries.append(text)
        if tries == ["a"]:
            raise OSError("not yet")
        return text

    async with LocalNode({"flaky": flaky}) as node:
        first = await node.start("flaky", "a", session="s")
        second = await node.start("flaky", "b", session="s")
        await node.advance(seconds=29)
        assert (await node.get(second)).status == "queued"
        await node.advance(seconds=60)
        assert (await node.wait(first)).attempt == 2
        assert (await node.wait(second)).status == "succeeded"
        assert tries == ["a", "a", "b"]


async def test_the_next_turn_starts_when_the_one_before_it_is_cancelled_in_the_queue():
    gate, hold = held("session")
    async with LocalNode({"hold": hold}) as node:
        await node.start("hold", "a", session="s")
        second = await node.start("hold", "b", session="s")
        third = await node.start("hold", "c", session="s")
        await node.cancel(second)
        gate.set()
        assert (await node.wait(third)).status == "succeeded"
        assert await inputs(node, "hold", "s") == [b'"a"', b'"c"']


async def test_a_crash_in_the_middle_of_turns_keeps_their_order():
    @agent(mode="session")
    async def slow(ctx: Context, text: str) -> list[str]:
        await ctx.step(str, text, name="work")
        return [turn.input for turn in ctx.session.history]

    async with LocalNode({"slow": slow}) as node:
        node.crash_at_step("work", "after_effect", occurrence=3)
        runs = [await node.start("slow", text, session="s", delay=60) for text in "abc"]
        node.clock.advance(minutes=2)
        await node.settle()
        for run in runs:
            assert (await node.wait(run)).status == "succeeded"
        assert node.crashes == 1
        assert (await node.get(runs[2])).output == ["a", "b"]


async def test_too_many_turns_in_line_are_refused():
    gate, hold = held("session")
    async with LocalNode({"hold": hold}, limits=Limits(session_queue=2), patience=0.05) as node:
        runs = [await node.start("hold", "x", session="s") for _ in range(3)]
        await node.settle()
        with pytest.raises(Overloaded):
            await node.start("hold", "x", session="s")
        gate.set()
        for run in runs:
            assert (await node.wait(run)).status == "succeeded"
