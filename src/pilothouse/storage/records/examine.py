"""What an operator can learn of records without touching them: who uses them, their layout, whether they are whole.

The file is opened for reading only and never migrated, so that a look can be taken at any time, beside the node that
uses it. What is wrong is raised as the error that opening them would raise.
"""

from contextlib import closing
from pathlib import Path

import apsw
from msgspec import Struct

from pilothouse.errors import RecordsLocked
from pilothouse.storage.records.lock import FileLock
from pilothouse.storage.records.migrate import check_applied, migrations, refuse_foreign
from pilothouse.storage.records.place import explained, refuse_old_library
from pilothouse.storage.records.verify import verify


class Examination(Struct, frozen=True):
    """`holder` None: no node uses them now. `version` is their layout, `newest` the one this release would bring them
    to. `is_verified` False: they were too large to be read whole."""

    holder: str | None
    version: int
    newest: int
    is_verified: bool


def library_version() -> str:
    """Of the SQLite library that is used. Raises `RecordsInvalid` when it can damage records."""
    refuse_old_library()
    return apsw.sqlite_lib_version()


def find_holder(path: Path) -> str | None:
    """The node that uses the records, if one does."""
    if not Path(f"{path}.lock").exists():
        return None
    lock = FileLock(path)
    try:
        lock.take()
    except RecordsLocked as error:
        return str(error.facts["holder"])
    lock.release()
    return None


def examine(path: Path, verify_up_to: int) -> Examination:
    """Looks at the records in the file, which is there. Raises `RecordsInvalid` when they are damaged, foreign or of a
    newer release. Files over `verify_up_to` bytes are not read whole."""
    known = migrations()
    holder = find_holder(path)
    is_small = path.stat().st_size <= verify_up_to
    with explained(path.name), closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        refuse_foreign(connection)
        version = check_applied(connection, known)
        if version and is_small:
            verify(connection, path.name)
    return Examination(holder, version, len(known), is_small and version > 0)
