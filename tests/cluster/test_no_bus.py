"""Nodes that hear nothing of each other: every message of the bus is lost, and all that is promised still holds.

Behind a pool there is no LISTEN, so nodes have only their polls; what is slower is nobody's loss.
"""

import asyncio

import pytest

from tests.cluster.test_roles import knows
from tests.faults.checkers import check_one_end, check_run
from tests.faults.client import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def test_without_any_bus_runs_end_signals_arrive_cancels_work_and_streams_end(cluster, receiver):
    pooled = {"PILOTHOUSE_RECORDS_IS_POOLED": "true"}
    worker, gateway = cluster("worker", environment=pooled), cluster("gateway", environment=pooled)
    await asyncio.gather(worker.start(), gateway.start())
    await wait_until(lambda: knows(gateway))
    caller = gateway.caller
    assert (await caller.start("echo", "hello", headers={})).body["output"] == "hello"
    await caller.start_known("wait", "run_waits", "paid")
    await caller.wait_run("run_waits", lambda it: it["status"] == "waiting")
    await caller.ask("POST", "/v1/runs/run_waits/signals/paid", {"payload": 1})
    gate = receiver.hold("run_cancelled", "1", "before")
    await caller.start_known("chain", "run_cancelled", {"steps": 3})
    await gate.wait_reached()
    await caller.ask("POST", "/v1/runs/run_cancelled/cancel")
    seen = []
    await caller.start_known("chain", "run_streamed", {"steps": 3})
    await caller.gather("run_streamed", seen)
    gate.open()
    runs = ["run_waits", "run_cancelled", "run_streamed"]
    readings = {}
    for run in runs:
        await caller.wait_end(run, 60)
        readings[run] = await caller.read(run)
    assert check_one_end(runs, readings) == []
    assert readings["run_cancelled"].run["status"] == "cancelled"
    assert readings["run_waits"].run["output"] == 1
    assert readings["run_streamed"].events == seen
    assert check_run(readings["run_streamed"], receiver.of("run_streamed")) == []
