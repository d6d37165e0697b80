"""Power lost at any moment: the records open, are whole, and hold every Change that was acknowledged, none by half."""

import asyncio
from functools import partial

import apsw
import pytest

from pilothouse.ports.change import Change
from pilothouse.storage.records.options import SqliteOptions
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.storage.records.verify import verify
from pilothouse.testing.records.build import LONG, born, ended, fence, finish, read, step, told
from tests.faults.crash_disk import CrashDisk, crash

pytestmark = pytest.mark.slow

RUNS = 9
MOMENTS = 60
SMALL = {"wal_size": 0, "checkpoint_pages": 30, "cache_size": 256 * 1024}


def changes_of(number):
    """Three Changes of one run: its birth, two steps behind a fence, and its end with a long output."""
    run = f"run_{number}"
    return [
        Change((born(run), told(run, "run.queued", "run.started"))),
        Change((fence(run), step(run, ended("a")), step(run, ended("b", LONG)), told(run, "step.finished"))),
        Change((finish(run, output=LONG[:-2] + b'%d"' % number), told(run, "run.succeeded"))),
    ]


async def written(path, disk):
    """Acknowledged Changes, several in flight: everything that the disk did for them."""
    records = SqliteRecords(str(path), options=SqliteOptions(vfs=disk.name, **SMALL))
    await records.open()
    left = asyncio.Event()
    count = 0

    def done(number, outcome):
        nonlocal count
        assert not isinstance(outcome, Exception), outcome
        disk.ack(number)
        count += 1
        if count == RUNS * 3:
            left.set()

    for number in range(RUNS):
        for at, change in enumerate(changes_of(number)):
            records.submit(change, partial(done, number * 3 + at))
            if number % 3:
                await asyncio.sleep(0.001)
    await asyncio.wait_for(left.wait(), 90)
    await records.close()
    return disk.deeds


async def faults_after(path, acked):
    """What is wrong with the records that a crash left."""
    records = SqliteRecords(str(path), options=SqliteOptions(**SMALL))
    try:
        await records.open()
    except Exception as error:
        return [f"does not open: {error}"]
    faults = []
    try:
        there = await asyncio.gather(*(stage_of(records, f"run_{number}") for number in range(RUNS)))
    except AssertionError as error:
        return [f"half a Change: {error}"]
    finally:
        await records.close()
    for change in acked:
        if there[change // 3] <= change % 3:
            faults.append(f"the Change {change} was acknowledged and is not there")
    connection = apsw.Connection(str(path))
    try:
        verify(connection, "the file")
    except Exception as error:
        faults.append(str(error))
    finally:
        connection.close()
    return faults


async def stage_of(records, run):
    """How many of the Changes of a run are there; each must be there whole."""
    if await records.get_run("acme", run) is None:
        shown = [await records.load_journal("acme", run), await records.read_events("acme", run, 0, 10)]
        assert shown == [[], []], f"{run} has rows and is not there"
        return 0
    found = await read(records, run)
    journal = await records.load_journal("acme", run)
    events = [segment.count for segment in await records.read_events("acme", run, 0, 10)]
    stage = {"running": 1 + bool(journal), "succeeded": 3}[found.status]
    assert [row.key for row in journal] == (["a", "b"] if stage > 1 else []), run
    assert stage == 1 or journal[1].output == LONG, run
    assert events == [2, 1, 1][:stage], run
    assert (found.output is not None) == (stage == 3), run
    return stage


def moments(deeds):
    """Sampled, but for the moments just before and after an acknowledgement: those are always among them."""
    close = {at + more for at, deed in enumerate(deeds) if deed.kind == "ack" for more in (0, 1)}
    every = max(1, len(deeds) // MOMENTS)
    return sorted(close | set(range(0, len(deeds) + 1, every)))


@pytest.mark.parametrize("loss", ["lost", "kept", "torn"])
async def test_after_a_crash_at_any_moment_every_acknowledged_change_is_there_whole(tmp_path, loss):
    disk = CrashDisk()
    deeds = await written(tmp_path / "records.db", disk)
    assert sum(deed.kind == "sync" for deed in deeds) > 10
    assert any(deed.kind == "write" and deed.part == "" and deed.at > 8192 for deed in deeds), (
        "nothing was written back"
    )
    place = tmp_path / "after.db"
    for moment in moments(deeds):
        acked = crash(deeds, moment, loss, place)
        assert await faults_after(place, acked) == [], f"lost power after {moment} of {len(deeds)}, unsynced {loss}"


async def test_the_check_finds_a_disk_that_lies_about_its_syncs(tmp_path):
    deeds = await written(tmp_path / "records.db", CrashDisk(lies=True))
    place = tmp_path / "after.db"
    last = max(at for at, deed in enumerate(deeds) if deed.kind == "ack")
    faults = await faults_after(place, crash(deeds, last + 1, "lost", place))
    assert any("was acknowledged and is not there" in fault for fault in faults)


async def test_the_check_finds_an_acknowledgement_before_the_sync(tmp_path):
    deeds = await written(tmp_path / "records.db", CrashDisk())
    first = next(at for at, deed in enumerate(deeds) if deed.kind == "ack")
    place = tmp_path / "after.db"
    assert await faults_after(place, crash(deeds, first + 1, "lost", place)) == []

    async def told_at(moment):
        """The faults of a crash right after an acknowledgement that came at `moment`."""
        moved = [*deeds[:moment], deeds[first], *deeds[moment:first], *deeds[first + 1 :]]
        return await faults_after(place, crash(moved, moment + 1, "lost", place))

    # The loop may have told the caller after a later sync than that of its commit: take the first that suffices.
    syncs = [at for at in range(first) if deeds[at].kind == "sync" and deeds[at].part == "-wal"]
    early = [at for at in syncs if await told_at(at + 1) != []]
    synced = syncs[len(early)]
    assert await told_at(synced) == ["the Change 0 was acknowledged and is not there"]


async def test_the_check_finds_half_a_change(tmp_path):
    path = tmp_path / "records.db"
    await written(path, CrashDisk())
    connection = apsw.Connection(str(path))
    connection.execute("delete from event where run = 'run_4' and seq = 3")
    connection.close()
    [fault] = await faults_after(path, set())
    assert fault.startswith("half a Change: run_4")
