"""The session as an agent sees it: past turns, and a state that is told only when it changed."""

import pytest

from pilothouse import Context
from pilothouse.domain.session import Turn
from tests.sdk.node import Node

TURNS = [Turn(number, f"run_{number}", b'"q%d"' % number, b'"a%d"' % number, "succeeded", 1) for number in (1, 2, 3)]
FAILED = Turn(4, "run_4", b'"q4"', None, "failed", 1)


def node_of(agent, **start):
    facts = {"session": "chat", "state": b'{"n":1}', "history": [*TURNS, FAILED]}
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
