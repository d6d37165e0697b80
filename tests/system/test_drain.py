"""SIGTERM with everything under way: what can end in the grace ends, the rest is handed back and goes on later.

Excluded: kills (`tests/faults`), the command itself (`tests/cli/test_serve`).
"""

import asyncio
import time

import httpx2
import pytest

from tests.faults.checkers import check_once, check_resumed, check_run, check_seen_is_kept
from tests.faults.client import Event, wait_until

pytestmark = pytest.mark.slow

GRACE, CANCEL_GRACE = 1.5, 0.5
SETTINGS = f"""[server]
port = 0
grace_seconds = {GRACE}
[worker]
cancel_grace_seconds = {CANCEL_GRACE}
"""
LONG, ONCE, SHORT, TALK = "run_long", "run_once", "run_short", "run_talk"


async def read_to_hint(caller, run: str, into: list[Event]) -> Event:
    """Follows a stream to its end; the last frame is the hint to come again."""
    last = None
    async with caller.stream(run) as frames:
        async for event in frames:
            if event.seq:
                into.append(event)
            last = event
    assert last is not None
    return last


async def is_draining(caller) -> bool:
    return (await caller.ask("GET", "/readyz")).status == 503


async def has_all(seen: dict[str, list[Event]]) -> bool:
    return all(seen.values())


async def test_a_node_that_is_told_to_end_drains_within_its_grace_and_the_next_one_goes_on(serve, receiver):
    node = serve(SETTINGS)
    caller = node.caller
    gates = {run: receiver.hold(run, "1", "after") for run in (LONG, ONCE, SHORT)}
    await node.start()
    await caller.start_known("chain", LONG, {"steps": 3})
    await caller.start_known("chain", ONCE, {"steps": 3, "once": [1]})
    await caller.start_known("chain", SHORT, {"steps": 2})
    await caller.start_known("talk", TALK, {"deltas": 40, "every": 0.1})
    await caller.start_known("rest", "run_asleep", 3.0)
    for gate in gates.values():
        await gate.wait_reached()
    turn_gate = receiver.hold("run_turn", "one", "before")
    turn = asyncio.create_task(caller.start("chat", "one", session="s", run_id="run_turn", headers={}))
    await turn_gate.wait_reached()
    poll = asyncio.create_task(caller.run(LONG, wait=30))
    seen: dict[str, list[Event]] = {run: [] for run in (LONG, TALK, "run_asleep")}
    streams = [asyncio.create_task(read_to_hint(caller, run, seen[run])) for run in seen]
    await wait_until(lambda: has_all(seen))

    began = time.monotonic()
    ended = asyncio.create_task(node.terminate(GRACE + CANCEL_GRACE + 20))
    hints = await asyncio.gather(*streams)
    assert [(hint.seq, hint.kind) for hint in hints] == [(0, "reconnect")] * len(hints)
    assert (await poll)["status"] == "running"  # answered before its time: the caller would ask again anyway
    assert await is_draining(caller)
    refused = await caller.start("chain", {"steps": 1})
    assert (refused.status, refused.body["code"]) == (503, "draining")
    assert refused.headers["retry-after"].isdigit()
    gates[SHORT].open()
    turn_gate.open()
    answer = await turn
    assert (answer.status, answer.body["output"]["said"]) == (
        200,
        "one",
    )  # it could end in the grace: it was waited for
    assert await ended == 0
    assert time.monotonic() - began < GRACE + CANCEL_GRACE + 4
    for gate in gates.values():
        gate.drop()

    await node.start()
    assert (await caller.run(SHORT))["status"] == "succeeded"
    review = await caller.decide(ONCE, "edit", edited=1)
    assert review["details"]["idempotency_key"] == receiver.of(ONCE, "1")[0].key
    for run in (LONG, ONCE, SHORT, TALK, "run_asleep", "run_turn"):
        run_now = await caller.wait_end(run)
        assert (run_now["status"], run_now["attempt"]) == ("succeeded", 1)  # handed back is not lost
        assert check_run(await caller.read(run), receiver.of(run)) == []
    for run, events in seen.items():
        kept = await caller.events(run)
        assert check_seen_is_kept(events, kept) == []
        rest = list(events)
        await caller.gather(run, rest)
        assert check_resumed([rest], kept) == []
    assert check_once(receiver.of(ONCE), ["1"]) == []
    assert [len(receiver.of(LONG, str(number))) for number in range(3)] == [1, 2, 1]


async def test_a_second_signal_ends_a_draining_node_at_once_and_loses_nothing(serve, receiver):
    node = serve("[server]\nport = 0\ngrace_seconds = 60")
    held = receiver.hold(LONG, "0", "before")
    await node.start()
    await node.caller.start_known("chain", LONG, {"steps": 2})
    await held.wait_reached()
    ended = asyncio.create_task(node.terminate(20))
    await wait_until(lambda: is_draining(node.caller))
    node.process.terminate()
    assert await ended == 128 + 15
    held.drop()
    with pytest.raises(httpx2.ConnectError):
        await node.caller.ask("GET", "/healthz")
    await node.start()
    assert (await node.caller.wait_end(LONG))["status"] == "succeeded"
    assert check_run(await node.caller.read(LONG), receiver.of(LONG)) == []
