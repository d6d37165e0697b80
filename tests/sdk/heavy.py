"""Functions that steps of pools run: a process of a pool imports them from here."""

import os
import signal
import time
from pathlib import Path

from pilothouse import idempotency_key


def square(number: int) -> dict[str, int]:
    return {"square": number * number, "pid": os.getpid()}


async def later(text: str) -> str:
    return text.upper()


def key() -> str | None:
    return idempotency_key()


def long_text(size: int) -> str:
    return "x" * size


def fail(text: str) -> None:
    raise LookupError(text)


def die_once(mark: str) -> int:
    """Killed in the middle the first time; the second process sees that and does the work."""
    path = Path(mark)
    path.write_text(path.read_text() + "x" if path.exists() else "x")
    if len(path.read_text()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(path.read_text())


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hold(gate: str, mark: str) -> int:
    """Says that it runs, and goes on until the gate is there or its process is killed."""
    draft = Path(f"{mark}.draft")
    draft.write_text(str(os.getpid()))
    draft.rename(mark)
    while not Path(gate).exists():
        time.sleep(0.005)
    return os.getpid()
