"""Agents of Agno, untouched, on a real node with hosts in an environment of their own."""

import pytest

from pilothouse.testing import Answer, Usage
from tests.frameworks.stage import LOADS_WITHIN, call, deltas, wait_ended, wait_held

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FRAMEWORK = "agno"
AGENTS = {"support": 'target = "desk:support"\nmode = "event"'}
INPUT = "where is my lamp?"
LOOK = Answer(tool_calls=[call("look", "c1", what="lamp")], usage=Usage(12, 3))
END = Answer(pieces=["It ", "is ", "here."], usage=Usage(12, 3))


async def test_it_streams_and_its_calls_are_steps_with_their_usage(desk):
    desk.says(LOOK, END)
    run = (await desk.caller.start("support", INPUT)).body["id"]
    ended = await desk.caller.wait_end(run, LOADS_WITHIN)
    assert ended["output"] == "It is here."
    assert (ended["usage"]["input_tokens"], ended["usage"]["model_calls"], ended["usage"]["tool_calls"]) == (24, 2, 1)
    steps = [(one["kind"], one["status"]) for one in await desk.caller.steps(run) if one["kind"] in ("model", "tool")]
    assert steps == [("model", "succeeded"), ("tool", "succeeded"), ("model", "succeeded")]
    assert "".join(deltas(await desk.caller.events(run))) == "It is here."


@pytest.mark.parametrize("victim", ["node"])
async def test_what_ended_before_a_kill_is_not_repeated(desk, victim):
    said = desk.says(LOOK, END)
    run = f"run_killed_{victim}"
    tool, model = desk.receiver.hold(run, "look lamp"), said.hold(1)
    await desk.caller.start_known("support", run, INPUT)
    await tool.wait_reached(LOADS_WITHIN)
    await wait_ended(desk.caller, run, 1)
    await desk.strike(victim)
    tool.drop()
    await desk.recover(victim)
    await wait_held(model)
    await wait_ended(desk.caller, run, 2)
    await desk.strike(victim)
    model.open()
    await desk.recover(victim)
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == "It is here."
    assert [one.step for one in desk.receiver.of(run)] == ["look lamp"]
    assert desk.calls == 3, "only the one that a kill struck before its answer is asked again"


async def test_a_cancel_ends_it_in_the_middle_of_a_model_call(desk):
    said = desk.says("never")
    gate = said.hold(0)
    run = (await desk.caller.start("support", INPUT)).body["id"]
    await wait_held(gate)
    await desk.caller.ask("POST", f"/v1/runs/{run}/cancel")
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["status"] == "cancelled"
    gate.open()
