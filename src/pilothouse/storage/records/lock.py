"""One node per file: a lock of the operating system beside the records, with the name of its holder inside.

The kernel releases the lock when the process ends, however it ends, so a killed node leaves nothing to clean up. The
lock is on an open file and not on the process: a second `open` within one process is refused as well.
"""

import fcntl
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, json

from pilothouse.errors import RecordsInvalid, RecordsLocked

TRIES = 10
HOLDER_LIMIT = 1024


class Holder(Struct, frozen=True):
    pid: int
    host: str
    started_at: float

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.started_at, UTC).isoformat(timespec="seconds")
        return f"process {self.pid} on {self.host} since {since}"


class FileLock:
    """`take` and `release`; a second release does nothing."""

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises `RecordsLocked` with the holder when somebody has it."""
        for _ in range(TRIES):
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                held = os.pread(descriptor, HOLDER_LIMIT, 0)
                os.close(descriptor)
                raise RecordsLocked(holder=_read(held)) from None
            if self._is_current(descriptor):
                holder = Holder(os.getpid(), socket.gethostname(), time.time())
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.encode(holder), 0)
                self._descriptor = descriptor
                return
            os.close(descriptor)
        raise RecordsLocked(holder="several that start at the same time")

    def release(self) -> None:
        """Removes the file before it lets go: whoever opened it meanwhile sees that it is not current."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise RecordsInvalid(
                reason=f"a file beside {self._path.stem} cannot be written: {why}",
                hint="Make the folder of the records and let this user write to it, or choose another one.",
            ) from error

    def _is_current(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False


def _read(held: bytes) -> str:
    try:
        return str(json.decode(held, type=Holder))
    except ValueError:
        return "a process that is just starting"
