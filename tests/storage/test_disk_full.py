"""A disk without room, or one that fails: nothing is acknowledged, all are told, and it goes on when there is room.

The disk is a file layer of SQLite that is switched; the last test meets a real limit, in a process of its own.
"""

import asyncio
import subprocess
import sys

import apsw
import pytest

from pilothouse.errors import RecordsUnavailable
from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import TENANT, born, ended, fence, put, queued, step, told


class WeakDisk(apsw.VFS):
    """`fault` is what writes, or syncs, raise now."""

    def __init__(self, name):
        self.name, self.fault, self.on = name, None, "write"
        super().__init__(name, "")

    def xOpen(self, name, flags):
        return WeakFile(name, flags, self)


class WeakFile(apsw.VFSFile):
    def __init__(self, name, flags, disk):
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data, offset):
        if self._disk.fault and self._disk.on == "write":
            raise self._disk.fault
        super().xWrite(data, offset)

    def xSync(self, flags):
        if self._disk.fault and self._disk.on == "sync":
            raise self._disk.fault
        super().xSync(flags)


@pytest.fixture
def disk(request):
    disk = WeakDisk(f"weak-disk-{id(request)}")
    yield disk
    disk.unregister()


@pytest.mark.parametrize("on", ["write", "sync"])
@pytest.mark.parametrize("fault", [apsw.FullError, apsw.IOError])
async def test_while_the_disk_fails_all_are_told_and_when_it_works_it_goes_on(path, disk, on, fault):
    records = SqliteRecords(str(path), options=SqliteOptions(wal_size=0, vfs=disk.name))
    await records.open()
    await put(records, born("run_a"), told("run_a", "run.started"))
    disk.on, disk.fault = on, fault("no room")
    heard = []
    records.listen(lambda tenant, segment: heard.append(segment.run))
    changes = [put(records, fence("run_a"), step("run_a", ended(f"s{at}")), told("run_a", "x.y")) for at in range(5)]
    outcomes = await asyncio.gather(*changes, put(records, queued("run_b")), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RecordsUnavailable] * 6
    assert heard == []
    assert (await records.get_run(TENANT, "run_a")).status == "running"
    assert await records.get_run(TENANT, "run_b") is None
    disk.fault = None
    receipt = await put(records, fence("run_a"), step("run_a", ended("s0")), told("run_a", "x.y"))
    assert receipt.seq == 2, "numbers that were never kept are given again"
    await put(records, queued("run_b"))
    await records.close()


FILLS = """
import asyncio, resource, signal, sys
from pilothouse.errors import RecordsUnavailable
from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import LONG, TENANT, put, queued

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    records = SqliteRecords(sys.argv[1], options=SqliteOptions(wal_size=0))
    await records.open()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, resource.RLIM_INFINITY))
    kept, refused = [], 0
    for number in range(60):
        try:
            await put(records, queued(f"run_{number}", input=LONG[:-4] + b'%03d"' % number))
            kept.append(f"run_{number}")
        except RecordsUnavailable:
            refused += 1
    assert kept and refused, (len(kept), refused)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await put(records, queued("run_after", input=LONG))
    for run in [*kept, "run_after"]:
        assert await records.get_run(TENANT, run) is not None, run
    await records.close()
    print("went on")

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_real_limit_of_the_file_is_told_and_survived(path):
    told_of = subprocess.run(
        [sys.executable, "-c", FILLS, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (told_of.returncode, told_of.stdout) == (0, "went on\n"), told_of.stderr
