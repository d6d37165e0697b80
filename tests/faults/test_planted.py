"""Bugs planted into a real node, and the checkers that find them with nothing but the API and the receiver.

Without these a green run of the fault cases would prove little: each bug passes every test that kills nothing. That the
same checkers accept the node as it is, is what all other fault cases show. Excluded: doctored readings
(`test_checkers`).
"""

import asyncio

import pytest

from tests.faults.checkers import check_intake, check_one_end, check_run, check_seen_is_kept
from tests.faults.client import Event, wait_until

pytestmark = pytest.mark.slow

RUN = "run_planted"


async def test_a_step_that_is_acknowledged_before_its_commit_is_found_as_a_repeated_step(serve, receiver):
    """The kill strikes when the second step asks the world for its effect: the first one must be kept by then."""
    node = serve(altered={"bugs": ["steps are acknowledged before the commit"]})
    gate = receiver.hold(RUN, "1", "after")
    await node.start()
    await node.caller.start_known("chain", RUN, {"steps": 3})
    await gate.wait_reached()
    await node.kill()
    gate.drop()
    node.altered = {}
    await node.start()
    assert (await node.caller.wait_end(RUN))["status"] == "succeeded"
    breaches = check_run(await node.caller.read(RUN), receiver.of(RUN))
    assert breaches == ["I2: step 0 of run_planted happened again after a later step had begun"]


async def test_a_run_that_is_acknowledged_before_its_commit_is_found_as_lost_work(serve):
    node = serve(altered={"bugs": ["runs are acknowledged before the commit"]})
    await node.start()
    body = b'{"input": {"steps": 0}}'
    first = await node.caller.ask("POST", "/v1/agents/chain/runs", body, idempotency_key="k")
    assert first.status == 202
    await node.kill()
    node.altered = {}
    await node.start()
    second = await node.caller.ask("POST", "/v1/agents/chain/runs", body, idempotency_key="k")
    await node.caller.wait_end(second.body["id"])
    readings = {run["id"]: await node.caller.read(run["id"]) for run in await node.caller.all_runs()}
    assert check_one_end([first.body["id"]], readings)
    assert check_intake([("k", body, first), ("k", body, second)])


async def test_an_event_that_goes_out_before_its_commit_is_found_as_lost_though_seen(serve, receiver):
    node = serve(altered={"bugs": ["events go out before the commit"]})
    gate = receiver.hold(RUN, "1", "before")
    await node.start()
    await node.caller.start_known("chain", RUN, {"steps": 2})
    seen: list[Event] = []
    reading = asyncio.create_task(node.caller.gather(RUN, seen))

    async def has_delta() -> bool:
        return any(event.kind == "output.delta" for event in seen)

    await wait_until(has_delta)
    await node.kill()
    await reading
    gate.drop()
    node.altered = {}
    await node.start()
    assert (await node.caller.wait_end(RUN))["status"] == "succeeded"
    assert check_seen_is_kept(seen, (await node.caller.read(RUN)).events)
