"""LangGraph graphs, untouched, on a real node with hosts in an environment of their own."""

import json
import os
import subprocess
from collections import Counter

import apsw
import pytest

from pilothouse.testing import Answer, Fault, Usage
from tests.faults.client import wait_until
from tests.frameworks.stage import (
    HERE,
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

FRAMEWORK = "langgraph"
SETTINGS = "[worker]\npark_after_seconds = 0.1"
AGENTS = {
    "support": 'target = "desk:support"\nmode = "event"',
    "hurried": 'target = "desk:support"\nmode = "event"\ntimeout_seconds = 1.0',
    "chat": 'target = "desk:support"\nmode = "session"',
    "quick": 'target = "desk:support"',
    "gated": 'target = "desk:gated"\nmode = "event"',
    "ways": 'target = "desk:ways"\nmode = "event"',
    "book": 'target = "desk:book"\nmode = "event"',
    "raw": 'target = "desk:raw"\nmode = "event"',
    "stopping": 'target = "desk:stopping"\nmode = "event"',
    "flow": 'target = "desk:flow"\nmode = "session"',
    "timed": 'target = "desk:timed"\nmode = "event"',
    "diary": 'target = "desk:diary"\nmode = "session"',
    "hasty": 'target = "desk:support"\nmode = "event"\noptions = {recursion_limit = 2}',
}

ASK = {"messages": [{"role": "user", "content": "go"}]}


def said_last(run):
    return run["output"]["messages"][-1]["content"]


@pytest.mark.parametrize(("saver", "passes"), [("whole", True), ("forgetful", False)])
def test_the_checkpointer_passes_the_framework_s_own_suite_restored_from_its_rows_before_each_read(saver, passes):
    python = environment_of("langgraph") / "bin" / "python"
    ran = subprocess.run(
        [python, HERE / "langgraph" / "conformance.py", saver],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        timeout=300,
        check=False,
    )
    report = json.loads(ran.stdout.splitlines()[-1])
    assert report["passed"] is passes, report["results"]


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
    assert said_last(await desk.caller.wait_end(run)) == "It is here."
    events = await desk.caller.events(run)
    assert deltas(events) == ["It ", "is ", "here."]
    assert steps_by_kind(await desk.caller.steps(run)) == {"model": 2, "tool": 1}
    told = [event.body for event in events if event.kind == "framework.event"]
    assert {one["framework"] for one in told} == {"langgraph"}
    assert "updates" in {one["name"] for one in told}


async def test_a_stream_is_live_token_by_token(desk):
    fault = desk.model.fault(Fault.hang(after=2))
    desk.says(Answer(pieces=["one ", "two ", "three"]))
    run = (await desk.caller.start("support", "count")).body["id"]

    async def has_begun():
        return deltas(await desk.caller.events(run)) != []

    await wait_until(has_begun, LOADS_WITHIN)
    assert (await desk.caller.run(run))["status"] == "running"
    fault.release()
    assert said_last(await desk.caller.wait_end(run)) == "one two three"


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
    assert said_last(ended) == "four letters"
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
    assert said_last(await desk.caller.wait_end(run)) == "all three"
    assert sorted(one.step for one in desk.receiver.of(run)) == ["look a", "look b", "look c"]
    assert desk.calls == 2


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "blocking"])
async def test_a_model_call_in_the_middle_of_a_node_is_not_repeated_whichever_way_it_is_made(desk, way):
    desk.says(Answer(pieces=["well ", "said"]))
    run = f"run_{way}"
    gate = desk.receiver.hold(run, "after")
    await desk.caller.start_known("ways", run, {"way": way})
    await gate.wait_reached(LOADS_WITHIN)
    await wait_ended(desk.caller, run, 1)
    await desk.strike("host")
    gate.drop()
    ended = await desk.caller.wait_end(run)
    assert ended["output"]["said"] == "well said"
    assert ended["usage"]["model_calls"] == 1
    assert desk.calls == 1
    assert "".join(deltas(await desk.caller.events(run))) == "well said"


async def test_a_call_that_a_node_makes_by_itself_is_kept_for_its_task_and_answers_no_other(desk):
    answers = iter(["the first", "the second", "too many"])
    desk.answers(lambda request: next(answers))
    run = "run_raw"
    gate = desk.receiver.hold(run, "between")
    await desk.caller.start_known("raw", run, {"order": {"number": "o7"}, "log": []})
    await gate.wait_reached(LOADS_WITHIN)
    await wait_ended(desk.caller, run, 1)
    await desk.strike("host")
    gate.drop()
    ended = await desk.caller.wait_end(run)
    assert ended["output"]["log"] == ["the first", "the second"]
    assert ended["usage"]["model_calls"] == 2
    assert desk.calls == 2


@pytest.mark.parametrize("victim", ["host", "node"])
async def test_a_node_that_ended_is_not_run_again_in_the_graph_beside_it_or_in_a_graph_below(desk, victim):
    run = f"run_book_{victim}"
    gates = [desk.receiver.hold(run, step) for step in ("right", "last")]
    await desk.caller.start_known("book", run, {"order": {"number": "o7"}, "log": []})
    for gate in gates:
        await gate.wait_reached(LOADS_WITHIN)
        await wait_until(lambda: has_ended_all_but_one(desk, run), LOADS_WITHIN)
        await desk.strike(victim)
        gate.drop()
        await desk.recover(victim)
    ended = await desk.caller.wait_end(run)
    assert ended["output"]["log"] == ["first o7", "left", "right", "inner", "last"]
    assert sorted(one.step for one in desk.receiver.of(run)) == ["first", "inner", "last", "left", "right"]


async def has_ended_all_but_one(desk, run):
    """All that began has its checkpoints, but for what is held: an effect is heard of before its node has one."""
    steps = (await desk.caller.ask("GET", f"/v1/runs/{run}/steps?kind=checkpoint&limit=200")).body["items"]
    begun = len(desk.receiver.of(run)) + 1
    wanted = {3: 6, 5: 13}.get(begun)  # at first not all that run beside each other have begun
    return wanted is not None and len(steps) >= wanted


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
async def test_a_call_that_the_middleware_interrupts_is_a_review_that_outlives_a_restart(
    desk, answer, effects, said_to_model
):
    desk.says(calls(call("refund", "c1", order="o7", cents=1200)), Answer("done"))
    run = f"run_refund_{answer['verdict']}"
    await desk.caller.start_known("gated", run, "refund me")
    await desk.caller.wait_run(run, lambda found: found["status"] == "waiting")
    if answer["verdict"] == "edit":  # once is enough: nothing of a waiting run is in memory
        await desk.node.restart()
    review = await desk.caller.decide(run, **answer)
    assert review["details"]["arguments"] == {"order": "o7", "cents": 1200}
    assert review["details"]["tool"] == "refund"
    assert said_last(await desk.caller.wait_end(run)) == "done"
    assert [one.step for one in desk.receiver.of(run)] == effects
    assert desk.calls == 2
    results = [one["content"] for one in desk.requests[-1].messages if one["role"] == "tool"]
    assert any(said_to_model in one for one in results)


@pytest.mark.parametrize(
    ("answer", "resumed_with"),
    [
        ({"verdict": "approve"}, "True"),
        ({"verdict": "edit", "edited": {"by": "Ada"}}, "{'by': 'Ada'}"),
        ({"verdict": "respond", "response": "do it"}, "do it"),
        ({"verdict": "reject"}, "False"),
    ],
    ids=["approve", "edit", "respond", "reject"],
)
async def test_an_interrupt_inside_of_a_tool_resumes_with_the_answer_and_other_tools_are_not_repeated(
    desk, answer, resumed_with
):
    desk.says(calls(call("confirm", "c1", order="o7"), call("look", "c2", what="lamp")), Answer("done"))
    run = f"run_confirm_{answer['verdict']}"
    await desk.caller.start_known("support", run, "confirm it")
    await desk.caller.wait_run(run, lambda found: found["status"] == "waiting")
    if answer["verdict"] == "edit":  # once is enough: nothing of a waiting run is in memory
        await desk.node.restart()
    review = await desk.caller.decide(run, **answer)
    assert review["question"] == "Really o7?"
    assert said_last(await desk.caller.wait_end(run)) == "done"
    assert sorted(one.step for one in desk.receiver.of(run)) == ["confirm o7", "look lamp"]
    told = [one["content"] for one in desk.requests[-1].messages if one["role"] == "tool"]
    assert f"confirmed: {resumed_with}" in told


async def test_a_breakpoint_is_passed_by_nobody_but_a_person_even_after_a_restart(desk):
    run = "run_stopping"
    await desk.caller.start_known("stopping", run, {"order": {"number": "o7"}, "log": []})
    await desk.caller.wait_run(run, lambda found: found["status"] == "waiting")
    await desk.strike("host")
    assert [one.step for one in desk.receiver.of(run)] == ["first"]
    assert "before left" in (await desk.caller.decide(run, "approve"))["question"]
    await desk.caller.wait_run(run, lambda found: found["status"] == "waiting")
    assert [one.step for one in desk.receiver.of(run)] == ["first", "left"]
    assert "after left" in (await desk.caller.decide(run, "reject", reason="not today"))["question"]
    ended = await desk.caller.wait_end(run)
    assert "not today" in ended["error"]["message"]
    assert [one.step for one in desk.receiver.of(run)] == ["first", "left"]


async def test_an_entrypoint_waits_twice_keeps_its_tasks_and_remembers_what_it_saved(desk):
    for turn in (1, 2):
        run = f"run_flow_{turn}"
        await desk.caller.start_known("flow", run, "o7", session="flow")
        assert (await desk.caller.decide(run, "approve"))["question"] == "Pay 2?"
        if turn == 1:
            await desk.node.restart()
        assert (await desk.caller.decide(run, "respond", response="tea"))["question"] == "And then?"
        ended = await desk.caller.wait_end(run)
        assert ended["output"] == {"cents": 2, "answers": [True, "tea"], "total": 2 * turn}


def heard(request):
    return f"heard {len(users_of(request))}"


def users_of(request):
    return [one["content"] for one in request.messages if one["role"] == "user"]


async def test_a_session_remembers_and_a_restart_does_not_hurt_it(desk):
    desk.answers(heard)
    outputs = [said_last(await desk.run("chat", text, session="ada")) for text in ("first", "second", "third")]
    assert outputs == ["heard 1", "heard 2", "heard 3"]
    await desk.node.restart()
    assert said_last(await desk.run("chat", "fourth", session="ada")) == "heard 4"
    assert users_of(desk.requests[-1]) == ["first", "second", "third", "fourth"]


async def test_what_a_turn_keeps_does_not_grow_with_the_turns_before_it(desk):
    desk.answers(lambda request: "x" * 2000)
    runs = [(await desk.run("chat", f"turn {number}", session="long"))["id"] for number in range(8)]
    records = apsw.Connection(str(desk.folder / "pilothouse.db"), flags=apsw.SQLITE_OPEN_READONLY)
    records.setbusytimeout(60_000)
    trails = dict(records.execute("select run, length(trail) from turn where session = 'long'"))
    steps = dict(records.execute("select run, sum(length(row)) from step group by run"))
    records.close()
    assert set(trails) == set(runs)
    for sizes in (trails, {run: steps[run] for run in runs}):
        first, *others = [sizes[run] for run in runs]
        assert max(others) < 1.3 * first


async def test_a_fork_of_a_session_knows_the_turns_before_it_only(desk):
    desk.answers(heard)
    runs = [(await desk.run("chat", text, session="eva"))["id"] for text in ("first", "second")]
    path = "/v1/agents/chat/sessions/eva/fork"
    assert (await desk.caller.ask("POST", path, {"key": "bob", "after": runs[0]})).status in (200, 201)
    assert said_last(await desk.run("chat", "other", session="bob")) == "heard 2"
    assert users_of(desk.requests[-1]) == ["first", "other"]


async def test_time_travel_goes_on_with_another_result_of_a_tool(desk):
    desk.answers(heard)
    await desk.run("chat", "before", session="zoe")
    desk.says(calls(call("look", "c1", what="lamp")), calls(call("count", "c2", what="lamp")), Answer("done"))
    run = (await desk.run("chat", "go", session="zoe"))["id"]
    [look] = [one for one in await desk.caller.steps(run) if one["name"] == "look"]
    message = look["output"]["message"]
    gone = {"message": {**message, "data": {**message["data"], "content": "the lamp is gone"}}}
    body = {"after": look["key"], "replace": {look["key"]: gone}}
    forked = (await desk.caller.ask("POST", f"/v1/runs/{run}/fork", body)).body["id"]
    assert said_last(await desk.caller.wait_end(forked)) == "done"
    assert [one.step for one in desk.receiver.of(run)] == ["look lamp", "count lamp", "count lamp"]
    assert desk.calls == 6, "the first request is answered from the journal, the two after it are new"
    told = [one["content"] for one in desk.requests[4].messages if one["role"] == "tool"]
    assert told == ["the lamp is gone"]
    assert users_of(desk.requests[4]) == ["before", "go"]


async def test_input_and_output_are_typed(desk):
    described = (await desk.caller.ask("GET", "/v1/agents/book")).body
    assert set(described["input_schema"]["properties"]) == {"order", "log"}
    assert set(described["output_schema"]["properties"]) == {"order", "log"}
    refused = await desk.caller.start("book", {"order": {"cents": 3}, "log": []})
    assert refused.status == 422
    assert "$.order.number" in json.dumps(refused.body)
    refused = await desk.caller.start("support", {"messages": [{"no": "role"}]})
    assert refused.status == 422
    assert "$.messages" in json.dumps(refused.body)


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
    assert "AuthenticationError" in ended["error"]["message"]
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
    assert (answer.status, said_last(answer.body)) == (200, "hello there")


@pytest.mark.parametrize(("clock", "asked"), [("run", 1), ("wall", 2)])
async def test_a_prompt_with_the_time_in_it_is_paid_once_where_that_is_the_time_of_the_run(desk, clock, asked):
    """Another prompt never gets the answer to the one before: with the time of the wall it is asked again."""
    desk.says("noted")
    run = f"run_time_{clock}"
    gate = desk.receiver.hold(run, "asked")
    await desk.caller.start_known("timed", run, {"order": {"number": clock}, "log": []})
    await gate.wait_reached()
    await wait_ended(desk.caller, run, 1)
    await desk.strike("node")
    gate.drop()
    await desk.recover("node")
    assert (await desk.caller.wait_end(run))["output"]["log"] == ["noted"]
    assert desk.calls == asked
    prompts = {one.messages[-1]["content"] for one in desk.requests}
    assert len(prompts) == asked


async def test_a_delta_channel_is_kept_between_the_turns_of_a_session(desk):
    outputs = []
    for text in ("one", "two", "three"):
        run = (await desk.caller.start("diary", {"lines": [text]}, session="ann")).body["id"]
        outputs.append((await desk.caller.wait_end(run))["output"]["lines"])
    assert outputs[0] == ["one", "1 lines"]
    assert outputs[2] == ["one", "1 lines", "two", "3 lines", "three", "5 lines"]


async def test_options_are_what_a_run_of_the_framework_takes(desk):
    desk.answers(lambda request: calls(call("look", f"c{stage_of(request)}", what="lamp")))
    ended = await desk.run("hasty", ASK)
    assert "Recursion limit of 2 reached" in ended["error"]["message"], ended


async def test_steps_leave_out_the_framework_s_own_checkpoints_unless_they_are_asked_for(desk):
    desk.says(calls(call("look", "c1", what="lamp")), Answer("here"))
    run = (await desk.run("support", ASK))["id"]
    assert {one["kind"] for one in await desk.caller.steps(run)} == {"model", "tool"}
    found = (await desk.caller.ask("GET", f"/v1/runs/{run}/steps?kind=checkpoint&limit=200")).body["items"]
    assert {one["kind"] for one in found} == {"checkpoint"}
