"""Runs this very command once more in a child process, and again whenever the project changes.

The parent imports nothing of the project. It gives the child time to end in order and then ends it by force, leaves
with it on Ctrl-C or SIGTERM, and waits for the next change when the child ended by itself.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from pilothouse.cli.exits import Exit
from pilothouse.compute.reload import watch_changes

STOP_WITHIN = 10.0
NAMES_SHOWN = 3


class NodeChild:
    """The child that runs the node. `stop` of one that has ended does nothing."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        command = [sys.executable, "-m", "pilothouse", *sys.argv[1:], "--no-reload", "--tied-to", str(reading)]
        try:
            self._process = subprocess.Popen(command, pass_fds=(reading,))
        finally:
            os.close(reading)

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        with contextlib.suppress(OSError):
            os.close(self._writing)
        return self._process.returncode


def run_on_changes(folder: Path) -> int:
    """Until Ctrl-C or SIGTERM; the exit code is that of the last child."""
    asked = threading.Event()
    with _asked_by_signals(asked):
        child = NodeChild()
        is_told = False
        try:
            for changed in watch_changes(folder, asked):
                if changed:
                    click.echo(f"Changed: {_names(changed, folder)}. Starting again.", err=True)
                    child.stop()
                    child = NodeChild()
                    is_told = False
                elif child.exit_code() is not None and not is_told:
                    click.echo("The node has ended. Waiting for a change; Ctrl-C leaves.", err=True)
                    is_told = True
        finally:
            code = child.stop()
    return code if code >= 0 else Exit.FAULT


@contextlib.contextmanager
def _asked_by_signals(asked: threading.Event) -> Iterator[None]:
    """Ctrl-C reaches the child too, by the terminal; SIGTERM reaches only this process."""

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _names(changed: set[Path], folder: Path) -> str:
    names = sorted(str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name for path in changed)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
