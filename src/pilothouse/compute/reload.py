"""Tells when the files of a project change, for `pilothouse dev`.

Folders are watched one by one, without those that tools make: a virtual environment inside the project has more folders
than a kernel is willing to watch. A new folder is noticed by its parent and then watched as well.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from watchfiles import Change, watch

SUFFIXES = (".py", ".toml")
SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist"})
FOLDERS_LIMIT = 2000
DEBOUNCE = 300
LOOK_EVERY = 200
"""Milliseconds: how long changes are gathered, and how often the watcher comes up for air."""


def watch_changes(folder: Path, stop: threading.Event) -> Iterator[set[Path]]:
    """The source files that changed, gathered for a moment; an empty set some times a second when nothing did. Ends
    when `stop` is set."""
    seen = read_stamps(list_folders(folder))
    while not stop.is_set():
        folders = list_folders(folder)
        watching = watch(
            *folders, recursive=False, debounce=DEBOUNCE, rust_timeout=LOOK_EVERY, yield_on_timeout=True,
            stop_event=stop, watch_filter=None, raise_interrupt=False,
        )  # fmt: skip
        is_stale = True  # what changed before the kernel began to watch was told by nobody
        for changes in watching:
            has_new_folder = any(change != Change.modified and _is_folder(path, folders) for change, path in changes)
            changed: set[Path] = set()
            if is_stale or any(path.endswith(SUFFIXES) for _, path in changes):
                now = read_stamps(folders)
                changed = {path for path, _ in seen.items() ^ now.items()}
                seen, is_stale = now, False
            yield changed
            if has_new_folder:
                break


def list_folders(folder: Path) -> list[Path]:
    """The folder and those below it that may hold sources."""
    found = []
    for place, inside, _ in os.walk(folder):
        inside[:] = sorted(name for name in inside if not name.startswith(".") and name not in SKIPPED)
        found.append(Path(place))
        if len(found) >= FOLDERS_LIMIT:
            break
    return found


def read_stamps(folders: list[Path]) -> dict[Path, tuple[int, int]]:
    """Instant and size of each source file. The kernel's word is only the hint to look."""
    stamps = {}
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIXES) and not entry.name.startswith("."):
                    with contextlib.suppress(OSError):
                        found = entry.stat()
                        stamps[Path(entry.path)] = (found.st_mtime_ns, found.st_size)
    return stamps


def _is_folder(path: str, known: list[Path]) -> bool:
    return Path(path) in known or (os.path.isdir(path) and os.path.basename(path) not in SKIPPED)
