"""What user code prints, as lines that belong to a run.

`sys.stdout` and `sys.stderr` become writers that cut text into lines and find the run by context variable, so that
lines from tasks and from the threads of sync code are told apart. What C code writes to the file descriptors goes on to
the node as it did. Only whole lines are told; what an attempt left without a newline is told before its last word, so
that no line arrives under a slot that has a new owner.

Writers are called from any thread: they hold a lock for as long as it takes to note a line, and the loop sends.
"""

import asyncio
import io
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from pilothouse.sdk.failure import speakable
from pilothouse.sdk.scope import Place, attempt_here
from pilothouse.wire.frames import Log, Message

LINES_LIMIT = 10_000
"""Lines that may wait to be sent; more are counted and dropped."""

NOWHERE = -1
CUT_MARK = " …[cut]"


class Lines:
    """The lines that were printed and not sent yet. `open` begins the sending; before it lines are only kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._originals = sys.stdout, sys.stderr
        self._lock = threading.RLock()
        self._whole: list[tuple[Place | None, str, str]] = []
        self._begun: dict[tuple[Place | None, str], str] = {}
        self._dropped = 0
        self._is_scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._send: Callable[[Message], None] | None = None

    def open(self, loop: asyncio.AbstractEventLoop, send: Callable[[Message], None]) -> None:
        self._loop, self._send = loop, send
        self._flush()

    def write(self, stream: str, text: str) -> None:
        place = attempt_here.get()
        with self._lock:
            *whole, rest = (self._begun.pop((place, stream), "") + text).split("\n")
            for line in whole:
                self._note(place, stream, line)
            if rest:
                self._begun[(place, stream)] = rest[: self._limit + 1]  # what goes beyond is cut anyhow
            self._schedule()

    def _note(self, place: Place | None, stream: str, line: str) -> None:
        if len(self._whole) >= LINES_LIMIT:
            self._dropped += 1
            return
        line = line if len(line) <= self._limit else line[: self._limit] + CUT_MARK
        self._whole.append((place, stream, speakable(line)))

    def _schedule(self) -> None:
        if self._whole and not self._is_scheduled and self._loop is not None and not self._loop.is_closed():
            self._is_scheduled = True
            self._loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            self._is_scheduled = False
            whole, self._whole = self._whole, []
            dropped, self._dropped = self._dropped, 0
        if self._send is None:  # there is no link yet
            return
        for place, stream, line in whole:
            self._send(Log(NOWHERE if place is None or place.is_over else place.slot, stream, line))
        if dropped:
            self._send(Log(NOWHERE, "stderr", f"{dropped} more lines were printed too fast and dropped"))

    def flush_ended(self, place: Place) -> None:
        """Sends what an attempt printed; called on the loop before its last word."""
        with self._lock:
            for stream in ("stdout", "stderr"):
                rest = self._begun.pop((place, stream), "")
                if rest:
                    self._note(place, stream, rest)
            has_lines = bool(self._whole)
        if has_lines:
            self._flush()

    def release(self) -> None:
        """Puts the streams back; what was not sent goes to them, and so to the node's pipe."""
        sys.stdout, sys.stderr = self._originals
        with self._lock:
            for place, stream in list(self._begun):
                self._note(place, stream, self._begun.pop((place, stream)))
            whole, self._whole = self._whole, []
        for _, stream, line in whole:
            (sys.stdout if stream == "stdout" else sys.stderr).write(f"{line}\n")


class LineWriter(io.TextIOBase):
    """Stands in for `sys.stdout` or `sys.stderr`."""

    def __init__(self, lines: Lines, stream: str, original: TextIO) -> None:
        self._lines = lines
        self._stream = stream
        self._original = original

    def write(self, text: str) -> int:
        self._lines.write(self._stream, text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """The real one, for programs that user code starts."""
        return self._original.fileno()

    def isatty(self) -> bool:
        return False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"

    @property
    def buffer(self) -> Any:
        """Bytes go past the lines, to the file descriptor."""
        return self._original.buffer

    def flush(self) -> None:
        """Lines are told when they are whole; there is nothing to hurry."""


def capture(limit: int) -> Lines:
    """Replaces `sys.stdout` and `sys.stderr`. Lines wait until `open`."""
    lines = Lines(limit)
    sys.stdout = LineWriter(lines, "stdout", sys.stdout)
    sys.stderr = LineWriter(lines, "stderr", sys.stderr)
    return lines
