"""Bugs planted into a real node, and the checkers that find them with nothing but the API and the receiver.

Without these a green run of the fault cases would prove little: each bug passes every test that kills nothing.
Excluded: doctored readings, one for each checker (`test_checkers`).
"""

import asyncio

import pytest

from tests.faults.checkers import check_intake, check_one_end, check_run, check_seen_is_kept
from tests.faults.client import Event, wait_until

pytestmark = pytest.mark.slow

RUN = "run_planted"


@pytest.mark.parametrize("is_planted", [True, False])
async def test_a_step_that_is_acknowledged_before_its_commit_is_found_as_a_repeated_step(serve, receiver, is_planted):
    """The kill strikes when the second step asks the world for its effect: the first one must be kept by then."""
    bugs = ["steps are acknowledged before the commit"] if is_planted else []
    node = serve(altered={"bugs": bugs})
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
    assert breaches == (["I2: step 0 of run_planted happened again after a later step had begun"] if is_planted else [])


@pytest.mark.parametrize("is_planted", [True, False])
async def test_a_run_that_is_acknowledged_before_its_commit_is_found_as_lost_work(serve, is_planted):
    node = serve(altered={"bugs": ["runs are acknowledged before the commit"] if is_planted else []})
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
    assert bool(check_one_end([first.body["id"]], readings)) is is_planted
    assert bool(check_intake([("k", body, first), ("k", body, second)])) is is_planted


@pytest.mark.parametrize("is_planted", [True, False])
async def test_an_event_that_goes_out_before_its_commit_is_found_as_lost_though_seen(serve, receiver, is_planted):
    node = serve(altered={"bugs": ["events go out before the commit"] if is_planted else []})
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
    assert bool(check_seen_is_kept(seen, (await node.caller.read(RUN)).events)) is is_planted
