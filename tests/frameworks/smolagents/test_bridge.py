"""Agents of smolagents, untouched, on a real node with hosts in an environment of their own."""

from typing import Any, ClassVar

import pytest

from pilothouse.testing import Answer, Usage
from tests.frameworks.clauses import HandingOver, Remembering
from tests.frameworks.stage import call, stage_of, wait_ended

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FRAMEWORK = "smolagents"
SUPPORT = 'target = "desk:support"\nmode = "event"'
AGENTS = {
    "support": SUPPORT,
    "hurried": f"{SUPPORT}\ntimeout_seconds = 1.0",
    "chat": 'target = "desk:support"\nmode = "session"',
    "coder": 'target = "desk:coder"\nmode = "event"',
    "lead": 'target = "desk:lead"\nmode = "event"',
}


class TestAnAgent(Remembering):
    """Its model ends with a tool."""

    END: ClassVar = Answer(tool_calls=[call("final_answer", "end", answer="It is here.")], usage=Usage(12, 3))

    def said(self, found: str) -> Any:
        return Answer(tool_calls=[call("final_answer", "end", answer=found)])

    def heard(self, request: Any) -> list[str]:
        found = [str(one["content"]) for one in request.messages if one["role"] == "user"]
        return [one.partition("New task:\\n")[2].partition("'")[0] for one in found if "New task:" in one]


class TestAManagedAgent(HandingOver):
    """It is called like a tool."""

    LEAD = "lead"
    HANDS = call("finder", "t1", task="find the lamp")
    ENDS = Answer(tool_calls=[call("final_answer", "end", answer="it is here")])


CODE = """Thought: I look.
<code>
one = look("lamp")
other = look("key")
final_answer(one + " and " + other)
</code>"""


async def test_tools_that_code_calls_are_steps_and_the_code_between_them_runs_again(desk):
    desk.answers(lambda request: CODE)
    run = "run_code"
    gate = desk.receiver.hold(run, "look key")
    await desk.caller.start_known("coder", run, "where are they?")
    await gate.wait_reached()
    await wait_ended(desk.caller, run, 2)
    await desk.strike("node")
    gate.drop()
    await desk.recover("node")
    ended = await desk.caller.wait_end(run)
    assert ended["output"] == "lamp is here and key is here", ended
    assert [one.step for one in desk.receiver.of(run)] == ["look lamp", "look key"]
    assert desk.calls == 1


async def test_code_whose_tool_is_denied_stops_and_the_model_is_told(desk):
    policy = 'permit (principal, action, resource) unless { context.tool == "look" };'
    assert (await desk.caller.ask("PUT", "/v1/policies", {"text": policy, "signed": True})).status == 200
    try:
        desk.answers(lambda request: "<code>\nfinal_answer('no')\n</code>" if stage_of(request) else CODE)
        run = await desk.caller.start_known("coder", "run_denied_code", "where are they?")
        ended = await desk.caller.wait_end(run)
        assert ended["output"] == "no", ended
        assert desk.receiver.of(run) == []
        assert "was not allowed" in str(desk.requests[-1].messages)
    finally:
        assert (await desk.caller.ask("DELETE", "/v1/policies")).status == 204
