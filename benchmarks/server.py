"""Starts and ends the servers under test, and reads what the system says of them: processor time and memory.

Each server has a folder of its own in a temporary one, and a free port. It is started on the cores it may use, so its
hosts are there too. Every process that is started here is ended here, by force when it does not leave by itself.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks import agents

ALL_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = ALL_CORES[:1]
LOAD_CORES = ALL_CORES[1:2] or ALL_CORES
ROOT = Path(__file__).resolve().parent.parent
AGENTS = ("echo", "turn", "job", "burst", "paced", "steps")
START_WITHIN = 60.0
STOP_WITHIN = 5.0


class StartFailed(Exception):
    """A server did not say where it is."""


def on_cores(cores: list[int]) -> Callable[[], None]:
    """What a child calls before its program starts."""
    return lambda: os.sched_setaffinity(0, cores)


class Server:
    """A server process with its children. `port` is known once it is started."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name.replace(" ", "_")
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def read_port(self, line: bytes) -> int:
        raise NotImplementedError

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def start(self, cores: list[int]) -> None:
        self.prepare()
        with (self.folder / "said.txt").open("wb") as said:
            self._process = subprocess.Popen(
                self.command(), cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=said, preexec_fn=on_cores(cores),
            )  # fmt: skip
        ender = _Ender(self._process, START_WITHIN)
        line = self._process.stdout.readline()
        ender.call_off()
        if not line:
            self.stop()
            raise StartFailed(f"{self.name}: {(self.folder / 'said.txt').read_text(errors='replace')[-2000:]}")
        self.port = self.read_port(line)

    @staticmethod
    def environment() -> dict[str, str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PILOTHOUSE_")}
        return environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        children = children_of(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        end_by = time.monotonic() + STOP_WITHIN
        while any(map(is_alive, children)) and time.monotonic() < end_by:
            time.sleep(0.02)
        for child in filter(is_alive, children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def cpu(self) -> tuple[float, float]:
        """Seconds of the server and of its children, all threads."""
        pid = self._process.pid
        return cpu_of(pid), sum(map(cpu_of, children_of(pid)))

    def memory(self) -> tuple[float, float]:
        """Resident MB of the server and of its children."""
        pid = self._process.pid
        return memory_of(pid), sum(map(memory_of, children_of(pid)))

    def own_memory(self) -> float:
        """MB of the server and its children with each page that processes share counted once."""
        pid = self._process.pid
        return sum(map(proportional_memory_of, [pid, *children_of(pid)]))


class BareServer(Server):
    name = "bare Starlette"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "benchmarks.bare", str(self.folder)]

    def read_port(self, line: bytes) -> int:
        return int(line)


class NodeServer(Server):
    """`pilothouse serve` as it comes: agents in a host."""

    name = "host"
    isolation = "process"

    def prepare(self) -> None:
        super().prepare()
        shutil.copyfile(agents.__file__, self.folder / "bench_agents.py")
        lines = ["[records]", 'url = "sqlite:///bench.db"', "[server]", "grace_seconds = 1", "[worker]"]
        lines.append(f'isolation = "{self.isolation}"')
        for name in AGENTS:
            lines += [f"[agents.{name}]", f'target = "bench_agents:{name}"']
        (self.folder / "pilothouse.toml").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "pilothouse", "serve", "--port", "0", "--json"]

    def read_port(self, line: bytes) -> int:
        return int(msgspec.json.decode(line)["url"].rsplit(":", 1)[1])


class InlineServer(NodeServer):
    """Agents in the node's own process."""

    name = "inline"
    isolation = "inline"


KINDS = (BareServer, NodeServer, InlineServer)


@contextlib.contextmanager
def serving(folder: Path, cores: list[int]) -> Iterator[list[Server]]:
    servers: list[Server] = [kind(folder) for kind in KINDS]
    try:
        for server in servers:
            server.start(cores)
        yield servers
    finally:
        for server in servers:
            server.stop()


class _Ender:
    """Ends a process that says nothing in time, so that reading from it ends as well."""

    def __init__(self, process: subprocess.Popen[bytes], within: float) -> None:
        self._timer = threading.Timer(within, process.kill)
        self._timer.daemon = True
        self._timer.start()

    def call_off(self) -> None:
        self._timer.cancel()
        self._timer.join()


def children_of(pid: int) -> list[int]:
    """All processes below one."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                found += [int(child), *children_of(int(child))]
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def cpu_of(pid: int) -> float:
    """Seconds of all living threads, from the scheduler, which counts nanoseconds."""
    total = 0
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
    return total / 1e9


def memory_of(pid: int) -> float:
    return _megabytes(Path(f"/proc/{pid}/status"), "VmRSS:")


def proportional_memory_of(pid: int) -> float:
    return _megabytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def _megabytes(file: Path, name: str) -> float:
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    return 0.0
