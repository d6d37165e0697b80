"""Pydantic AI agents, untouched, on a real node with hosts in an environment of their own."""

import json
from collections import Counter

import apsw
import pytest

from pilothouse.testing import Answer, Fault, Usage
from tests.faults.client import wait_until
from tests.frameworks.stage import (
    LOADS_WITHIN,
    call,
    calls,
    deltas,
    stage_of,
    steps_by_kind,
    wait_ended,
    wait_held,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FRAMEWORK = "pydantic_ai"
SETTINGS = "[worker]\npark_after_seconds = 0.1"
AGENTS = {
    "support": 'target = "desk:support"\nmode = "event"',
    "hurried": 'target = "desk:support"\nmode = "event"\ntimeout_seconds = 1.0',
    "chat": 'target = "desk:support"\nmode = "session"',
    "hasty": 'target = "desk:support"\nmode = "event"\noptions.usage_limits = {request_limit = 2}',
    "quick": 'target = "desk:support"',
    "judge": 'target = "desk:judge"\nmode = "event"',
}


async def test_tokens_are_deltas_and_calls_are_steps(desk):
    said = desk.says(calls(call("look", "c1", what="lamp")), Answer(pieces=["It ", "is ", "here."]))
    gate = said.hold(1)
    run = (await desk.caller.start("support", "where is my lamp?")).body["id"]
    await wait_held(gate)

    async def have_begun():
        early = await desk.caller.events(run)
        return [one.body["name"] for one in early if one.kind == "step.started"] == ["scripted", "look", "scripted"]

    await wait_until(have_begun, LOADS_WITHIN)
    gate.open()
    assert (await desk.caller.wait_end(run))["output"] == "It is here."
    events = await desk.caller.events(run)
    assert deltas(events) == ["It ", "is ", "here."]
    assert steps_by_kind(await desk.caller.steps(run)) == {"model": 2, "tool": 1}
    told = [event.body for event in events if event.kind == "framework.event"]
    assert {one["framework"] for one in told} == {"pydantic_ai"}
    assert "final_result" in {one["name"] for one in told}


async def test_a_stream_is_live_token_by_token(desk):
    fault = desk.model.fault(Fault.hang(after=2))
    desk.says(Answer(pieces=["one ", "two ", "three"]))
    run = (await desk.caller.start("support", "count")).body["id"]

    async def has_begun():
        return deltas(await desk.caller.events(run)) != []

    await wait_until(has_begun, LOADS_WITHIN)
    assert (await desk.caller.run(run))["status"] == "running"
    fault.release()
    assert (await desk.caller.wait_end(run))["output"] == "one two three"


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
            await tools[moment].wait_reached(LOADS_WITHIN)
        else:
            await wait_held(models[moment])
        await wait_ended(desk.caller, run, number)
        await desk.strike(victim)
        if moment in tools:
            tools[moment].drop()
        else:
            models[moment].open()
        await desk.recover(victim)
    ended = await desk.caller.wait_end(run)
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
    await gate.wait_reached(LOADS_WITHIN)
    await wait_ended(desk.caller, run, 3)
    await desk.strike(victim)
    gate.drop()
    await desk.recover(victim)
    assert (await desk.caller.wait_end(run))["output"] == "all three"
    assert sorted(one.step for one in desk.receiver.of(run)) == ["look a", "look b", "look c"]
    assert desk.calls == 2


@pytest.mark.parametrize(
    ("answer", "effects", "said_to_model"),
    [
        ({"verdict": "approve"}, ["refund o7 1200"], "refunded 1200"),
        ({"verdict": "edit", "edited": {"order": "o7", "cents": 900}}, ["refund o7 900"], "refunded 900"),
        ({"verdict": "reject", "reason": "too much"}, [], "too much"),
        ({"verdict": "respond", "response": "already paid"}, [], "already paid"),
    ],
    ids=["approve", "edit", "reject", "respond"],
)
async def test_a_tool_that_requires_approval_is_a_review_that_outlives_a_restart(desk, answer, effects, said_to_model):
    desk.says(calls(call("refund", "c1", order="o7", cents=1200), call("look", "c2", what="lamp")), Answer("done"))
    run = f"run_refund_{answer['verdict']}"
    await desk.caller.start_known("support", run, "refund me")
    await desk.caller.wait_run(run, lambda found: found["status"] == "waiting")
    if answer["verdict"] == "edit":  # once is enough: nothing of a waiting run is in memory
        await desk.node.restart()
    review = await desk.caller.decide(run, **answer)
    assert review["details"]["arguments"] == {"order": "o7", "cents": 1200}
    assert review["details"]["tool"] == "refund"
    assert (await desk.caller.wait_end(run))["output"] == "done"
    assert [one.step for one in desk.receiver.of(run) if one.step.startswith("refund")] == effects
    assert len(desk.receiver.of(run, "look lamp")) == 1
    assert desk.calls == 2
    results = [one["content"] for one in desk.requests[-1].messages if one["role"] == "tool"]
    assert any(said_to_model in one for one in results)


async def test_a_call_that_somebody_else_makes_gets_its_result_from_a_person(desk):
    desk.says(calls(call("ask_colleague", "c1", question="how much?")), Answer("seven"))
    run = await desk.caller.start_known("support", "run_asked", "ask them")
    await desk.caller.decide(run, "respond", response="7 pieces")
    assert (await desk.caller.wait_end(run))["output"] == "seven"
    assert desk.requests[-1].messages[-1]["content"] == "7 pieces"


def heard(request):
    return f"heard {len(users_of(request))}"


def users_of(request):
    return [one["content"] for one in request.messages if one["role"] == "user"]


async def test_a_session_remembers_and_a_restart_does_not_hurt_it(desk):
    desk.answers(heard)
    outputs = [(await desk.run("chat", text, session="ada"))["output"] for text in ("first", "second", "third")]
    assert outputs == ["heard 1", "heard 2", "heard 3"]
    await desk.node.restart()
    assert (await desk.run("chat", "fourth", session="ada"))["output"] == "heard 4"
    assert users_of(desk.requests[-1]) == ["first", "second", "third", "fourth"]


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
    desk.answers(heard)
    runs = [(await desk.run("chat", text, session="eva"))["id"] for text in ("first", "second")]
    path = "/v1/agents/chat/sessions/eva/fork"
    assert (await desk.caller.ask("POST", path, {"key": "bob", "after": runs[0]})).status in (200, 201)
    assert (await desk.run("chat", "other", session="bob"))["output"] == "heard 2"
    assert users_of(desk.requests[-1]) == ["first", "other"]


async def test_time_travel_goes_on_with_another_result_of_a_tool(desk):
    desk.answers(heard)
    await desk.run("chat", "before", session="zoe")
    desk.says(calls(call("look", "c1", what="lamp")), calls(call("count", "c2", what="lamp")), Answer("done"))
    run = (await desk.run("chat", "go", session="zoe"))["id"]
    [look] = [one for one in await desk.caller.steps(run) if one["name"] == "look"]
    body = {"after": look["key"], "replace": {look["key"]: {"kind": "value", "value": "the lamp is gone"}}}
    forked = (await desk.caller.ask("POST", f"/v1/runs/{run}/fork", body)).body["id"]
    assert (await desk.caller.wait_end(forked))["output"] == "done"
    assert [one.step for one in desk.receiver.of(run)] == ["look lamp", "count lamp", "count lamp"]
    assert desk.calls == 6, "the first request is answered from the journal, the two after it are new"
    told = [one["content"] for one in desk.requests[4].messages if one["role"] == "tool"]
    assert told == ["the lamp is gone"]
    assert users_of(desk.requests[4]) == ["before", "go"]


async def test_output_and_dependencies_are_typed(desk):
    desk.says(Answer(tool_calls=[call("final_result", "f1", allowed=True, reason="enough points")]))
    described = (await desk.caller.ask("GET", "/v1/agents/judge")).body
    assert set(described["output_schema"]["properties"]) == {"allowed", "reason"}
    assert "deps" in json.dumps(described["input_schema"])
    refused = await desk.caller.start("judge", {"prompt": "may she?", "deps": {"points": 3}})
    assert refused.status == 422
    assert "$.deps" in json.dumps(refused.body)
    ended = await desk.run("judge", {"prompt": "may she?", "deps": {"name": "Ada", "points": 3}})
    assert ended["output"] == {"allowed": True, "reason": "enough points"}
    assert "Ada with 3 points" in json.dumps(desk.requests[0].messages)


async def test_a_tool_that_wants_another_try_gets_it_and_the_refusal_is_kept(desk):
    desk.says(calls(call("fussy", "c1", word="now")), calls(call("fussy", "c2", word="please")), Answer("ok"))
    ended = await desk.run("support", "go")
    assert ended["output"] == "ok"
    assert "say please" in json.dumps(desk.requests[1].messages)
    outputs = [one["output"]["kind"] for one in await desk.caller.steps(ended["id"]) if one["kind"] == "tool"]
    assert outputs == ["retry", "value"]


async def test_errors_carry_the_framework_s_own_words(desk):
    desk.says(calls(call("broken", "c1")))
    run = await desk.caller.start_known("support", "run_broken", "go")
    ended = await desk.caller.wait_end(run)
    assert ended["status"] == "failed"
    assert "the shelf is empty" in ended["error"]["message"]
    assert len(desk.receiver.of(run)) == 1


async def test_a_model_provider_s_refusal_is_told_as_the_framework_tells_it(desk):
    desk.answers(lambda request: Fault.server_error(401, "no such key"))
    ended = await desk.run("support", "go")
    assert ended["status"] == "failed"
    assert "ModelAuthenticationError" in ended["error"]["message"]
    assert "401" in ended["error"]["message"]


async def test_a_cancel_ends_a_run_in_the_middle_of_a_model_call(desk):
    gate = desk.says("never").hold(0)
    run = (await desk.caller.start("support", "go")).body["id"]
    await wait_held(gate)
    await desk.caller.ask("POST", f"/v1/runs/{run}/cancel")
    assert (await desk.caller.wait_end(run))["status"] == "cancelled"
    gate.open()
    assert desk.calls == 1


async def test_a_run_over_its_time_is_failed(desk):
    gate = desk.says("never").hold(0)
    assert (await desk.run("hurried", "go"))["error"]["code"] == "deadline_exceeded"
    gate.open()


async def test_usage_is_what_the_model_said(desk):
    desk.says(Answer("hello", usage=Usage(17, 5)))
    usage = (await desk.run("support", "go"))["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["model_calls"]) == (17, 5, 1)


async def test_a_stateless_run_is_answered_at_once(desk):
    desk.says("hello there")
    answer = await desk.caller.start("quick", "hi", headers={})
    assert (answer.status, answer.body["output"]) == (200, "hello there")


async def test_options_are_what_a_run_of_the_framework_takes(desk):
    desk.answers(lambda request: calls(call("look", f"c{stage_of(request)}", what="lamp")))
    ended = await desk.run("hasty", "go")
    assert "request_limit of 2" in ended["error"]["message"], ended
    assert desk.calls == 2
