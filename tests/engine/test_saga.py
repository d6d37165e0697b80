"""Fan-out and fan-in with durable waits, and sagas: undone in reverse order, once each, whatever dies; what cannot be
undone is a question to a person."""

from collections.abc import Iterator
from typing import Any

import pytest

from pilothouse import BlockingContext, CallFailed, Context, NotUndone, Retry, agent
from pilothouse.engine.cancel import cancel_run
from pilothouse.ports.records import RunFilter
from pilothouse.testing import LocalNode
from tests.engine.agents import note

DID: list[str] = []


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    DID.clear()
    yield
    DID.clear()


def book(what: str) -> str:
    DID.append(f"book {what}")
    return f"{what}-1"


def cancel(booking: str) -> None:
    DID.append(f"cancel {booking}")


def refuse(what: str) -> str:
    raise LookupError(f"no {what}")


ONE_TRY = Retry(attempts=1)


@agent(mode="event")
async def trip(ctx: Context, last: str) -> list[str]:
    async with ctx.saga() as saga:
        booked = []
        for what in ("hotel", "flight"):
            booking = await ctx.step(book, what)
            saga.undo(cancel, booking)
            booked.append(booking)
        booked.append(await ctx.step(book if last == "car" else refuse, last))
    return booked


async def test_a_saga_that_ends_well_undoes_nothing():
    async with LocalNode({"trip": trip}) as node:
        assert (await node.run("trip", "car")).output == ["hotel-1", "flight-1", "car-1"]
        assert DID == ["book hotel", "book flight", "book car"]


async def test_a_saga_that_fails_undoes_what_it_did_in_reverse_order_and_ends_with_the_first_error():
    async with LocalNode({"trip": trip}) as node:
        run = await node.run("trip", "yacht")
        assert DID == ["book hotel", "book flight", "cancel flight-1", "cancel hotel-1"]
        assert (run.status, run.error["code"]) == ("failed", "step_failed")
        assert "no yacht" in run.error["message"]
        assert [step.name for step in run.steps] == ["book", "book", "refuse", "undo.cancel", "undo.cancel"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["before", "after"])
async def test_a_node_that_dies_at_any_call_undoes_everything_in_order_and_nothing_that_was_kept_twice(mode):
    async with LocalNode({"trip": trip}) as counting:
        before = counting.records.calls
        await counting.run("trip", "yacht")
        calls = counting.records.calls - before
    for nth in range(1, calls + 1):
        DID.clear()
        async with LocalNode({"trip": trip}) as node:
            node.records.strike(nth, mode)
            run = await node.run("trip", "yacht")
            assert run.error["code"] == "step_failed"
            undone = [row.input for row in run.steps if row.name == "undo.cancel"]
            assert undone == [{"booking": "flight-1"}, {"booking": "hotel-1"}], nth
            once = list(dict.fromkeys(DID))  # a step whose end was not kept is done again, as every step is
            assert once == ["book hotel", "book flight", "cancel flight-1", "cancel hotel-1"], nth
            assert len(DID) <= len(once) + 1, nth


class Stubborn:
    left = 0

    def __call__(self, booking: str) -> None:
        if Stubborn.left:
            Stubborn.left -= 1
            raise ConnectionError("the airline does not answer")
        cancel(booking)


stubborn = Stubborn()


@agent(mode="event")
async def flight(ctx: Context, text: str) -> str:
    async with ctx.saga() as saga:
        saga.undo(cancel, await ctx.step(book, "hotel"))
        saga.undo(stubborn, await ctx.step(book, "flight"), name="call-airline", retry=ONE_TRY)
        return await ctx.step(refuse, "seat")


@pytest.mark.parametrize(
    ("verdicts", "code", "did"),
    [
        (["approve"], "step_failed", ["cancel flight-1", "cancel hotel-1"]),
        (["approve", "respond"], "step_failed", ["cancel hotel-1"]),
        (["edit"], "step_failed", ["cancel hotel-1"]),
        (["reject"], "not_undone", ["cancel hotel-1"]),
    ],
)
async def test_what_cannot_be_undone_is_a_question_to_a_person_and_holds_up_nothing_else(verdicts, code, did):
    Stubborn.left = len(verdicts)
    async with LocalNode({"flight": flight}) as node:
        run = await node.start("flight", "")
        for number, verdict in enumerate(verdicts):
            review = await node.wait_review(run)
            await node.wait(run, "waiting")
            assert "undo.call-airline" in review.question
            assert "the airline does not answer" in review.details["fault"]
            if not number:
                await node.restart()
            given = {"edit": {"edited": {}}, "respond": {"response": "by phone"}}.get(verdict, {})
            await node.decide(review, verdict, **given, by="ann")
        ended = await node.wait(run)
        assert ended.error["code"] == code
        assert ["book hotel", "book flight", *did] == DID
        if code == "not_undone":
            assert "undo.call-airline" in ended.error["message"]


async def test_what_was_left_is_told_to_the_code_around_the_saga():
    @agent(mode="event")
    async def around(ctx: Context, text: str) -> str:
        try:
            return str(await flight(ctx, text))
        except NotUndone as error:
            return type(error.__cause__).__name__

    Stubborn.left = 1
    async with LocalNode({"around": around}) as node:
        run = await node.start("around", "")
        await node.decide(await node.wait_review(run), "reject", by="ann")
        assert (await node.wait(run)).output == "StepFailed"


async def test_an_undo_that_fails_is_tried_again_by_itself():
    @agent(mode="event")
    async def retried(ctx: Context, text: str) -> str:
        async with ctx.saga() as saga:
            saga.undo(stubborn, "flight-1", retry=Retry(attempts=3, delay=0))
            return await ctx.step(refuse, "seat")

    Stubborn.left = 2
    async with LocalNode({"retried": retried}) as node:
        assert (await node.run("retried", "")).error["code"] == "step_failed"
        assert DID == ["cancel flight-1"]


async def test_a_sync_agent_and_a_run_that_is_not_kept_undo_too():
    @agent
    def loose(ctx: BlockingContext, text: str) -> str:
        with ctx.saga() as saga:
            saga.undo(cancel, ctx.step(book, "hotel"))
            return ctx.step(refuse, "seat")

    async with LocalNode({"loose": loose}) as node:
        assert (await node.run("loose", "")).status == "failed"
        assert DID == ["book hotel", "cancel hotel-1"]


async def test_an_error_that_the_agent_catches_inside_undoes_nothing():
    @agent(mode="event")
    async def careful(ctx: Context, text: str) -> str:
        async with ctx.saga() as saga:
            saga.undo(cancel, await ctx.step(book, "hotel"))
            try:
                await ctx.step(refuse, "seat")
            except Exception:
                return "without a seat"
        return "never"

    async with LocalNode({"careful": careful}) as node:
        assert (await node.run("careful", "")).output == "without a seat"
        assert DID == ["book hotel"]


async def test_a_run_that_is_cancelled_ends_at_once_and_undoes_nothing():
    @agent(mode="event")
    async def waits(ctx: Context, text: str) -> str:
        async with ctx.saga() as saga:
            saga.undo(cancel, await ctx.step(book, "hotel"))
            return await ctx.signal("go")

    async with LocalNode({"waits": waits}) as node:
        run = await node.start("waits", "")
        await node.wait(run, "waiting")
        await cancel_run(node.world, "default", run.id, "enough")
        assert (await node.wait(run)).status == "cancelled"
        assert DID == ["book hotel"]


# --- fan-out and fan-in ---------------------------------------------------------------------------------------------


async def test_call_all_gives_the_outputs_in_order_and_calls_no_more_at_a_time_than_asked():
    live, most = 0, 0

    @agent(mode="event")
    async def part(ctx: Context, number: int) -> int:
        nonlocal live, most
        live += 1
        most = max(most, live)
        await ctx.step(note_number, number)
        live -= 1
        return number * number

    @agent(mode="event")
    async def whole(ctx: Context, many: int) -> int:
        return sum(await ctx.call_all("part", range(many), at_once=3))

    async with LocalNode({"part": part, "whole": whole}) as node:
        assert (await node.run("whole", 10)).output == 285
        assert most <= 3


def note_number(number: int) -> int:
    return number


async def test_a_sync_agent_fans_out_as_well():
    @agent(mode="event")
    def whole(ctx: BlockingContext, words: list[str]) -> list[str]:
        return ctx.call_all("note", words)

    async with LocalNode({"whole": whole, "note": note}) as node:
        assert (await node.run("whole", ["a", "b"])).output == ["A", "B"]


async def test_the_first_failure_is_raised_once_all_have_ended_or_stands_where_its_output_would():
    @agent(mode="event")
    async def picky(number: int) -> int:
        if number % 2:
            raise ValueError(f"{number} is odd")
        DID.append(str(number))
        return number

    @agent(mode="event")
    async def strict(ctx: Context, many: int) -> list[int]:
        return await ctx.call_all("picky", range(many))

    @agent(mode="event")
    async def lenient(ctx: Context, many: int) -> list[Any]:
        found = await ctx.call_all("picky", range(many), return_exceptions=True)
        return [one if isinstance(one, int) else "odd" for one in found if isinstance(one, int | CallFailed)]

    async with LocalNode({"picky": picky, "strict": strict, "lenient": lenient}) as node:
        failed = await node.run("strict", 5)
        assert "1 is odd" in failed.error["message"]
        assert sorted(DID) == ["0", "2", "4"]
        assert (await node.run("lenient", 4)).output == [0, "odd", 2, "odd"]


@pytest.mark.slow
async def test_a_fan_out_that_dies_at_any_call_makes_each_run_once():
    @agent(mode="event")
    async def whole(ctx: Context, words: list[str]) -> list[str]:
        return await ctx.call_all("note", words, at_once=2)

    for nth in range(1, 25):
        async with LocalNode({"whole": whole, "note": note}) as node:
            node.records.strike(nth, "before" if nth % 2 else "after")
            run = await node.run("whole", ["a", "b", "c"])
            assert run.output == ["A", "B", "C"], nth
            assert len((await node.kept.list_runs("default", RunFilter(parent=run.id), None, 10)).items) == 3
