"""One node per file: the second is refused with the name of the first, and a killed one leaves nothing to clean up."""

import os
import signal
import subprocess
import sys

import pytest

from pilothouse.errors import RecordsInvalid, RecordsLocked
from pilothouse.storage.records.sqlite import SqliteRecords

HOLDS = """
import asyncio, sys
from pilothouse.storage.records.sqlite import SqliteRecords

async def main():
    await SqliteRecords(sys.argv[1]).open()
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_second_node_is_refused_with_the_holder(records, path):
    with pytest.raises(RecordsLocked, match=f"process {os.getpid()} on "):
        await SqliteRecords(str(path)).open()


async def test_after_the_close_the_next_may_open_and_no_lock_is_left(records, path):
    await records.close()
    assert not path.with_name("records.db.lock").exists()
    again = SqliteRecords(f"sqlite:///{path}")
    await again.open()
    await again.close()


async def test_a_file_that_could_not_be_opened_is_not_locked(path):
    path.write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(RecordsInvalid, match="not a database"):
            await SqliteRecords(str(path)).open()


async def test_a_missing_folder_is_told_with_what_to_do(tmp_path):
    with pytest.raises(RecordsInvalid, match="cannot be written") as caught:
        await SqliteRecords(str(tmp_path / "nowhere" / "records.db")).open()
    assert "folder" in caught.value.hint


@pytest.mark.slow
async def test_the_lock_of_a_killed_node_is_free(path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(RecordsLocked, match=f"process {holder.pid} on "):
            await SqliteRecords(str(path)).open()
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(10)
    finally:
        holder.kill()
        holder.communicate()
    records = SqliteRecords(str(path))
    await records.open()
    await records.close()
