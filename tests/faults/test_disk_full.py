"""The disk is full, under load, and has space again: nothing is accepted that cannot be kept, nothing accepted is lost.

Two ways: a limit on the size of files, which every write of the node meets at once and anybody may set; and a small
file system of its own (tmpfs in a mount namespace), which fills up in the middle of things as a disk does and needs
root. Excluded: faults at single writes and syncs (`test_records_*`).
"""

import asyncio
import errno
import os
import secrets
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.faults.checkers import check_bounded, check_one_end, check_run, check_timers
from tests.faults.client import Answer, Caller
from tests.faults.served import ServedNode

pytestmark = pytest.mark.slow

MIB = 1 << 20
NAP = 3.0
RUNS = 8
STEPS = 3


async def submit(caller: Caller, count: int, fill: int = 0) -> list[Answer]:
    plans = ({"steps": STEPS, "fill": secrets.token_urlsafe(fill)} for _ in range(count))
    return list(await asyncio.gather(*(caller.start("chain", plan) for plan in plans)))


async def finish(node: ServedNode, receiver, acknowledged: list[Answer]) -> None:
    """All that was acknowledged comes to its end, each step with one effect and without another attempt."""
    runs = [answer.body["id"] for answer in acknowledged]
    for run in runs:
        ended = await node.caller.wait_end(run)
        assert (ended["status"], ended["attempt"]) == ("succeeded", 1)
    readings = {run: await node.caller.read(run) for run in runs}
    assert check_one_end(runs, readings) == []
    for run, reading in readings.items():
        assert check_run(reading, receiver.of(run)) == []
        assert [len(receiver.of(run, str(number))) for number in range(STEPS)] == [1] * STEPS
    assert {run["id"] for run in await node.caller.all_runs() if run["agent"] == "chain"} == set(runs)


async def test_no_write_is_possible_for_a_while_and_nothing_acknowledged_is_lost(serve, receiver):
    node = serve("[worker]\npark_after_seconds = 0.1", altered={"lease": 2.0})
    caller = node.caller
    await node.start()
    held = receiver.hold("run_held", "1", "before")
    await caller.start_known("chain", "run_held", {"steps": STEPS})
    await held.wait_reached()
    acknowledged = await submit(caller, RUNS)
    assert check_bounded(acknowledged, [], 0) == []
    await caller.start_known("rest", "run_nap", NAP)
    await caller.wait_run("run_nap", lambda run: run["status"] in ("waiting", "succeeded"))

    node.process.rlimit(psutil.RLIMIT_FSIZE, (1, psutil.RLIM_INFINITY))
    held.open()
    refused = await submit(caller, RUNS)
    assert {answer.status for answer in refused} == {503}
    assert {answer.body["code"] for answer in refused} == {"records_unavailable"}
    assert check_bounded(refused, [], 0) == []
    assert (await caller.run("run_held"))["status"] == "running"  # reads go on
    assert (await caller.ask("GET", "/healthz")).status == 200
    assert (await caller.start("echo", "needs no disk", headers={})).body["output"] == "needs no disk"
    await asyncio.sleep(NAP + 1.0)  # leases and a timer come due, and not even the log can say that they cannot be kept

    node.process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
    acknowledged += await submit(caller, 2)
    assert (await caller.wait_end("run_nap"))["status"] == "succeeded"
    assert check_timers(await caller.read("run_nap"), NAP, within=10, healed_at=datetime.now(UTC)) == []
    await finish(node, receiver, [*acknowledged, Answer(202, {}, {"id": "run_held"})])


MOUNT = [
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    'mount -t tmpfs -o size="$0" none "$1" && shift && exec "$@"',
]
SIZE = 48 * MIB
BIG = 512 * 1024


class SmallDisk:
    """A file system of its own for the records of one node, seen from outside through the node's root."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self.wrapper = [*MOUNT, str(SIZE), str(folder)]
        tried = subprocess.run([*self.wrapper, "true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"a file system can be mounted by root only: {tried.stderr.strip()}")

    def filler(self, node: ServedNode) -> Path:
        return Path(f"/proc/{node.process.pid}/root{self._folder}/filler")

    def fill(self, node: ServedNode) -> None:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            self.filler(node).write_bytes(bytes(2 * SIZE))


async def test_a_disk_that_fills_up_under_load_refuses_and_finishes_all_that_it_took_when_it_has_space_again(
    serve, receiver, tmp_path
):
    disk = SmallDisk(tmp_path / "disk")
    node = serve(f'[records]\nurl = "sqlite:///{tmp_path}/disk/pilothouse.db"', wrapper=disk.wrapper)
    caller = node.caller
    held = receiver.hold("run_held", "1", "before")
    await node.start()
    await caller.start_known("chain", "run_held", {"steps": STEPS})
    await held.wait_reached()
    disk.fill(node)
    answers: list[Answer] = []
    while sum(answer.status == 503 for answer in answers) < RUNS:
        answers += await submit(caller, RUNS, BIG)
        assert len(answers) * BIG < 8 * SIZE
    held.open()
    assert check_bounded(answers, [], 0) == []
    assert (await caller.run("run_held"))["status"] == "running"

    disk.filler(node).unlink()
    acknowledged = [answer for answer in answers if answer.status == 202]
    assert acknowledged
    await finish(node, receiver, [*acknowledged, Answer(202, {}, {"id": "run_held"})])
