"""Runs that bring their host down: by exit, by a fault of memory, by holding too much of it, by blocking its loop.

Excluded: hosts that are killed from outside (`test_kill_step`) or stopped (`test_freeze`).
"""

import pytest

from tests.faults.checkers import check_run

pytestmark = pytest.mark.slow

QUICK = {"limits": {"stayed_up": 0.0, "answers_within": 2.5, "watch_every": 0.2}}
WAYS = ("exit", "segv", "memory", "block")


async def test_runs_that_bring_their_host_down_end_host_lost_and_hurt_nobody_beside_them(serve, receiver):
    node = serve("[worker]\nhost_memory_mb = 200", altered=QUICK)
    caller = node.caller
    gate = receiver.hold("run_beside", "0", "before")
    await node.start()
    await caller.start_known("chain", "run_beside", {"steps": 3})
    await caller.start_known("rest", "run_resting", 0.2)
    await gate.wait_reached()
    for how in WAYS:
        await caller.start_known("crash", f"run_{how}", how)
    for how in WAYS:
        ended = await caller.wait_end(f"run_{how}")
        assert (how, ended["status"], ended["error"]["code"]) == (how, "failed", "host_lost")
        assert (
            1 <= len(receiver.of(f"run_{how}")) <= 3
        )  # worker.losses_limit; another's loss of the same host counts too
    gate.drop()
    for run in ("run_beside", "run_resting"):
        assert (await caller.wait_end(run))["status"] == "succeeded"
    for run in ("run_beside", "run_resting", *(f"run_{how}" for how in WAYS)):
        assert check_run(await caller.read(run), receiver.of(run)) == []

    greedy = await caller.wait_end(await caller.start_known("crash", "run_greedy", "data"))
    assert (greedy["status"], greedy["error"]["code"]) == ("failed", "agent_failed")
    assert "MemoryError" in greedy["error"]["message"]
    assert (await caller.start_at_last("echo", "still there", headers={})).body["output"] == "still there"
