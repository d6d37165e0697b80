"""The session as an agent sees it: past turns, and a state that is told only when it changed."""

import msgspec
import pytest

from pilothouse import Context
from pilothouse.domain.session import Trail, Turn
from pilothouse.sdk.scope import attempt_here
from pilothouse.sdk.session import SessionMemory
from pilothouse.wire.frames import Emit, pack_history
from tests.sdk.node import Node

TURNS = [Turn(number, f"run_{number}", b'"q%d"' % number, b'"a%d"' % number, "succeeded", 1) for number in (1, 2, 3)]
FAILED = Turn(4, "run_4", b'"q4"', None, "failed", 1)


def node_of(agent, **start):
    facts = {"session": "chat", "state": b'{"n":1}', "history": pack_history([*TURNS, FAILED])}
    return Node(agent, mode="session", **{**facts, **start})


async def test_history_is_the_past_turns_oldest_first():
    async def agent(ctx: Context):
        history = ctx.session.history
        last = history[-1]
        return [
            [turn.input for turn in history],
            [turn.output for turn in history[:2]],
            [last.status, last.output, last.number, last.run],
            [len(history), ctx.session.key, history[0] is history[0]],
        ]

    assert await node_of(agent).output() == [
        ["q1", "q2", "q3", "q4"],
        ["a1", "a2"],
        ["failed", None, 4, "run_4"],
        [4, "chat", True],
    ]


async def test_a_state_that_is_changed_in_place_is_told():
    async def agent(ctx: Context):
        ctx.session.state["n"] += 1

    assert (await node_of(agent).run()).state == b'{"n":2}'


async def test_a_state_that_is_replaced_is_told():
    async def agent(ctx: Context):
        ctx.session.state = {"new": True}

    assert (await node_of(agent).run()).state == b'{"new":true}'


@pytest.mark.parametrize("looks", [True, False])
async def test_a_state_that_is_as_it_was_is_not_told(looks):
    async def agent(ctx: Context):
        if looks:
            ctx.session.state = dict(ctx.session.state)

    assert (await node_of(agent).run()).state is None


async def test_the_state_of_a_run_without_a_session_is_not_saved():
    async def agent(ctx: Context):
        ctx.session.state["n"] = 1
        return [ctx.session.key, list(ctx.session.history)]

    word = await Node(agent, mode="event").run()
    assert (word.output, word.state) == (b"[null,[]]", None)


@pytest.mark.parametrize("state", [[1], {"a": object()}], ids=["list", "no-json"])
async def test_a_state_that_is_no_json_object_fails_the_turn(state):
    async def agent(ctx: Context):
        ctx.session.state = state

    assert (await node_of(agent).failure())["code"] == "invalid_output"


async def test_a_turn_that_fails_tells_no_state():
    async def agent(ctx: Context):
        ctx.session.state["n"] = 9
        raise ValueError("no")

    assert not hasattr(await node_of(agent).run(), "state")


async def test_what_the_run_is_can_be_read():
    async def agent(ctx: Context):
        run = ctx.run
        return [run.id, run.agent, run.mode, run.tenant, run.subject, run.retry_of, run.metadata, run.release]

    node = node_of(agent, subject="ada", metadata=b'{"k":1}', retry_of="run_0")
    assert await node.output() == ["run_1", "agent", "session", "acme", "ada", "run_0", {"k": 1}, "r1"]


def bridged(function):
    """An agent that is handed what a bridge is handed: the attempt."""

    async def agent(ctx: Context):
        return await function(attempt_here.get())

    return agent


async def test_a_turn_adds_its_trail_to_those_before_it():
    async def run(attempt):
        before = attempt.session.trails
        attempt.session.keep_trail({"new": [3]})
        return before

    node = node_of(bridged(run), trails=[Trail(b'{"all":[1]}', True), Trail(b'{"new":[2]}')])
    word = await node.run()
    assert msgspec.json.decode(word.output) == [{"all": [1]}, {"new": [2]}]
    assert word.trail == Trail(b'{"new":[3]}', False)


async def test_a_run_without_a_session_keeps_no_trail():
    async def run(attempt):
        attempt.session.keep_trail({"new": [3]})

    assert (await node_of(bridged(run), session=None).run()).trail is None


@pytest.mark.parametrize(
    ("trails", "size", "wanted"),
    [
        ([Trail(b"x" * 60_000)], 10, False),
        ([Trail(b"x" * 70_000)], 10, True),
        ([Trail(b"x" * 70_000)], 80_000, False),
        ([Trail(b"x" * 90_000, True), Trail(b"x" * 50_000)], 10, False),
        ([Trail(b"1")] * 5000, 10_000_000, True),
    ],
)
def test_a_whole_trail_is_due_when_the_others_have_outgrown_it(trails, size, wanted):
    assert SessionMemory("chat", [], b"{}", trails).wants_whole(size) is wanted


async def test_an_event_of_a_framework_is_told_and_what_json_cannot_hold_is_shown():
    async def run(attempt):
        await attempt.emit_event("langgraph", "updates", {"node": [1, Ellipsis]})

    node = node_of(bridged(run))
    await node.run()
    [emitted] = [one for one in node.heard if isinstance(one, Emit)]
    assert emitted.event == "framework.event"
    assert msgspec.json.decode(emitted.delta) == {
        "framework": "langgraph",
        "name": "updates",
        "body": {"node": [1, "Ellipsis"]},
    }


async def test_checkpoints_are_read_in_order_and_are_no_steps_of_the_agent():
    async def run(attempt):
        kept = [msgspec.json.decode(one) for one in attempt.journal.checkpoints("graph")]
        await attempt.journal.checkpoint("graph", "same", msgspec.json.encode(len(kept)))
        await attempt.journal.checkpoint("other", "same", b"9")
        return [kept, attempt.journal.replay.is_repeating]

    node = node_of(bridged(run))
    assert await node.output() == [[], False]
    assert await node.output() == [[0], False]
    assert await node.output() == [[0, 1], False]
