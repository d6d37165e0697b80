"""A watched folder: each file that is dropped into it is a message.

A file counts when it has not changed for a moment; names that begin with a dot or end in .part or .tmp never do.
What was taken in moves to `done`, a dead letter to `failed` beside its reason. The key is the name with the size and
the time of the last change: a file that was not moved after a crash is the same message, one that is dropped again is
another.
"""

import asyncio
import os
import time
from pathlib import Path

from pilothouse.domain.source import MESSAGE_LIMIT, Message
from pilothouse.ports.source import Incoming, Source

LOOK_EVERY = 0.5
SETTLE = 0.3
"""Seconds for which a file must not have changed."""
DONE, FAILED = "done", "failed"
UNFINISHED = (".part", ".tmp", ".crdownload")


class FileMessage(Incoming):
    def __init__(self, folder: "Folder", path: Path, message: Message) -> None:
        self._folder, self._path, self._message = folder, path, message

    @property
    def message(self) -> Message:
        return self._message

    async def ack(self) -> None:
        await asyncio.to_thread(self._move, DONE)

    async def nack(self, delay: float) -> None:
        self._folder.hold(self._path.name, delay)

    async def extend(self) -> None: ...

    async def dead_letter(self, reason: str) -> None:
        await asyncio.to_thread(self._move, FAILED, reason)

    def _move(self, into: str, reason: str | None = None) -> None:
        target = self._path.parent / into
        target.mkdir(exist_ok=True)
        place = target / self._path.name
        if place.exists():  # an earlier file of that name stays
            place = target / f"{self._path.stem}.{time.time_ns()}{self._path.suffix}"
        try:
            self._path.rename(place)
        except FileNotFoundError:
            return  # another node, or a person, was faster
        if reason is not None:
            place.with_name(f"{place.name}.reason.txt").write_text(reason + "\n", encoding="utf-8")


class Folder(Source):
    """`pattern` as in `*.json`."""

    extend_every = 60.0

    def __init__(self, path: Path, pattern: str = "*", settle: float = SETTLE) -> None:
        self._path, self._pattern, self._settle = path, pattern, settle
        self._held: dict[str, float] = {}

    async def want(self, count: int) -> list[Incoming]:
        found = await asyncio.to_thread(self._look, count)
        if not found:
            await asyncio.sleep(LOOK_EVERY)
        return found

    def hold(self, name: str, delay: float) -> None:
        """The file is left alone for a while."""
        self._held[name] = time.monotonic() + delay

    def _look(self, count: int) -> list[Incoming]:
        """The oldest files first. What else is in the folder is left alone."""
        self._path.mkdir(parents=True, exist_ok=True)
        now = time.monotonic()
        self._held = {name: until for name, until in self._held.items() if until > now}
        files = []
        for path in self._path.glob(self._pattern):
            if path.name.startswith(".") or path.suffix in UNFINISHED or path.name in self._held:
                continue
            try:
                facts = path.lstat()
            except FileNotFoundError:
                continue
            if path.is_file() and not path.is_symlink() and time.time() - facts.st_mtime >= self._settle:
                files.append((facts.st_mtime_ns, path, facts))
        files.sort(key=lambda one: (one[0], one[1].name))
        return [self._read(path, facts) for _, path, facts in files[:count]]

    def _read(self, path: Path, facts: os.stat_result) -> Incoming:
        """Of a file that is too large so much that it is seen to be."""
        try:
            with path.open("rb") as file:
                body = file.read(MESSAGE_LIMIT + 1)
        except OSError:
            body = b""
        key = f"{path.name} {facts.st_size} {facts.st_mtime_ns}"
        return FileMessage(self, path, Message(key=key, body=body, attributes={"name": path.name}))

    async def close(self) -> None:
        self._held.clear()
