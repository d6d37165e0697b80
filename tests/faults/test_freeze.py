"""SIGSTOP and SIGCONT: a host past the time within which it must answer, and a node past its leases.

What was frozen wakes up believing that it still holds its runs. Excluded: kills (`test_kill_node`, `test_kill_host`).
"""

import asyncio
import signal

import pytest

from pilothouse.cli.exits import Exit
from tests.faults.checkers import check_run

pytestmark = pytest.mark.slow

RUN = "run_frozen"
LEASE = 2.0


async def test_a_host_that_is_silent_for_too_long_loses_its_runs_and_writes_nothing_any_more(serve, receiver):
    node = serve(altered={"limits": {"answers_within": 8.0, "watch_every": 0.2}})
    caller = node.caller
    first, second = receiver.hold(RUN, "1", "after"), receiver.hold(RUN, "2", "before")
    await node.start()
    await caller.start_known("chain", RUN, {"steps": 4})
    await first.wait_reached()
    for host in node.hosts():  # silent for a moment: nobody minds
        host.suspend()
        await asyncio.sleep(0.3)
        host.resume()
    frozen = next(host for host in node.hosts() if host.pid == first.host)
    frozen.suspend()
    first.open()  # the answer comes to a process that does not run: its step has an end that nobody has heard of
    await second.wait_reached()
    assert second.host != frozen.pid
    assert not await node.resume(frozen)
    second.open()
    ended = await caller.wait_end(RUN)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 2)
    assert check_run(await caller.read(RUN), receiver.of(RUN)) == []
    assert [len(receiver.of(RUN, str(number))) for number in range(4)] == [1, 2, 1, 1]


async def test_a_node_frozen_past_its_leases_goes_on_with_its_runs_and_nobody_else_could_take_them(serve, receiver):
    """While it is frozen another node on the same file is refused with the name of the holder. What came of steps
    meanwhile is kept when it wakes up; no attempt is given up for the silence of its own node."""
    node, other = serve(altered={"lease": LEASE}), serve()
    caller = node.caller
    held = receiver.hold(RUN, "1", "before")
    await node.start()
    await caller.start_known("chain", RUN, {"steps": 3})
    await caller.start_known("rest", "run_nap", 1.5)
    await held.wait_reached()
    seen = list(await caller.events(RUN))
    process = node.process
    process.suspend()
    frozen_at = asyncio.get_running_loop().time()
    held.open()
    other.launch()
    assert await other.wait_gone() == Exit.OPERATOR
    assert f"Another node uses these records: process {process.pid}" in other.read_log()
    rest = LEASE * 1.5 - (asyncio.get_running_loop().time() - frozen_at)
    await asyncio.sleep(max(0.0, rest))  # the span itself is the case
    process.send_signal(signal.SIGCONT)
    for run in (RUN, "run_nap"):
        ended = await caller.wait_end(run)
        assert (ended["status"], ended["attempt"]) == ("succeeded", 1)
        assert check_run(await caller.read(run), receiver.of(run)) == []
    assert (await caller.events(RUN))[: len(seen)] == seen
    assert [len(receiver.of(RUN, str(number))) for number in range(3)] == [1, 1, 1]
