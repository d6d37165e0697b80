"""Steps: their keys, tries, failures and results, first run and replay alike."""

import asyncio
import dataclasses
import threading
from datetime import UTC, datetime

import pytest

from pilothouse import Context, Retry, StepFailed, StepTimeout, UnknownOutcome, idempotency_key, tool
from pilothouse.domain.journal import BEGUN, ENDED, StepRow
from tests.sdk.node import Node

QUICK = Retry(attempts=3, delay=0.0)


async def replayed(node, input=None):
    """The output of a run and of its replay from the rows it left."""
    first = await node.output(input)
    rows = list(node.rows)
    second = await node.output(input)
    assert node.rows == rows, "a replay writes nothing"
    return first, second


async def test_a_step_that_ended_is_answered_from_its_row():
    ran = []

    async def look(what):
        ran.append(what)
        return {"what": what}

    async def agent(ctx: Context):
        return await ctx.step(look, "x")

    first, second = await replayed(Node(agent))
    assert first == second == {"what": "x"}
    assert ran == ["x"]


async def test_side_by_side_steps_of_one_name_replay_in_the_order_they_were_asked():
    ends = []

    async def slow(turns, mark):
        for _ in range(turns):
            await asyncio.sleep(0)
        ends.append(mark)
        return mark

    async def agent(ctx: Context):
        return await asyncio.gather(*(ctx.step(slow, 9 - at, mark) for at, mark in enumerate("abcdef")))

    first, second = await replayed(Node(agent))
    assert first == second == list("abcdef")
    assert ends == list("fedcba")


async def test_steps_that_are_equal_in_all_but_their_order_are_told_apart_by_it():
    count = iter(range(100))

    async def draw(turns):
        number = next(count)
        await asyncio.sleep(0.002 if number == 0 else 0)
        return number

    async def agent(ctx: Context):
        return await asyncio.gather(*(ctx.step(draw, 1) for _ in range(4)))

    node = Node(agent)
    first, second = await replayed(node)
    assert first == second == [0, 1, 2, 3]
    keys = {row.key for row in node.ended()}
    assert {key.rpartition("-")[2] for key in keys} == {"1", "2", "3", "4"}
    assert len({key.rpartition("-")[0] for key in keys}) == 1


async def test_tasks_of_a_group_replay_too():
    async def double(number):
        return number * 2

    async def agent(ctx: Context):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ctx.step(double, number)) for number in range(5)]
        return [task.result() for task in tasks]

    first, second = await replayed(Node(agent))
    assert first == second == [0, 2, 4, 6, 8]


async def test_a_retry_counts_its_tries_in_the_row():
    tries = []

    async def flaky():
        tries.append(idempotency_key())
        if len(tries) < 3:
            raise ConnectionError("gone")
        return "there"

    async def agent(ctx: Context):
        return await ctx.step(flaky, retry=QUICK)

    node = Node(agent)
    assert await node.output() == "there"
    assert [row.tries for row in node.ended()] == [3]
    assert len(set(tries)) == 1, "every try shows the same idempotency key"


async def test_tries_end_at_their_limit_and_the_last_failure_is_kept():
    tries = []

    async def flaky():
        tries.append(1)
        raise ConnectionError(f"gone {len(tries)}")

    async def agent(ctx: Context):
        try:
            await ctx.step(flaky, retry=QUICK)
        except StepFailed as error:
            return [error.kind, error.text]

    node = Node(agent)
    assert await replayed(node) == (["ConnectionError", "gone 3"], ["ConnectionError", "gone 3"])
    assert len(tries) == 3
    assert [(row.status, row.tries) for row in node.ended()] == [("failed", 3)]


async def test_only_the_errors_that_are_named_are_retried():
    tries = []

    async def flaky():
        tries.append(1)
        raise KeyError("x")

    async def agent(ctx: Context):
        await ctx.step(flaky, retry=Retry(attempts=3, delay=0.0, on=("ConnectionError",)))

    assert (await Node(agent).failure())["code"] == "step_failed"
    assert len(tries) == 1


def test_the_backoff_doubles_up_to_its_limit():
    retry = Retry(attempts=6, delay=1.0, factor=2.0, max_delay=5.0, jitter=0.5)
    assert [retry.delay_before(tries, 0.0) for tries in range(1, 7)] == [1.0, 2.0, 4.0, 5.0, 5.0, None]
    assert retry.delay_before(2, 1.0) == 1.0


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_step_over_its_time_fails_as_a_timeout_and_so_does_its_replay(kind):
    release = threading.Event()

    async def waits():
        await asyncio.sleep(30)

    def blocks():
        release.wait(5)

    async def agent(ctx: Context):
        try:
            await ctx.step(waits if kind == "async" else blocks, timeout=0.02)
        except StepTimeout as error:
            return [type(error).__name__, error.code, error.step]

    try:
        first, second = await replayed(Node(agent))
    finally:
        release.set()
    assert first == second
    assert first[:2] == ["StepTimeout", "step_timeout"]


async def test_a_failure_is_the_same_error_in_the_first_run_and_in_the_replay():
    class PaperJam(Exception):
        pass

    async def prints():
        raise PaperJam("tray 2")

    async def agent(ctx: Context):
        try:
            await ctx.step(prints)
        except StepFailed as error:
            return [type(error).__name__, error.code, error.kind, error.text, error.step, str(error), error.hint]

    first, second = await replayed(Node(agent))
    assert first == second
    assert first[2].endswith("PaperJam")


async def test_a_function_that_ends_the_process_only_fails_its_step():
    async def leaves():
        raise SystemExit(3)

    async def agent(ctx: Context):
        try:
            await ctx.step(leaves)
        except StepFailed as error:
            return error.kind

    assert await Node(agent).output() == "SystemExit"


async def test_results_come_back_as_the_annotation_says_in_the_first_run_too():
    @dataclasses.dataclass
    class Order:
        cents: int
        at: datetime

    async def fetch() -> Order:
        return Order(5, datetime(2026, 1, 1, tzinfo=UTC))

    async def loose():
        return Order(5, datetime(2026, 1, 1, tzinfo=UTC))

    async def agent(ctx: Context):
        order, free = await ctx.step(fetch), await ctx.step(loose)
        return [type(order).__name__, order.at.year, type(free).__name__]

    fetch.__annotations__["return"] = Order
    assert await replayed(Node(agent)) == (["Order", 2026, "dict"],) * 2


async def test_a_result_that_is_no_json_fails_the_step():
    async def opens():
        return object()

    async def agent(ctx: Context):
        await ctx.step(opens)

    error = await Node(agent).failure()
    assert error["code"] == "step_failed"
    assert "opens" in error["message"]


async def test_a_run_that_is_not_kept_gives_the_same_and_says_nothing():
    async def adds(a):
        return (a, a)

    async def fails():
        raise ValueError("no")

    async def agent(ctx: Context):
        told = [await ctx.step(adds, 1), isinstance(ctx.random(), float)]
        try:
            await ctx.step(fails, retry=QUICK)
        except StepFailed as error:
            told.append([error.kind, error.text])
        return told

    kept = await Node(agent).output()
    free = Node(agent, kept=False, mode="stateless")
    assert await free.output() == kept
    assert len(free.heard) == 1


# --- once -------------------------------------------------------------------------------------------------------------


class Till:
    def __init__(self):
        self.paid = []

    async def pay(self, cents):
        self.paid.append(idempotency_key())
        return {"paid": cents}

    async def agent(self, ctx: Context):
        try:
            return await ctx.step(self.pay, 5, once=True)
        except UnknownOutcome as error:
            return ["unknown", error.code]


async def lost_once(answer):
    """A `once` step whose function ran and whose end was lost with the host."""
    till = Till()
    node = Node(till.agent, answers={"unknown_outcome": answer})
    output = await node.output(crash_at=2, keeps=False)
    return till, node, output


async def test_a_lost_once_step_that_is_approved_runs_again_with_its_old_key():
    till, node, output = await lost_once({"verdict": "approve"})
    assert output == {"paid": 5}
    assert len(till.paid) == 2
    assert len(set(till.paid)) == 1
    assert [(row.key.endswith(".again-2"), row.phase) for row in node.rows if row.kind == "step"] == [
        (False, BEGUN),
        (True, BEGUN),
        (True, ENDED),
    ]


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        ({"verdict": "edit", "edited": {"paid": 4}}, {"paid": 4}),
        ({"verdict": "respond", "response": "by hand"}, "by hand"),
        ({"verdict": "reject"}, ["unknown", "unknown_outcome"]),
        ({"verdict": "expired"}, ["unknown", "unknown_outcome"]),
    ],
    ids=["edit", "respond", "reject", "expired"],
)
async def test_a_lost_once_step_ends_as_a_person_says(answer, output):
    till, node, given = await lost_once(answer)
    assert given == output
    assert len(till.paid) == 1
    assert await node.output() == output, "and so on every replay"
    assert len(node.asked) == 1
    assert "pay" in node.asked[0].question


async def test_a_second_loss_of_a_once_step_is_asked_about_as_well():
    till = Till()
    node = Node(till.agent, answers={"unknown_outcome": {"verdict": "approve"}})
    node.crash_at, node.keeps = 2, False
    assert await node.attempt() is None
    # AskReview, the second intent, and then the end that is lost again.
    node.crash_at = len(node.heard) + 3
    assert await node.attempt() is None
    assert await node.output() == {"paid": 5}
    assert [len(till.paid), len(node.asked)] == [3, 2]


async def test_a_once_step_that_ran_out_of_time_is_not_retried_unless_that_is_named():
    tries = []

    async def waits():
        tries.append(1)
        await asyncio.sleep(30)

    def agent_with(retry):
        async def agent(ctx: Context):
            await ctx.step(waits, once=True, timeout=0.01, retry=retry)

        return agent

    await Node(agent_with(QUICK)).failure()
    assert len(tries) == 1
    await Node(agent_with(Retry(attempts=2, delay=0.0, on=("StepTimeout",)))).failure()
    assert len(tries) == 3


# --- tools and keys ---------------------------------------------------------------------------------------------------


async def test_a_tool_is_a_step_with_its_own_options_and_is_counted():
    @tool(risk="irreversible", once=True, name="refund")
    async def give_back(cents: int) -> int:
        return cents

    async def agent(ctx: Context):
        return await ctx.call_tool(give_back, cents=3)

    node = Node(agent)
    assert await node.output() == 3
    assert [(row.name, row.once, row.usage is not None) for row in node.ended("tool")] == [("refund", True, True)]


async def test_a_function_named_like_a_verb_does_not_take_its_key():
    async def sleep(seconds):
        return "mine"

    async def agent(ctx: Context):
        await ctx.sleep(0.001)
        return await ctx.step(sleep, 0.001)

    assert await replayed(Node(agent)) == ("mine", "mine")


async def test_a_changed_kind_of_step_under_a_recorded_key_diverges():
    async def agent(ctx: Context):
        return await ctx.signal("go")

    node = Node(agent, answers={"go": 1})
    node.rows = [StepRow("signal.go-1", "step", "signal.go", ENDED, "succeeded", output=b"1")]
    assert (await node.failure())["code"] == "journal_diverged"


async def test_usage_inside_a_step_counts_once_however_often_it_is_replayed():
    async def asks(ctx):
        ctx.record_usage(input_tokens=7, cost_usd=0.5)

    async def agent(ctx: Context):
        await ctx.step(asks, ctx)
        ctx.record_usage(output_tokens=1, model_calls=0)

    node = Node(agent)
    first, second = await node.run(), await node.run()
    assert first.usage == second.usage
    assert b'"input_tokens":7' in first.usage
