"""A host that is lost at any message: the run goes on, and no step that ended runs again."""

import asyncio

import pytest

from pilothouse import Context, Retry, StepFailed, idempotency_key, tool
from pilothouse.domain.journal import BEGUN, ENDED
from tests.sdk.node import Node


class Story:
    """An agent with every kind of step, which notes what its functions did."""

    def __init__(self):
        self.ran = []
        self.node = None

    def note(self, what):
        self.ran.append((what, idempotency_key().removeprefix("run_1:"), self.node.attempts))

    async def add(self, a, b=1):
        self.note("add")
        await asyncio.sleep(0)
        return a + b

    def blocking(self, a):
        self.note("blocking")
        return a * 10

    async def pay(self, cents):
        self.note("pay")
        await asyncio.sleep(0)
        return {"paid": cents}

    async def fail(self):
        self.note("fail")
        raise ValueError("out of paper")

    async def agent(self, ctx: Context, input: int):
        told = [await ctx.step(self.add, input)]
        told += await asyncio.gather(
            ctx.step(self.add, 2), ctx.step(self.add, 3, b=4), ctx.step(self.add, 2), ctx.step(self.add, 2)
        )
        drawn = [ctx.random(), str(ctx.uuid()), ctx.now().isoformat()]
        told.append(await ctx.step(self.pay, 1200, once=True))
        await ctx.sleep(0.002)
        told.append(await ctx.signal("go"))
        answer = await ctx.review("May I?", {"cents": 1200})
        told.append([answer.verdict, answer.by])
        try:
            await ctx.step(self.fail, retry=Retry(attempts=2, delay=0.0))
        except StepFailed as error:
            told.append([error.kind, error.text])
        told.append(await ctx.call("other", {"n": 1}))
        lookup = tool(name="lookup")(self.add)
        told.append(await ctx.call_tool(lookup, a=5))
        told.append(await ctx.step(self.blocking, 7))
        return [told, drawn]


def node_for(story):
    answers = {
        "go": {"by": "mail"},
        "review": {"verdict": "approve", "by": "ada"},
        "unknown_outcome": {"verdict": "approve", "by": "ada"},
        "other": [1, 2],
    }
    story.node = Node(story.agent, answers=answers)
    return story.node


TOLD = [
    2,
    3,
    7,
    3,
    3,
    {"paid": 1200},
    {"by": "mail"},
    ["approve", "ada"],
    ["ValueError", "out of paper"],
    [1, 2],
    6,
    70,
]


async def told_without_a_crash():
    story = Story()
    node = node_for(story)
    told, _ = await node.output(1)
    assert told == TOLD
    return len(node.heard), len(story.ran)


def check_values(node, drawn):
    """What the agent was given is what is in the journal."""
    kept = {row.name: row.output for row in node.ended("value")}
    assert [f'"{value}"' if isinstance(value, str) else str(value) for value in drawn][:2] == [
        kept["random"].decode(),
        kept["uuid"].decode(),
    ]


async def test_without_a_crash_every_function_runs_once():
    _, count = await told_without_a_crash()
    assert count == 10, "of these `fail` has two, and the tool is an `add`"


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [True, False], ids=["ack-lost", "message-lost"])
async def test_a_host_lost_at_any_message_repeats_no_step_that_ended(keeps):
    count, _ = await told_without_a_crash()
    assert count > 25
    asked = 0
    for at in range(1, count + 1):
        story = Story()
        node = node_for(story)
        told, drawn = await node.output(1, crash_at=at, keeps=keeps)
        assert told == TOLD, f"lost at message {at}"
        check_values(node, drawn)
        assert node.attempts == 2 or (keeps and at == count)
        assert not {key for _, key, attempt in story.ran if attempt == 2} & node.ended_at_crash, (
            f"lost at message {at}: an ended step ran again"
        )
        pays = [key for what, key, _ in story.ran if what == "pay"]
        asks = [one for one in node.asked if one.kind == "unknown_outcome"]
        asked += len(asks)
        assert len(pays) == 1 or (asks and len(set(pays)) == 1), f"lost at message {at}: paid twice unasked"
    assert asked, "no crash fell between a beginning and its end"


@pytest.mark.slow
async def test_a_host_that_is_lost_again_and_again_ends_the_run_all_the_same():
    story = Story()
    node = node_for(story)
    word = None
    for _ in range(200):
        node.crash_at, node.keeps = len(node.heard) + 9, True
        word = await node.attempt(1)
        if word is not None:
            break
    assert word is not None
    assert node.attempts > 3
    ends = [row.key for row in node.rows if row.phase == ENDED]
    assert len(ends) == len(set(ends))


async def test_a_once_step_is_begun_durably_before_its_function_runs():
    seen = []

    async def pay():
        seen.append([(row.name, row.phase, row.once) for row in node.rows])

    async def agent(ctx: Context):
        await ctx.step(pay, once=True)

    node = Node(agent)
    await node.output()
    assert seen == [[("pay", BEGUN, True)]]


async def test_no_function_runs_before_the_values_given_out_are_durable():
    seen = []

    async def act(number):
        seen.append([row.name for row in node.rows])

    async def agent(ctx: Context):
        await ctx.step(act, ctx.random())

    node = Node(agent)
    await node.output()
    assert seen == [["random"]]
