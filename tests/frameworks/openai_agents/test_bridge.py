"""Agents of the OpenAI Agents SDK, untouched, on a real node with hosts in an environment of their own."""

import json
import os
import subprocess
from collections import Counter

import apsw
import pytest

from pilothouse.testing import Answer, Fault, Usage
from tests.faults.client import wait_until
from tests.frameworks.clauses import HandingOver
from tests.frameworks.stage import (
    LOADS_WITHIN,
    ROOT,
    call,
    calls,
    deltas,
    environment_of,
    stage_of,
    steps_by_kind,
    wait_ended,
    wait_held,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FRAMEWORK = "openai_agents"
SETTINGS = "[worker]\npark_after_seconds = 0.1"
EVENT = 'mode = "event"'
AGENTS = {
    "support": f'target = "desk:support"\n{EVENT}',
    "hurried": f'target = "desk:support"\n{EVENT}\ntimeout_seconds = 1.0',
    "chat": 'target = "desk:support"\nmode = "session"',
    "quick": 'target = "desk:support"',
    "short": f'target = "desk:support"\n{EVENT}\noptions = {{max_turns = 2, run_config = "desk:config"}}',
    **{
        name: f'target = "desk:{name}"\n{EVENT}'
        for name in ("by_name", "front", "formal", "lead", "asker", "shelver", "judge")
    },
}


def results_told(request):
    return [one["content"] for one in request.messages if one["role"] == "tool"]


async def test_tokens_are_deltas_and_calls_are_steps(desk):
    said = desk.says(calls(call("look", "c1", what="lamp")), Answer(pieces=["It ", "is ", "here."]))
    gate = said.hold(1)
    run = (await desk.caller.start("support", "where is my lamp?")).body["id"]
    await wait_held(gate)

    async def all_are_told():
        early = await desk.caller.events(run)
        names = [event.body["name"] for event in early if event.kind == "step.started"]
        return names == ["scripted", "look", "scripted"]

    await wait_until(all_are_told)
    gate.open()
    ended = await desk.caller.wait_end(run, LOADS_WITHIN)
    assert ended["output"] == "It is here."
    events = await desk.caller.events(run)
    assert deltas(events) == ["It ", "is ", "here."]
    assert steps_by_kind(await desk.caller.steps(run)) == {"model": 2, "tool": 1}
    told = [event.body for event in events if event.kind == "framework.event"]
    assert {one["framework"] for one in told} == {"openai-agents"}
    assert {"tool_called", "tool_output", "message_output_created"} <= {one["name"] for one in told}


async def test_a_stream_is_live_token_by_token(desk):
    fault = Fault.hang(after=2)
    desk.says(Answer(pieces=["one ", "two ", "three"]))
    desk.model.fault(fault)
    run = (await desk.caller.start("support", "count")).body["id"]

    async def has_begun():
        return deltas(await desk.caller.events(run)) != []

    await wait_until(has_begun)
    assert (await desk.caller.run(run))["status"] == "running"
    fault.release()
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == "one two three"


async def test_a_model_that_is_only_a_name_is_asked_over_the_responses_api_and_recorded_too(desk):
    desk.says(calls(call("look", "c1", what="lamp")), "here")
    run = (await desk.caller.start("by_name", "where?")).body["id"]
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == "here"
    assert {one.api for one in desk.requests} == {"responses"}
    assert steps_by_kind(await desk.caller.steps(run)) == {"model": 2, "tool": 1}


MOMENTS = ["after model 1", "after tool 1", "after model 2", "after tool 2"]


@pytest.mark.parametrize("victim", ["host", "node"])
async def test_a_kill_after_every_model_call_and_every_tool_call_repeats_none_of_them(desk, victim):
    said = desk.says(
        calls(call("look", "c1", what="lamp")), calls(call("count", "c2", what="lamp")), Answer("four letters")
    )
    run = f"run_sequential_{victim}"
    tools = {
        "after model 1": desk.receiver.hold(run, "look lamp"),
        "after model 2": desk.receiver.hold(run, "count lamp"),
    }
    models = {"after tool 1": said.hold(1), "after tool 2": said.hold(2)}
    await desk.caller.start_known("support", run, "how long is the lamp?")
    for number, moment in enumerate(MOMENTS, start=1):
        if moment in tools:
            await tools[moment].wait_reached()
        else:
            await wait_held(models[moment])
        await wait_ended(desk.caller, run, number)
        await desk.strike(victim)
        if moment in tools:
            tools[moment].drop()
        else:
            models[moment].open()
        await desk.recover(victim)
    ended = await desk.caller.wait_end(run, LOADS_WITHIN)
    assert ended["output"] == "four letters"
    assert (ended["usage"]["model_calls"], ended["usage"]["tool_calls"]) == (3, 2)
    assert [one.step for one in desk.receiver.of(run)] == ["look lamp", "count lamp"]
    asked = Counter(stage_of(one) for one in desk.requests)
    assert asked == {0: 1, 1: 2, 2: 2}, "only those are asked again that a kill struck before their answer"
    assert steps_by_kind(await desk.caller.steps(run)) == {"model": 3, "tool": 2}


@pytest.mark.parametrize("victim", ["host", "node"])
async def test_of_parallel_tools_those_that_ended_are_not_repeated(desk, victim):
    words = ["a", "b", "c"]
    desk.says(calls(*(call("look", f"c{word}", what=word) for word in words)), Answer("all three"))
    run = f"run_parallel_{victim}"
    gate = desk.receiver.hold(run, "look b")
    await desk.caller.start_known("support", run, "look for all")
    await gate.wait_reached()
    await wait_ended(desk.caller, run, 3)
    await desk.strike(victim)
    gate.drop()
    await desk.recover(victim)
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == "all three"
    assert sorted(one.step for one in desk.receiver.of(run)) == ["look a", "look b", "look c"]
    assert desk.calls == 2


@pytest.mark.parametrize(("agent", "tool"), [("front", "transfer_to_billing"), ("formal", "to_billing")])
async def test_the_calls_of_an_agent_that_was_handed_to_are_steps_as_well(desk, agent, tool):
    desk.says(calls(call(tool, "h1")), calls(call("count", "c1", what="lamp")), Answer("four"))
    run = f"run_handed_{agent}"
    gate = desk.receiver.hold(run, "count lamp")
    await desk.caller.start_known(agent, run, "my bill, please")
    await gate.wait_reached()
    await wait_ended(desk.caller, run, 2)
    await desk.node.kill()
    gate.drop()
    await desk.node.start()
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == "four"
    assert [one.step for one in desk.receiver.of(run)] == ["count lamp"]
    assert desk.calls == 3
    assert "You do bills." in json.dumps(desk.requests[-1].messages)
    told = [event.body for event in await desk.caller.events(run) if event.kind == "framework.event"]
    assert [one["body"]["agent"] for one in told if one["name"] == "agent_updated_stream_event"][-1] == "billing"


class TestAHandOff(HandingOver):
    """The conversation goes on with the other agent."""

    LEAD = "lead"
    HANDS = call("transfer_to_finder", "t1")

    def script(self, request):
        if self.is_finder(request):
            return self.ENDS if stage_of(request) > 1 else calls(call("look", "f1", what="lamp"))
        return super().script(request)


def expert_says(request):
    """The script of two agents: which one asks is told by its instructions."""
    stage = stage_of(request)
    if "You know it all." in json.dumps(request.messages):
        return "it is here" if stage else calls(call("look", "e1", what="lamp"))
    if stage == 0:
        return calls(call("ask_expert", "a1", input="where?"))
    return calls(call("count", "a2", what="lamp")) if stage == 1 else "done"


async def test_the_calls_of_an_agent_that_is_used_as_a_tool_are_steps_as_well(desk):
    desk.answers(expert_says)
    run = "run_nested"
    gates = [desk.receiver.hold(run, "look lamp"), desk.receiver.hold(run, "count lamp")]
    await desk.caller.start_known("asker", run, "where is it?")
    for gate, ended in zip(gates, (3, 6), strict=True):
        await gate.wait_reached()
        await wait_ended(desk.caller, run, ended)
        await desk.node.kill()
        gate.drop()
        await desk.node.start()
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == "done"
    assert [one.step for one in desk.receiver.of(run)] == ["look lamp", "count lamp"]
    assert desk.calls == 5
    assert steps_by_kind(await desk.caller.steps(run)) == {"model": 5, "tool": 3}


@pytest.mark.parametrize(
    ("answer", "effects", "said_to_model"),
    [
        ({"verdict": "approve"}, ["refund o7 1200"], "refunded 1200"),
        ({"verdict": "edit", "edited": {"order": "o7", "cents": 900}}, ["refund o7 900"], "refunded 900"),
        ({"verdict": "reject", "reason": "too much"}, [], "too much"),
        ({"verdict": "respond", "response": "already paid"}, [], "already paid"),
    ],
    ids=lambda value: value.get("verdict") if isinstance(value, dict) else None,
)
async def test_a_tool_that_needs_approval_is_a_review_that_outlives_a_restart(desk, answer, effects, said_to_model):
    desk.says(calls(call("refund", "c1", order="o7", cents=1200), call("look", "c2", what="lamp")), Answer("done"))
    run = f"run_refund_{answer['verdict']}"
    await desk.caller.start_known("support", run, "refund me")
    await desk.caller.wait_run(run, lambda found: found["status"] == "waiting")
    await desk.node.restart()
    review = await desk.caller.decide(run, **answer)
    assert review["details"]["arguments"] == {"order": "o7", "cents": 1200}
    assert (review["details"]["tool"], review["details"]["agent"]) == ("refund", "support")
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == "done"
    assert [one.step for one in desk.receiver.of(run) if one.step.startswith("refund")] == effects
    assert len(desk.receiver.of(run, "look lamp")) == 1
    assert desk.calls == 2
    assert any(said_to_model in one for one in results_told(desk.requests[-1]))


async def test_a_nested_agent_s_tool_is_asked_about_and_goes_on(desk):
    def says(request):
        stage = stage_of(request)
        if "You know it all." in json.dumps(request.messages):
            return "paid" if stage else calls(call("refund", "e1", order="o7", cents=5))
        return "done" if stage else calls(call("ask_expert", "a1", input="pay back"))

    desk.answers(says)
    run = await desk.caller.start_known("asker", "run_nested_refund", "pay me back")
    await desk.caller.wait_run(run, lambda found: found["status"] == "waiting")
    await desk.node.restart()
    review = await desk.caller.decide(run, "edit", edited={"order": "o7", "cents": 4})
    assert review["details"]["tool"] == "refund"
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == "done"
    assert [one.step for one in desk.receiver.of(run)] == ["refund o7 4"]
    assert desk.calls == 4


async def test_a_session_remembers_and_each_turn_keeps_what_is_new(desk):
    desk.answers(lambda request: f"heard {sum(m['role'] == 'user' for m in request.messages)}")
    caller = desk.caller
    outputs = []
    for text in ("first", "second", "third"):
        run = (await caller.start("chat", text, session="ada")).body["id"]
        outputs.append((await caller.wait_end(run, LOADS_WITHIN))["output"])
    assert outputs == ["heard 1", "heard 2", "heard 3"]
    await desk.node.restart()
    again = (await caller.start("chat", "fourth", session="ada")).body["id"]
    assert (await caller.wait_end(again))["output"] == "heard 4"
    users = [m["content"] for m in desk.requests[-1].messages if m["role"] == "user"]
    assert users == ["first", "second", "third", "fourth"]
    [step] = [one for one in await caller.steps(again) if one["kind"] == "model"]
    assert step["name"] == "scripted"


async def test_what_a_turn_keeps_does_not_grow_with_the_turns_before_it(desk):
    desk.answers(lambda request: "x" * 2000)
    runs = [(await desk.run("chat", f"turn {number}", session="long"))["id"] for number in range(8)]
    records = apsw.Connection(str(desk.folder / "pilothouse.db"), flags=apsw.SQLITE_OPEN_READONLY)
    records.setbusytimeout(60_000)
    sizes = dict(records.execute("select run, length(trail) from turn where session = 'long'"))
    records.close()
    assert set(sizes) == set(runs)
    assert max(sizes.values()) < 1.2 * min(sizes.values())


async def test_a_fork_of_a_session_knows_the_turns_before_it_only(desk):
    desk.answers(lambda request: f"heard {sum(m['role'] == 'user' for m in request.messages)}")
    caller = desk.caller
    runs = []
    for text in ("first", "second"):
        runs.append((await caller.start("chat", text, session="ann")).body["id"])
        await caller.wait_end(runs[-1])
    path = "/v1/agents/chat/sessions/ann/fork"
    assert (await caller.ask("POST", path, {"key": "bob", "after": runs[0]})).status in (200, 201)
    forked = (await caller.start("chat", "other", session="bob")).body["id"]
    assert (await caller.wait_end(forked))["output"] == "heard 2"
    users = [m["content"] for m in desk.requests[-1].messages if m["role"] == "user"]
    assert users == ["first", "other"]


async def test_time_travel_goes_on_with_another_result_of_a_tool(desk):
    desk.says(calls(call("look", "c1", what="lamp")), calls(call("count", "c2", what="lamp")), Answer("done"))
    caller = desk.caller
    run = await caller.start_known("chat", "run_first", "go", session="eve")
    await caller.wait_end(run)
    [look] = [one for one in await caller.steps(run) if one["name"] == "look"]
    body = {"after": look["key"], "replace": {look["key"]: "the lamp is gone"}}
    forked = (await caller.ask("POST", f"/v1/runs/{run}/fork", body)).body["id"]
    assert (await caller.wait_end(forked))["output"] == "done"
    assert desk.calls == 5, "the first request is answered from the journal, the two after it are new"
    assert results_told(desk.requests[3]) == ["the lamp is gone"]


async def test_output_and_context_are_typed(desk):
    desk.says('{"allowed": true, "reason": "enough points"}')
    caller = desk.caller
    described = (await caller.ask("GET", "/v1/agents/judge")).body
    assert "allowed" in json.dumps(described["output_schema"])
    assert "context" in json.dumps(described["input_schema"])
    refused = await caller.start("judge", {"input": "may she?", "context": {"points": 3}})
    assert refused.status == 422
    assert "$.context" in json.dumps(refused.body)
    run = (await caller.start("judge", {"input": "may she?", "context": {"name": "Ada", "points": 3}})).body["id"]
    ended = await caller.wait_end(run)
    assert ended["output"] == {"allowed": True, "reason": "enough points"}
    assert "Ada with 3 points" in json.dumps(desk.requests[0].messages)


async def test_what_a_tool_returned_is_the_output_with_its_type_on_a_replay_as_well(desk):
    desk.says(calls(call("shelf", "c1", what="lamp")))
    run = (await desk.caller.start("shelver", "where?")).body["id"]
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == {"what": "lamp", "place": 7}
    assert desk.calls == 1


async def test_what_a_tool_refuses_is_told_to_the_model_once(desk):
    desk.says(calls(call("fussy", "c1", word="now")), calls(call("fussy", "c2", word="please")), Answer("ok"))
    run = await desk.caller.start_known("support", "run_fussy", "go")
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == "ok"
    assert "An error occurred while running the tool" in results_told(desk.requests[1])[0]
    assert [one.step for one in desk.receiver.of(run)] == ["fussy now", "fussy please"]


async def test_errors_carry_the_framework_s_own_words(desk):
    desk.says(calls(call("broken", "c1")))
    run = await desk.caller.start_known("support", "run_broken", "go")
    ended = await desk.caller.wait_end(run, LOADS_WITHIN)
    assert ended["status"] == "failed"
    assert "the shelf is empty" in ended["error"]["message"]
    assert len(desk.receiver.of(run)) == 1
    assert desk.calls == 1


async def test_a_model_provider_s_refusal_is_told_as_the_framework_tells_it(desk):
    desk.answers(lambda request: Fault.server_error(401, "no such key"))
    run = (await desk.caller.start("support", "go")).body["id"]
    ended = await desk.caller.wait_end(run, LOADS_WITHIN)
    assert ended["status"] == "failed"
    assert "AuthenticationError" in ended["error"]["message"]
    assert "no such key" in ended["error"]["message"]


async def test_too_many_turns_end_a_run_in_the_framework_s_words(desk):
    desk.answers(lambda request: calls(call("look", f"c{stage_of(request)}", what="lamp")))
    run = (await desk.caller.start("support", "go")).body["id"]
    ended = await desk.caller.wait_end(run, LOADS_WITHIN)
    assert "Max turns (10) exceeded" in ended["error"]["message"]
    assert desk.calls == 10


async def test_a_cancel_ends_a_run_in_the_middle_of_a_model_call(desk):
    said = desk.says("never")
    gate = said.hold(0)
    run = (await desk.caller.start("support", "go")).body["id"]
    await wait_held(gate)
    await desk.caller.ask("POST", f"/v1/runs/{run}/cancel")
    assert (await desk.caller.wait_end(run, LOADS_WITHIN))["status"] == "cancelled"

    async def is_abandoned():
        return desk.requests[0].outcome == "abandoned"

    await wait_until(is_abandoned)
    gate.open()


async def test_a_run_over_its_time_is_failed(desk):
    said = desk.says("never")
    gate = said.hold(0)
    run = (await desk.caller.start("hurried", "go")).body["id"]
    ended = await desk.caller.wait_end(run, LOADS_WITHIN)
    assert ended["error"]["code"] == "deadline_exceeded"
    gate.open()


async def test_usage_is_what_the_model_said(desk):
    desk.says(Answer("hello", usage=Usage(17, 5)))
    run = (await desk.caller.start("support", "go")).body["id"]
    usage = (await desk.caller.wait_end(run, LOADS_WITHIN))["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["model_calls"]) == (17, 5, 1)


async def test_a_stateless_run_is_answered_at_once(desk):
    desk.says("hello there")
    answer = await desk.caller.start("quick", "hi", headers={})
    assert (answer.status, answer.body["output"]) == (200, "hello there")


async def test_options_are_what_a_run_of_the_framework_takes(desk):
    desk.answers(lambda request: calls(call("look", f"c{stage_of(request)}", what="lamp")))
    ended = await desk.run("short", "go")
    assert "Max turns (2) exceeded" in ended["error"]["message"], ended
    assert desk.calls == 2
    assert desk.requests[0].body["temperature"] == 0.25


def test_an_agent_with_a_tool_that_acts_on_this_machine_is_refused_when_it_is_loaded():
    lines = [
        "from agents import Agent, LocalShellTool",
        "from pilothouse.sdk.bridges.detection import bridge_for",
        "bridge_for(Agent(name='shell', tools=[LocalShellTool(executor=str)]))",
    ]
    ran = subprocess.run(
        [environment_of(FRAMEWORK) / "bin" / "python", "-c", "\n".join(lines)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=LOADS_WITHIN,
        check=False,
    )
    assert "its tool 'local_shell' is a LocalShellTool, which acts on this machine" in ran.stderr
