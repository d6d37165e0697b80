"""Agents and teams of Agno, untouched, on a real node with hosts in an environment of their own."""

import pytest

from pilothouse.testing import Answer
from tests.frameworks.clauses import HandingOver, Remembering
from tests.frameworks.stage import call, calls, stage_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FRAMEWORK = "agno"
SUPPORT = 'target = "desk:support"\nmode = "event"'
AGENTS = {
    "support": SUPPORT,
    "hurried": f"{SUPPORT}\ntimeout_seconds = 1.0",
    "chat": 'target = "desk:chat"\nmode = "session"',
    "crew": 'target = "desk:crew"\nmode = "event"',
    "judge": 'target = "desk:judge"\nmode = "event"',
}


class TestAnAgent(Remembering):
    """As it is."""


async def test_the_calls_of_members_of_a_team_are_steps_as_well(desk):
    def says(request):
        tools = [one["function"]["name"] for one in request.body.get("tools", ())]
        if "look" in tools:
            return "it is here" if stage_of(request) else calls(call("look", "m1", what="lamp"))
        if stage_of(request):
            return "the finder says it is here"
        return calls(call("delegate_task_to_member", "t1", member_id="finder", task="find the lamp"))

    desk.answers(says)
    run = "run_team"
    gate = desk.receiver.hold(run, "look lamp")
    await desk.caller.start_known("crew", run, "where is my lamp?")
    await gate.wait_reached()
    await desk.strike("node")
    gate.drop()
    await desk.recover("node")
    ended = await desk.caller.wait_end(run)
    assert ended["output"] == "the finder says it is here", ended
    assert [one.step for one in desk.receiver.of(run)] == ["look lamp"]
    assert desk.calls == 4
    steps = await desk.caller.steps(run)
    assert [one["name"] for one in steps if one["kind"] == "tool"] == ["hand_off:finder", "look"]


class TestATeam(HandingOver):
    """Its leader delegates."""

    LEAD = "crew"
    HANDS = call("delegate_task_to_member", "t1", member_id="finder", task="find the lamp")


async def test_input_and_output_are_typed(desk):
    desk.says(Answer('{"allowed": true, "reason": "enough points"}'))
    described = (await desk.caller.ask("GET", "/v1/agents/judge")).body
    assert "points" in str(described["input_schema"])
    assert "allowed" in str(described["output_schema"])
    refused = await desk.caller.start("judge", {"points": "many"})
    assert refused.status == 422
    ended = await desk.run("judge", {"name": "Ada", "points": 3})
    assert ended["output"] == {"allowed": True, "reason": "enough points"}, ended
