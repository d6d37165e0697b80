"""A language model's provider fails in every way it knows, while a step with retries asks it: the run sees one answer.

The agent has a plain HTTP client without retries of its own, so what is shown is the retry of the step. Excluded: what
a client of an agent framework does by itself, and the faults themselves (`tests/testing/test_model_fault`).
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pilothouse.testing import Fault, ModelRequest, ScriptedModel
from tests.faults.checkers import check_run

pytestmark = pytest.mark.slow

RUN = "run_consult"
TRIES = 3
ANSWER = "It is the MIT licence."


@pytest.fixture
def model():
    with ScriptedModel(ANSWER) as model:
        yield model


CASES: dict[str, tuple[Callable[[], list[Fault]], dict[str, Any]]] = {
    "429 with Retry-After": (lambda: [Fault.rate_limited(0), Fault.rate_limited(0)], {}),
    "529": (lambda: [Fault.overloaded(), Fault.overloaded()], {}),
    "5xx, then 429": (lambda: [Fault.server_error(503), Fault.rate_limited()], {}),
    "stream cut mid-token": (lambda: [Fault.cut_stream(2), Fault.cut_stream(1)], {"stream": True}),
    "bad JSON, then a body cut short": (lambda: [Fault.bad_json(), Fault.cut_stream()], {}),
    "bad JSON in a stream": (lambda: [Fault.bad_json(2), Fault.bad_json(1)], {"stream": True}),
    "hang, ended by the time limit of the step": (lambda: [Fault.hang(), Fault.hang()], {"timeout": 2.5}),
    "hang mid-stream": (lambda: [Fault.hang(2), Fault.hang()], {"stream": True, "timeout": 2.5}),
}


async def test_a_step_that_is_tried_again_gets_the_answer_in_the_end_and_keeps_only_that(serve, model):
    """All kinds at once, each striking the first two tries of one run. A provider that does not recover in time
    fails the run with its reason, and a retry of the run asks it anew."""
    node = serve(environment=model.environment)
    await node.start()
    for number, (case, (faults, plan)) in enumerate(CASES.items()):
        for fault in faults():
            model.fault(fault, when=partial(asks, case))
        await node.caller.start_known("consult", f"{RUN}_{number}", {"question": case, **plan})
    for number, case in enumerate(CASES):
        ended = await node.caller.wait_end(f"{RUN}_{number}")
        assert (case, ended["status"], ended["output"]) == (case, "succeeded", ANSWER)
        reading = await node.caller.read(ended["id"])
        assert [(step["status"], step["attempt"]) for step in reading.steps] == [("succeeded", TRIES)]
        assert sum(asks(case, request) for request in model.requests) == TRIES
        assert check_run(reading, []) == []

    model.fault(Fault.overloaded(), when=partial(asks, "never"), times=2)
    plan = {"question": "never", "attempts": 2}
    ended = await node.caller.wait_end(await node.caller.start_known("consult", RUN, plan))
    assert (ended["status"], ended["error"]["code"]) == ("failed", "step_failed")
    assert "529" in ended["error"]["message"]
    again = await node.caller.ask("POST", f"/v1/runs/{RUN}/retry")
    assert (await node.caller.wait_end(again.body["id"]))["output"] == ANSWER
    assert sum(asks("never", request) for request in model.requests) == 3


def asks(case: str, request: ModelRequest) -> bool:
    return bool(request.body["messages"][0]["content"] == case)


async def test_a_node_killed_while_the_model_hangs_asks_it_again_and_keeps_one_answer(serve, model):
    node = serve(environment=model.environment)
    hang = model.fault(Fault.hang())
    await node.start()
    await node.caller.start_known("consult", RUN, {"question": "Which licence is this?"})
    await asyncio.to_thread(model.wait_calls, 1, 90.0)
    await node.kill()
    hang.release()
    await node.start()
    ended = await node.caller.wait_end(RUN)
    assert (ended["output"], ended["attempt"]) == (ANSWER, 2)
    assert model.calls == 2
    assert check_run(await node.caller.read(RUN), []) == []
