"""Cancelling over HTTP wins in every state: before the run is known, queued, running, waiting, twice, and over code
that does not obey.

Excluded: the races of single Changes (`tests/engine/test_cancel`).
"""

import pytest

from tests.faults.checkers import check_run, check_stays_ended

pytestmark = pytest.mark.slow

GRACE = 0.5


async def cancel(caller, run: str, *statuses: int) -> dict:
    answer = await caller.ask("POST", f"/v1/runs/{run}/cancel", {"reason": "no longer wanted"})
    assert answer.status in (statuses or (200,)), answer
    return answer.body


async def is_cancelled(caller, receiver, run: str) -> None:
    """It ended `cancelled`, says why, keeps its invariants, and stays so when it is cancelled again."""
    ended = await caller.wait_end(run, 10)
    assert (ended["status"], ended["error"]["code"]) == ("cancelled", "cancelled")
    assert "no longer wanted" in ended["error"]["message"]
    reading = await caller.read(run)
    assert check_run(reading, receiver.of(run)) == []
    assert (await cancel(caller, run))["status"] == "cancelled"
    assert check_stays_ended(reading, await caller.read(run)) == []


async def test_a_run_is_cancelled_in_every_state_in_which_nobody_works_at_it(serve, receiver):
    node = serve(agents={"chain": "concurrency = 1"})
    caller = node.caller
    await node.start()
    held = receiver.hold("run_first", "0", "before")
    turn = receiver.hold("run_turn", "one", "before")
    await caller.start_known("chain", "run_first", {"steps": 1})
    await caller.start_known("chat", "run_turn", "one", session="s")
    await held.wait_reached()
    await turn.wait_reached()
    idle = {
        "run_delayed": await caller.start_known("talk", "run_delayed", {"deltas": 1}, delay_seconds=60),
        "run_behind_limit": await caller.start_known("chain", "run_behind_limit", {"steps": 1}),
        "run_behind_turn": await caller.start_known("chat", "run_behind_turn", "two", session="s"),
    }
    waiting = {
        "run_signal": await caller.start_known("wait", "run_signal", "never"),
        "run_sleep": await caller.start_known("rest", "run_sleep", 3600),
        "run_review": await caller.start_known("ask", "run_review", "Shall we?"),
    }
    for run in waiting:
        await caller.wait_run(run, lambda found: found["status"] == "waiting")
    for run in (*idle, *waiting):
        assert (await cancel(caller, run))["status"] == "cancelled"
        await is_cancelled(caller, receiver, run)
        assert receiver.of(run) == []
    assert (await caller.ask("GET", "/v1/reviews?status=open")).body["items"] == []
    held.open()
    turn.open()
    for run in ("run_first", "run_turn"):  # who stood in front of them, or beside them, goes on
        assert (await caller.wait_end(run))["status"] == "succeeded"
    third = await caller.start("chat", "three", session="s", headers={})
    assert third.body["output"] == {"turn": 1, "said": "three", "before": ["one"]}
    assert (await cancel(caller, "run_first"))["status"] == "succeeded"  # what has ended stays as it is


async def test_a_cancel_that_was_answered_is_remembered_by_the_next_node(serve, receiver):
    """One came before its run, one to a run that had not obeyed yet when its node was killed."""
    node = serve("[worker]\ncancel_grace_seconds = 60")
    caller = node.caller
    held = receiver.hold("run_stubborn", "began", "after")
    await node.start()
    assert (await cancel(caller, "run_early", 202))["remembered"] is True
    assert (await cancel(caller, "run_early", 202))["remembered"] is True
    await caller.start_known("stubborn", "run_stubborn", {"seconds": 60.0})
    await held.wait_reached()
    held.open()
    assert (await cancel(caller, "run_stubborn", 202))["status"] == "running"
    await node.restart()
    await is_cancelled(caller, receiver, "run_stubborn")
    assert len(receiver.of("run_stubborn")) == 1
    await caller.start_known("chain", "run_early", {"steps": 1})
    ended = await caller.wait_end("run_early")
    assert (ended["status"], ended["error"]["code"]) == ("cancelled", "cancelled")
    assert receiver.of("run_early") == []
    assert check_run(await caller.read("run_early"), []) == []


async def test_code_that_does_not_obey_a_cancel_is_overruled_after_the_grace_and_others_go_on(serve, receiver):
    """One swallows the cancel; the other one blocks in a thread, which nobody can end: no run waits for either, and the
    late result of the step is not applied."""
    node = serve(f"[worker]\ncancel_grace_seconds = {GRACE}")
    caller = node.caller
    busy = receiver.hold("run_busy", "1", "after")
    held = receiver.hold("run_beside", "0", "before")
    began = receiver.hold("run_stubborn", "began", "after")
    await node.start()
    await caller.start_known("chain", "run_busy", {"steps": 3})
    await caller.start_known("chain", "run_beside", {"steps": 2})
    await caller.start_known("stubborn", "run_stubborn", {"seconds": 3.0})
    for gate in (busy, held, began):
        await gate.wait_reached()
    began.open()
    for run in ("run_busy", "run_stubborn", "run_stubborn"):
        await cancel(caller, run, 200, 202)  # 200: it has ended already, as it must within the grace
    await caller.wait_end("run_busy", 10)
    steps = await caller.steps("run_busy")
    busy.open()
    await is_cancelled(caller, receiver, "run_busy")
    assert await caller.steps("run_busy") == steps
    assert [effect.step for effect in receiver.of("run_busy")] == ["0", "1"]
    await is_cancelled(caller, receiver, "run_stubborn")
    held.open()
    beside = await caller.wait_end("run_beside")
    assert (beside["status"], beside["attempt"]) == ("succeeded", 1)
