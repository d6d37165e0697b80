"""The limit of a journal: steps of many runs appended to a plain file, and the same through our records alone.

Run as `python -m benchmarks.journal KIND FOLDER RUNS SECONDS WARM`; prints steps a second and microseconds of
processor time a step as JSON. `file` writes what waits, calls fdatasync once, then wakes everybody who waited: the
best that any journal can do on this disk. The file is written over, so its size and blocks are settled before.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import uvloop

from benchmarks.plan import Plan, Sample
from benchmarks.server import ROOT, SERVER_CORES, on_cores

LINE = b'{"key":"nothing","kind":"step","output":{"role":"tool","content":"' + b"x" * 170 + b'"}}\n'
FILE_SIZE = 16 * 1024 * 1024
KINDS = ("file", "records")


class File:
    """Group commit over one file: while one batch is written and synced, the next gathers."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.write(self._file, bytes(FILE_SIZE))
        os.fsync(self._file)
        self._at = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._is_writing = False

    def append(self) -> asyncio.Future[None]:
        future = self._loop.create_future()
        self._waiting.append(future)
        if not self._is_writing:
            self._is_writing = True
            self._loop.call_soon(self._begin)
        return future

    def _begin(self) -> None:
        batch, self._waiting = self._waiting, []
        self._is_writing = bool(batch)
        if batch:
            self._loop.run_in_executor(None, self._write, batch)

    def _write(self, batch: list[asyncio.Future[None]]) -> None:
        data = LINE * len(batch)
        if self._at + len(data) > FILE_SIZE:
            self._at = 0
        self._at += os.pwrite(self._file, data, self._at)
        os.fdatasync(self._file)
        self._loop.call_soon_threadsafe(self._wake, batch)

    def _wake(self, batch: list[asyncio.Future[None]]) -> None:
        for future in batch:
            if not future.done():
                future.set_result(None)
        self._loop.call_soon(self._begin)


async def count(seconds: float, warm: float, appends: list[Callable[[int], Awaitable[object]]]) -> tuple[float, float]:
    """Steps a second and microseconds a step, of runs that append one step after the other."""
    done = 0

    async def perform(append: Callable[[int], Awaitable[object]]) -> None:
        nonlocal done
        number = 0
        while True:
            await append(number)
            number += 1
            done += 1

    tasks = [asyncio.ensure_future(perform(one)) for one in appends]
    await asyncio.sleep(warm)
    done_before, cpu_before, began_at = done, time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    steps, cpu, span = done - done_before, time.process_time() - cpu_before, time.perf_counter() - began_at
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=5)
    return steps / span, cpu / steps * 1e6 if steps else 0.0


async def count_file(folder: Path, runs: int, seconds: float, warm: float) -> tuple[float, float]:
    file = File(folder / "journal.txt")
    return await count(seconds, warm, [lambda number: file.append()] * runs)


async def count_records(folder: Path, runs: int, seconds: float, warm: float) -> tuple[float, float]:
    from pilothouse.storage.records.sqlite import SqliteRecords
    from pilothouse.testing.records.build import born, ended, fence, put, step

    path = folder / "records.db"
    records = SqliteRecords(f"sqlite:///{path}")
    await records.open()
    try:
        for number in range(runs):
            await put(records, born(f"run_{number}"))

        def appender(run: str) -> Callable[[int], Awaitable[object]]:
            return lambda number: put(records, fence(run), step(run, ended(f"nothing:{number}", LINE[:-1])))

        return await count(seconds, warm, [appender(f"run_{number}") for number in range(runs)])
    finally:
        await records.close()
        path.unlink()


async def measure_alone(plan: Plan, kind: str, folder: Path, runs: int) -> Sample:
    """One sample in a process of its own on the server's core."""
    command = [sys.executable, "-m", "benchmarks.journal", kind, str(folder), str(runs), str(plan.seconds)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(
        [*command, str(plan.warm)], capture_output=True, env=environ, timeout=plan.seconds + plan.warm + 20,
        preexec_fn=on_cores(SERVER_CORES), check=True,
    )  # fmt: skip
    per_second, cpu = msgspec.json.decode(done.stdout)
    return Sample(per_second=per_second, cpu_server_us=cpu)


async def main(kind: str, folder: Path, runs: int, seconds: float, warm: float) -> None:
    counting = count_file if kind == "file" else count_records
    print(msgspec.json.encode(await counting(folder, runs, seconds, warm)).decode())


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])))
