"""The folder where made environments are kept, and who may touch what in it.

An environment is two things: a folder `DIGEST-RANDOM`, which one build fills, and `DIGEST.json`, which names that
folder and is put there by a rename when all is done and on the disk. What no `.json` names was never finished, and is
never used. `DIGEST.lock` is held shared by who uses an environment and alone by who makes or removes it; the kernel
lets go of it when its holders are gone, however they went.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import time
from pathlib import Path

import msgspec
from msgspec import Struct

LOOK_LIMIT = 1000
HEX = re.compile(r"[0-9a-f]+\Z")


class Made(Struct, frozen=True, kw_only=True):
    """What is known of an environment that is ready. Instants are seconds since 1970 UTC, `size` is bytes on the disk.
    `used_at` is when a node or a build last asked for it."""

    digest: str
    folder: str
    label: str
    python: str
    packages: int
    size: int
    made_at: float
    seconds: float
    tool: str
    used_at: float = 0.0


class Lock:
    """One holder's hold on an environment. Closing it twice does nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1
        self._open()

    def _open(self) -> None:
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def take(self, *, shared: bool) -> bool:
        """Whether it was to be had at once. A file that was removed meanwhile holds nobody out: it is opened anew."""
        while True:
            try:
                fcntl.flock(self.fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            with contextlib.suppress(FileNotFoundError):
                if os.fstat(self.fd).st_ino == os.stat(self.path).st_ino:
                    return True
            self.close()
            self._open()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Shelf:
    """The environments in one folder; several nodes may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Makes the folder, and keeps it out of the project's repository."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ignored = self.folder / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n")

    def lock(self, digest: str) -> Lock:
        return Lock(self.folder / f"{digest}.lock")

    def find(self, digest: str) -> Made | None:
        """The environment, when it is ready and its interpreter still is where it was."""
        marker = self._marker(digest)
        try:
            made = msgspec.json.decode(marker.read_bytes(), type=Made)
            used_at = marker.stat().st_mtime
        except (OSError, msgspec.DecodeError):
            return None
        if not self.interpreter(made).exists():
            return None
        return msgspec.structs.replace(made, used_at=used_at)

    def interpreter(self, made: Made) -> Path:
        return self.folder / made.folder / "bin" / "python"

    def new_folder(self, digest: str) -> Path:
        """Where a build may work: nobody else has this name, not even what is left of a build that was killed."""
        return self.folder / f"{digest}-{secrets.token_hex(4)}"

    def publish(self, made: Made) -> None:
        """From now on it is ready. Called with the lock held alone, when the folder is complete."""
        os.sync()
        scratch = self.folder / f".{made.digest}-{secrets.token_hex(4)}.json"
        with scratch.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(made)))
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(self._marker(made.digest))

    def touch(self, digest: str) -> None:
        with contextlib.suppress(OSError):
            os.utime(self._marker(digest), (time.time(), time.time()))

    def all(self) -> list[Made]:
        """What is ready, the last used first."""
        try:
            digests = sorted(path.stem for path in self.folder.glob("*.json") if not path.name.startswith("."))
        except OSError:
            return []
        found = [made for digest in digests[:LOOK_LIMIT] if (made := self.find(digest)) is not None]
        return sorted(found, key=lambda made: -made.used_at)

    def is_used(self, digest: str) -> bool:
        """Whether a node or a build holds it now."""
        lock = self.lock(digest)
        try:
            return not lock.take(shared=False)
        finally:
            lock.close()

    def remove(self, digest: str) -> bool:
        """Removes it, and what builds of it left behind, unless somebody holds it."""
        lock = self.lock(digest)
        try:
            if not lock.take(shared=False):
                return False
            self.clear(digest)
            lock.path.unlink(missing_ok=True)
            return True
        finally:
            lock.close()

    def clear(self, digest: str) -> None:
        """Called with the lock held alone: the word that it is ready goes first."""
        self._marker(digest).unlink(missing_ok=True)
        for folder in self.folder.glob(f"{digest}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        for scratch in self.folder.glob(f".{digest}-*.json"):
            scratch.unlink(missing_ok=True)

    def prune(self, needed: set[str], keep: int = 0) -> list[Made]:
        """Removes what nobody needs or holds, but for the `keep` that were used last, and what killed builds left
        behind. Returns what it removed."""
        spare = [made for made in self.all() if made.digest not in needed]
        removed = [made for made in spare[keep:] if self.remove(made.digest)]
        known = {made.digest for made in self.all()}
        for leftover in list(self.folder.glob("*-*")):
            digest, _, random = leftover.name.partition("-")
            if HEX.match(digest) and HEX.match(random) and digest not in known and digest not in needed:
                self.remove(digest)
        return removed

    def _marker(self, digest: str) -> Path:
        return self.folder / f"{digest}.json"
