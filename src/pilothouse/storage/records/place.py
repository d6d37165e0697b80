"""Where the records are, and how they are opened: the URL, the connections and the pre-grown WAL.

`:memory:` is SQLite's own memory file, so that the very same statements run there; it has no WAL, hence readers and
the writer take turns with `Place.gate`. A file never needs the gate: readers of a WAL do not wait for the writer.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

import apsw

from pilothouse.errors import RecordsInvalid
from pilothouse.storage.records.options import PAGE, SqliteOptions
from pilothouse.storage.records.statements import load

MINIMUM = 3_051_003
"""Older libraries can corrupt a WAL that two connections write and check-point (WAL-reset bug, mended in 3.51.3)."""

APPLICATION_ID = 0x50494C48
"""Marks a file as ours ("PILH"), so that the database of another program is never migrated."""

STATEMENTS_KEPT = 512
_memories = itertools.count(1)


class FileConnection(apsw.Connection):
    """A connection that runs named statements."""

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        shapes = load()[name].shapes
        answer: list[Any] = []
        start, left = 0, len(rows)
        while left:
            size = 64 if left >= 64 else 16 if left >= 16 else 4 if left >= 4 else 1
            bindings = rows[start] if size == 1 else tuple(chain.from_iterable(rows[start : start + size]))
            answer += self.execute(shapes[size], bindings).fetchall()
            start += size
            left -= size
        return answer

    def ask(self, name: str, values: dict[str, Any]) -> list[Any]:
        return self.execute(load()[name].text, values).fetchall()


class Place:
    """One file, or one piece of memory."""

    def __init__(self, url: str, options: SqliteOptions) -> None:
        self.options = options
        self.path = file_of(url)
        self._name = str(self.path) if self.path else f"file:/pilothouse-{os.getpid()}-{next(_memories)}?vfs=memdb"
        self._lock = Lock()

    @property
    def shown(self) -> str:
        """The name for people: of the file, never the folders of the server."""
        return self.path.name if self.path else ":memory:"

    def gate(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext() if self.path else self._lock

    def connect(self, *, writes: bool = False) -> FileConnection:
        """A new connection."""
        options = self.options
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        with explained(self.shown):
            connection = FileConnection(self._name, flags=flags, vfs=options.vfs, statementcachesize=STATEMENTS_KEPT)
            connection.set_busy_timeout(int(options.busy_after * 1000))
            # FULL: NORMAL loses acknowledged commits in a power cut. The writer alone decides when to check-point.
            for pragma in (
                f"journal_mode = {'wal' if self.path else 'memory'}",
                f"journal_size_limit = {options.wal_size}",
                "synchronous = full",
                "temp_store = memory",
                "wal_autocheckpoint = 0",
                f"cache_size = {-(options.writer_cache_size if writes else options.cache_size) // 1024}",
                f"query_only = {0 if writes else 1}",
            ):
                connection.execute(f"pragma {pragma}").fetchall()
        return connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[FileConnection]:
        """A connection for one long read. It holds the gate: memory is copied while nobody writes."""
        with self.gate():
            connection = self.connect()
            try:
                yield connection
            finally:
                connection.close()

    def grow_wal(self) -> None:
        if self.path and self.options.wal_size:
            grow_wal(self.path, self.options.wal_size)


def refuse_old_library() -> None:
    if sqlite_library() < MINIMUM:
        raise RecordsInvalid(
            reason=f"the SQLite library is {apsw.sqlite_lib_version()}, which can corrupt them",
            hint="Install apsw 3.51.3 or newer.",
        )


def sqlite_library() -> int:
    major, minor, patch = (int(part) for part in apsw.sqlite_lib_version().split("."))
    return major * 1_000_000 + minor * 1000 + patch


def file_of(url: str) -> Path | None:
    """The file of `sqlite:///relative`, `sqlite:////absolute` or a plain path; None for memory."""
    path = url
    if url.startswith("sqlite:"):
        if not url.startswith("sqlite://"):
            raise RecordsInvalid(reason=f"{url!r} is not a URL of SQLite", hint="Write sqlite:///pilothouse.db.")
        path = url.removeprefix("sqlite://").removeprefix("/") or ":memory:"
    elif "://" in url:
        raise RecordsInvalid(reason=f"{url.split(':')[0]!r} is not SQLite", hint="Write sqlite:///pilothouse.db.")
    return None if path == ":memory:" else Path(os.path.realpath(path))


def grow_wal(path: Path, size: int) -> None:
    """Writes zeros behind the WAL, where its next frames will be. SQLite takes a frame only when its salt and checksum
    match, so to it nothing is there; to the file system the blocks are allocated, and a commit is one write without a
    change of metadata. Before the writer starts, and after the file has a page (beside an empty file SQLite removes
    the WAL)."""
    block = bytes(256 * PAGE)
    with contextlib.suppress(OSError), Path(f"{path}-wal").open("ab") as file:
        while file.tell() < size:
            file.write(block)
        os.fsync(file.fileno())


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Turns what SQLite says while the file is opened into an error for people."""
    try:
        yield
    except apsw.Error as error:
        raise RecordsInvalid(reason=reason_of(error, name)) from error


def reason_of(error: apsw.Error, name: str) -> str:
    reasons: dict[type[apsw.Error], str] = {
        apsw.NotADBError: f"{name} is not a database file",
        apsw.CorruptError: f"{name} is damaged",
        apsw.CantOpenError: f"{name} cannot be opened; its folder is missing or not writable",
        apsw.ReadOnlyError: f"{name} or its folder is not writable",
        apsw.FullError: f"the disk of {name} is full",
        apsw.BusyError: f"another program holds a lock on {name}",
        apsw.IOError: f"{name} cannot be read or written",
    }
    for kind, reason in reasons.items():
        if isinstance(error, kind):
            return reason
    return f"{name}: {type(error).__name__}"
