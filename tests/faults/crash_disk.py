"""A disk that remembers in which order the records wrote and synced, and can show any moment at which it lost power.

`CrashDisk` is a file layer for SQLite over the real one. `Moment` rebuilds the files as a crash would leave them: what
was synced is there; of what was not, nothing, all, or any sectors of it. Deletions are durable at once, as SQLite asks
for them with the folder's sync.
"""

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import apsw
from msgspec import Struct

SECTOR = 512
Loss = Literal["lost", "kept", "torn"]
PARTS = {apsw.SQLITE_OPEN_MAIN_DB: "", apsw.SQLITE_OPEN_WAL: "-wal", apsw.SQLITE_OPEN_MAIN_JOURNAL: "-journal"}
_names = itertools.count(1)


class Deed(Struct):
    """One thing that happened: to a part of the records (`""`, `-wal`, `-journal`), or an `ack` of a Change."""

    kind: Literal["write", "truncate", "sync", "delete", "ack"]
    part: str = ""
    at: int = 0
    content: bytes = b""


class CrashDisk(apsw.VFS):
    """`lies`: syncs are told as done and do not happen."""

    def __init__(self, *, lies: bool = False) -> None:
        self.name = f"crash-disk-{next(_names)}"
        self.lies = lies
        self.deeds: list[Deed] = []
        super().__init__(self.name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        part = next((part for flag, part in PARTS.items() if flags[0] & flag), None)
        return CrashFile(name, flags, self, part)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        for part in PARTS.values():
            if part and filename.endswith(part):
                self.deeds.append(Deed("delete", part))

    def ack(self, number: int) -> None:
        self.deeds.append(Deed("ack", at=number))


class CrashFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], disk: CrashDisk, part: str | None) -> None:
        super().__init__("", name, flags)
        self._disk, self._part = disk, part

    def _note(self, kind: Any, at: int = 0, content: bytes = b"") -> None:
        if self._part is not None:
            self._disk.deeds.append(Deed(kind, self._part, at, content))

    def xWrite(self, data: Any, offset: int) -> None:
        self._note("write", offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._note("truncate", newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        if not self._disk.lies:
            self._note("sync")


class Part:
    """One file: what is on the platter, and what is on its way there."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.is_there = False
        self.waiting: list[Deed] = []

    def apply(self, deed: Deed) -> None:
        self.is_there = True
        if deed.kind == "truncate":
            del self.content[deed.at :]
            return
        if len(self.content) < deed.at:
            self.content.extend(bytes(deed.at - len(self.content)))
        self.content[deed.at : deed.at + len(deed.content)] = deed.content

    def take(self, deed: Deed) -> None:
        match deed.kind:
            case "sync":
                self.settle(lambda deed: [deed])
            case "delete":
                self.__init__()  # type: ignore[misc]
            case _:
                self.waiting.append(deed)

    def settle(self, what_is_left: Callable[[Deed], list[Deed]]) -> None:
        for deed in self.waiting:
            for one in what_is_left(deed):
                self.apply(one)
        self.waiting = []


def torn(deed: Deed, chance: random.Random) -> list[Deed]:
    """Some of the sectors that a write touches, or none of a truncation."""
    if deed.kind == "truncate":
        return [deed] if chance.random() < 0.5 else []
    left, start, end = [], deed.at, deed.at + len(deed.content)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        if chance.random() < 0.5:
            left.append(Deed("write", deed.part, start, deed.content[start - deed.at : stop - deed.at]))
        start = stop
    return left


def crash(deeds: list[Deed], count: int, loss: Loss, path: Path) -> set[int]:
    """Leaves at `path` what is there after the first `count` deeds; gives the Changes that were acknowledged."""
    parts = {part: Part() for part in PARTS.values()}
    acked = set()
    for deed in deeds[:count]:
        if deed.kind == "ack":
            acked.add(deed.at)
        else:
            parts[deed.part].take(deed)
    chance = random.Random(count)
    losses: dict[Loss, Callable[[Deed], list[Deed]]] = {
        "lost": lambda deed: [],
        "kept": lambda deed: [deed],
        "torn": lambda deed: torn(deed, chance),
    }
    for suffix, part in parts.items():
        part.settle(losses[loss])
        file = Path(f"{path}{suffix}")
        file.unlink(missing_ok=True)
        if part.is_there:
            file.write_bytes(part.content)
    Path(f"{path}-shm").unlink(missing_ok=True)
    return acked
