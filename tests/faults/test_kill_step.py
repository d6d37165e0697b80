"""kill -9 of the node and of the host, at every moment of every step of a run of 20 steps: nothing that was seen is
lost, nothing that was kept is repeated.

For each step one run stands before its effect, one after its effect and before its commit, and one after its commit and
before its host hears of it; one kill strikes all of them. Excluded: kills one after the other under load
(`test_kill_load`), single writes (`test_records_*`).
"""

import asyncio

import pytest

from tests.faults.checkers import check_once, check_resumed, check_run, check_stays_ended
from tests.faults.client import Caller, Event, wait_until

pytestmark = pytest.mark.slow

STEPS = range(20)
ONCE = (4, 9, 14)
BEFORE, AFTER, UNHEARD = "run_before_", "run_after_", "run_unheard_"
RUNS = [f"{prefix}{number}" for prefix in (BEFORE, AFTER, UNHEARD) for number in STEPS]
SETTINGS = "[worker]\nthreads = 64\npark_after_seconds = 0.1"


def number_of(run: str) -> int:
    return int(run.rsplit("_", 1)[1])


async def stand(caller: Caller, receiver) -> list:
    """Every run at its moment of its step."""
    gates = [receiver.hold(f"{BEFORE}{number}", str(number), "before") for number in STEPS]
    gates += [receiver.hold(f"{AFTER}{number}", str(number), "after") for number in STEPS]
    for run in RUNS:
        number = number_of(run)
        await caller.start_known("chain", run, {"steps": len(STEPS), "once": [number] if number in ONCE else []})
    for gate in gates:
        await gate.wait_reached()

    async def are_kept() -> bool:
        steps = [len(await caller.steps(f"{UNHEARD}{number}")) for number in STEPS]
        return all(count > number for number, count in zip(STEPS, steps, strict=True))

    await wait_until(are_kept)
    return gates


async def clear_up(caller: Caller) -> None:
    """The `once` steps whose end nobody saw: a person looks whether they happened."""
    for number in ONCE:
        await caller.decide(f"{BEFORE}{number}", "approve")
        await caller.decide(f"{AFTER}{number}", "edit", edited=number)


@pytest.mark.parametrize("victim", ["node", "host"])
async def test_a_kill_at_any_moment_of_any_step_repeats_no_kept_step_and_loses_no_seen_event(serve, receiver, victim):
    node = serve(SETTINGS, altered={"lose_acks": UNHEARD})
    caller = node.caller
    await node.start()
    gates = await stand(caller, receiver)
    seen: dict[str, list[Event]] = {run: [] for run in RUNS}
    streams = [asyncio.create_task(caller.gather(run, seen[run])) for run in RUNS]
    await wait_until(lambda: has_all(seen))
    kept = {run: await caller.steps(run) for run in RUNS}
    if victim == "node":
        await node.kill()
        await asyncio.gather(*streams)
    else:
        await node.kill_hosts()
    for gate in gates:
        gate.drop()
    parts = {run: [list(seen[run])] for run in RUNS}
    if victim == "node":
        await node.start()
    await clear_up(caller)
    for run in RUNS:
        assert (await caller.wait_end(run))["output"] == list(STEPS)
    readings = {run: await caller.read(run) for run in RUNS}
    if victim == "host":
        await asyncio.gather(*streams)
    for run, reading in readings.items():
        number, effects = number_of(run), receiver.of(run)
        rest = list(seen[run])
        await caller.gather(run, rest)
        assert check_resumed([parts[run][0], rest[len(parts[run][0]) :]], reading.events) == []
        assert check_run(reading, effects) == []
        assert check_once(effects, map(str, ONCE)) == []
        assert [step for step in kept[run] if step["finished_at"]] == reading.steps[: finished(kept[run])]
        assert len(receiver.of(run, str(number))) == (2 if run.startswith(AFTER) and number not in ONCE else 1)
        assert len(effects) == len(STEPS) + len(receiver.of(run, str(number))) - 1
    await node.restart()
    assert check_stays_ended(readings[RUNS[0]], await caller.read(RUNS[0])) == []


def finished(steps: list[dict]) -> int:
    return sum(step["finished_at"] is not None for step in steps)


async def has_all(seen: dict[str, list[Event]]) -> bool:
    return all(seen.values())
