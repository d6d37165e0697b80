"""Backup and restore: taken while the records are written, read back, and never over what is there."""

import asyncio
import contextlib

import apsw
import pytest

from pilothouse.errors import RecordsInvalid, RecordsLocked
from pilothouse.storage.records import backup as backup_module
from pilothouse.storage.records.backup import restore
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import LONG, TENANT, born, finish, put, queued, told


def silent(done, total):
    """Nobody watches."""


async def filled(records, count=20):
    for number in range(count):
        run = f"run_{number}"
        long = LONG[:-2] + b'%d"' % number
        await put(records, born(run), told(run, "run.started"))
        await put(records, finish(run, output=long), told(run, "run.succeeded"))


async def runs_in(path):
    records = SqliteRecords(str(path))
    await records.open()
    try:
        found = [await records.get_run(TENANT, f"run_{number}") for number in range(20)]
        return [None if run is None else run.output for run in found]
    finally:
        await records.close()


async def test_a_backup_is_one_whole_file_that_holds_everything(records, tmp_path):
    await filled(records)
    target = tmp_path / "copy.db"
    told_of = []
    await records.backup(str(target), lambda done, total: told_of.append((done, total)))
    await asyncio.sleep(0)
    assert told_of[-1][0] == told_of[-1][1] > 0
    assert sorted(file.name for file in tmp_path.glob("copy*")) == ["copy.db"]
    outputs = await runs_in(target)
    assert len(set(outputs)) == 20
    assert None not in outputs


async def test_a_backup_is_one_moment_of_records_that_are_written_meanwhile(records, tmp_path):
    await filled(records)
    is_over = False

    async def writes():
        number = 100
        while not is_over:
            await put(records, queued(f"run_{number}"), told(f"run_{number}", "run.queued"))
            number += 1
        return number - 100

    writer = asyncio.create_task(writes())
    target = tmp_path / "copy.db"
    await records.backup(str(target), silent)
    is_over = True
    assert await writer > 0
    with contextlib.closing(apsw.Connection(str(target))) as copy:
        [(runs,)] = copy.execute("select count(*) from run").fetchall()
        [(born_events,)] = copy.execute("select count(*) from event where seq = 1").fetchall()
    assert runs == born_events >= 20


async def test_a_backup_never_overwrites(records, tmp_path):
    target = tmp_path / "copy.db"
    target.write_text("a letter")
    with pytest.raises(RecordsInvalid, match="is there already"):
        await records.backup(str(target), silent)
    assert target.read_text() == "a letter"


async def test_a_name_that_is_taken_while_the_backup_runs_is_not_overwritten(records, tmp_path):
    target = tmp_path / "copy.db"
    partial = tmp_path / "partial.db"
    partial.write_text("copy")
    target.write_text("a letter")
    with pytest.raises(RecordsInvalid, match="is there already"):
        backup_module._publish(partial, target)
    assert target.read_text() == "a letter"


async def test_a_backup_into_a_folder_that_is_not_there_says_so_and_leaves_nothing(records, tmp_path):
    with pytest.raises(RecordsInvalid):
        await records.backup(str(tmp_path / "nowhere" / "copy.db"), silent)
    assert sorted(file.name for file in tmp_path.iterdir() if "copy" in file.name or "nowhere" in file.name) == []


async def test_a_restore_brings_back_what_was_backed_up(records, path, tmp_path):
    await filled(records)
    copy, target = tmp_path / "copy.db", tmp_path / "restored.db"
    await records.backup(str(copy), silent)
    restore(str(copy), str(target))
    assert await runs_in(target) == await runs_in(copy)


async def test_a_restore_over_records_needs_force_and_then_forgets_their_wal(records, path, tmp_path):
    await filled(records)
    copy = tmp_path / "copy.db"
    await records.backup(str(copy), silent)
    await put(records, queued("run_late"))
    await records.close()
    with pytest.raises(RecordsInvalid, match="is there already"):
        restore(str(copy), str(path))
    restore(str(copy), str(path), force=True)
    restored = SqliteRecords(str(path))
    await restored.open()
    assert await restored.get_run(TENANT, "run_late") is None
    assert await restored.get_run(TENANT, "run_1") is not None
    await restored.close()


async def test_a_restore_under_a_running_node_is_refused(records, path, tmp_path):
    copy = tmp_path / "copy.db"
    await records.backup(str(copy), silent)
    with pytest.raises(RecordsLocked):
        restore(str(copy), str(path), force=True)


@pytest.mark.parametrize("damage", ["cut", "scribbled", "payload", "letter", "missing"])
async def test_a_damaged_backup_is_refused_and_nothing_is_touched(records, path, tmp_path, damage):
    await filled(records)
    copy = tmp_path / "copy.db"
    await records.backup(str(copy), silent)
    await records.close()
    before = path.read_bytes()
    content = bytearray(copy.read_bytes())
    match damage:
        case "cut":
            copy.write_bytes(content[: len(content) // 2])
        case "scribbled":
            content[4096 * 3 : 4096 * 40] = bytes(4096 * 37)
            copy.write_bytes(content)
        case "payload":
            with contextlib.closing(apsw.Connection(str(copy))) as connection:
                connection.execute("delete from payload where pos = 3")
        case "letter":
            copy.write_bytes(b"a letter to nobody " * 500)
        case "missing":
            copy.unlink()
    with pytest.raises(RecordsInvalid):
        restore(str(copy), str(path), force=True)
    assert path.read_bytes() == before
    assert not [file for file in tmp_path.iterdir() if "partial" in file.name]
