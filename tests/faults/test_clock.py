"""The wall clock jumps while a node runs, by an hour and by two days, forward and back: timers and leases stay.

libfaketime changes what the node and its hosts read from the wall clock; the machine's time since boot, on which the
clock of a node runs after its start, is not touched, as with a jump of a real machine. Excluded: a node that is started
while the wall clock is wrong follows it (`compute.clock` says so), except that it takes over what an earlier one held.
"""

import asyncio
import importlib.util
import time
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path

import pytest

from tests.faults.checkers import check_run, check_timers
from tests.faults.client import Caller, wait_until
from tests.faults.receiver import Receiver

pytestmark = pytest.mark.slow

NAP = 4.0
JUMPS = ("+3600", "+172800", "-172800")


class WallClock:
    """What the wall clock of a node shows, as an offset to the real one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        found = importlib.util.find_spec("libfaketime")
        assert found is not None, "libfaketime is among the development requirements: make setup"
        assert found.origin is not None
        library = Path(found.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }
        self.jump("+0")

    def jump(self, offset: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset}\n")
        fresh.rename(self._file)


async def test_jumps_of_the_wall_clock_neither_fire_timers_early_nor_lose_leases(serve, receiver, tmp_path):
    clock = WallClock(tmp_path)
    node = serve(environment=clock.environment)
    caller = node.caller
    held = receiver.hold("run_held", "0", "before")
    await node.start()
    await caller.start_known("chain", "run_held", {"steps": 2})
    await held.wait_reached()
    began = time.monotonic()
    await caller.start_known("rest", "run_nap", NAP)
    await caller.start_known("rest", "run_day", 86_400.0)
    await caller.start_known("chain", "run_delayed", {"steps": 1}, delay_seconds=NAP)
    await caller.start_known("wait", "run_patient", "never", deadline_seconds=3600)
    await caller.start_known("ask", "run_asking", "Shall we?")
    woken: dict[str, float] = {}
    watch = asyncio.create_task(note_effects(receiver, ["run_nap", "run_delayed"], woken))
    for jump in JUMPS:
        clock.jump(jump)
        await wait_until(partial(shows, node.caller, int(jump)))
    await watch
    assert min(woken.values()) - began >= NAP
    nap, delayed = await caller.wait_end("run_nap"), await caller.wait_end("run_delayed")
    assert (nap["status"], delayed["status"]) == ("succeeded", "succeeded")
    held.open()
    assert (await caller.wait_end("run_held"))["attempt"] == 1
    for run in ("run_day", "run_patient", "run_asking"):
        assert (await caller.run(run))["status"] == "waiting"
    reviews = (await caller.ask("GET", "/v1/reviews?status=open")).body["items"]
    assert [review["run"] for review in reviews] == ["run_asking"]
    assert check_timers(await caller.read("run_nap"), NAP, within=10) == []
    for run in ("run_nap", "run_delayed", "run_held"):
        assert check_run(await caller.read(run), receiver.of(run)) == []


async def shows(caller: Caller, offset: int) -> bool:
    """Whether the node has come to see the wall clock so far off: the dates of its answers follow it."""
    answer = await caller.ask("GET", "/healthz")
    return abs(parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time() - offset) < 30


async def note_effects(receiver: Receiver, runs: list[str], woken: dict[str, float]) -> None:
    """When each of the runs had its first effect, on the clock of this test."""

    async def look() -> bool:
        for run in runs:
            if run not in woken and receiver.of(run):
                woken[run] = time.monotonic()
        return len(woken) == len(runs)

    await wait_until(look)


async def test_a_node_started_with_a_clock_set_back_takes_over_what_the_one_before_it_held(serve, receiver, tmp_path):
    """Its leases then end in an hour from where the new node stands: nobody waits for that."""
    clock = WallClock(tmp_path)
    node = serve(environment=clock.environment)
    held = receiver.hold("run_held", "1", "before")
    await node.start()
    await node.caller.start_known("chain", "run_held", {"steps": 3})
    await held.wait_reached()
    await node.kill()
    held.drop()
    clock.jump("-3600")
    await node.start()
    assert (await node.caller.wait_end("run_held"))["status"] == "succeeded"
    reading = await node.caller.read("run_held")
    assert check_run(reading, receiver.of("run_held")) == []
    assert reading.run["attempt"] == 2
