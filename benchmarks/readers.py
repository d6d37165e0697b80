"""Readers of one run's events, many in a process: `python -m benchmarks.readers PORT RUN COUNT`.

Prints a line once each of them has its first bytes, and keeps them open until its input ends. Several of these
processes make ten thousand readers without the load's own loop in the way.
"""

import contextlib
import resource
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.load import connect, get
from benchmarks.server import LOAD_CORES, ROOT, on_cores

IN_ONE = 2_500
"""Readers of one process."""


def allow_open_files() -> None:
    """As many as the system lets us have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def reading(port: int, run: str, count: int) -> Iterator[None]:
    """Raises `OSError` when one of the readers is not let in."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for start in range(0, count, IN_ONE):
            words = [str(port), run, str(min(IN_ONE, count - start))]
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.readers", *words],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    preexec_fn=on_cores(LOAD_CORES),
                )
            )
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != b"reading\n":
                raise OSError("not all readers were let in")
        yield
    finally:
        for process in processes:
            process.communicate()


def main(port: int, run: str, count: int) -> None:
    allow_open_files()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            reader = stack.enter_context(connect(port, 60.0))
            reader.sendall(get(f"/v1/runs/{run}/events"))
            if not reader.recv(65_536).startswith(b"HTTP/1.1 200"):
                sys.exit("refused")
        print("reading", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
