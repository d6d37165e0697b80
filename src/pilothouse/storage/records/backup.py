"""Backup and restore: copies that were read back before anybody relies on them.

A backup is taken from one snapshot while writes go on; meanwhile the WAL cannot start anew, so it grows by what is
written. The copy is verified, synced, and only then gets its name; a file that is there is never overwritten. The
result is one plain file without a WAL. Restore does the same the other way round, under the lock of the node.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from pilothouse.errors import RecordsInvalid
from pilothouse.storage.records.lock import FileLock
from pilothouse.storage.records.migrate import check_applied, migrations, refuse_foreign
from pilothouse.storage.records.place import Place, explained
from pilothouse.storage.records.verify import Facts, facts_of, verify

Progress = Callable[[int, int], None]

PAGES_AT_ONCE = 256
PARTIAL = ".partial-"


def backup(place: Place, target: str, progress: Progress) -> None:
    """Copies the records, which may be in use, to the new file `target`."""
    path = Path(os.path.realpath(target))
    if path.exists():
        raise RecordsInvalid(reason=f"{path.name} is there already", hint="Choose a name that is not taken.")
    with _partial(path) as partial, place.reading() as source:
        # The first read fixes the snapshot: what is copied below is what these facts tell of.
        source.execute("begin")
        try:
            facts = facts_of(source)
            _copy(source, partial, progress)
        finally:
            source.execute("rollback")
        _check(partial, facts)
        _publish(partial, path)


def restore(source: str, target: str, *, force: bool = False, progress: Progress = lambda done, total: None) -> None:
    """Makes the records `target` what the backup `source` holds. Refuses when a node uses `target`, when `target` is
    there and it is not `force`d, and when the backup is damaged or of a newer release; then nothing was touched."""
    origin, path = Path(os.path.realpath(source)), Path(os.path.realpath(target))
    if not origin.is_file():
        raise RecordsInvalid(reason=f"there is no backup {origin.name}", hint="Look at the name of the file.")
    lock = FileLock(path)
    lock.take()
    try:
        if path.exists() and not force:
            raise RecordsInvalid(
                reason=f"{path.name} is there already",
                hint="Restore to another file, or force it: what is there is then lost.",
            )
        with _partial(path) as partial:
            facts = _read_backup(origin, partial, progress)
            _check(partial, facts)
            _fold(path)
            os.replace(partial, path)
            _sync_folder(path)
    finally:
        lock.release()


def _read_backup(origin: Path, partial: Path, progress: Progress) -> Facts:
    with _opened(origin) as source:
        refuse_foreign(source)
        check_applied(source, migrations())
        verify(source, origin.name)
        _copy(source, partial, progress)
        return facts_of(source)


def _copy(source: apsw.Connection, partial: Path, progress: Progress) -> None:
    with _opened(partial) as copy:
        with copy.backup("main", source, "main") as work:
            while not work.done:
                work.step(PAGES_AT_ONCE)
                progress(work.page_count - work.remaining, work.page_count)
        copy.execute("pragma journal_mode = delete").fetchall()


def _check(partial: Path, facts: Facts) -> None:
    """Raises `RecordsInvalid` when the copy does not hold what the original did."""
    with _opened(partial) as copy:
        verify(copy, "the copy")
        if facts_of(copy) != facts:
            raise RecordsInvalid(reason="the copy does not hold what the original does", hint="Look at the disk.")
    with partial.open("rb") as file:
        os.fsync(file.fileno())


def _publish(partial: Path, path: Path) -> None:
    """Gives the copy its name; unlike a rename, a link never replaces what is there."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise RecordsInvalid(reason=f"{path.name} is there already", hint="Choose a name that is not taken.") from None
    _sync_folder(path)


def _fold(path: Path) -> None:
    """Removes what would be read as belonging to the restored file: the WAL of the one it replaces."""
    if path.exists():
        with suppress(apsw.Error, RecordsInvalid), _opened(path) as old:
            old.execute("select count(*) from sqlite_schema").fetchall()
        for suffix in ("-wal", "-shm", "-journal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _partial(path: Path) -> Iterator[Path]:
    """A name beside the target; nothing is left there in the end."""
    partial = path.with_name(f"{path.name}{PARTIAL}{os.getpid()}")
    try:
        partial.unlink(missing_ok=True)
        yield partial
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise RecordsInvalid(reason=f"{path.name} cannot be written: {why}", hint="Choose another folder.") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Iterator[apsw.Connection]:
    with explained(path.name.partition(PARTIAL)[0]):
        connection = apsw.Connection(str(path))
        try:
            yield connection
        finally:
            connection.close()
