"""What an agent asks for, read once, with a digest over all that decides what gets installed.

The digest covers the requirement lines (those of files named with -r and -c as well), the content of local files and
folders they name, the Python, and what the sdk needs. Two agents, or two nodes, with the same digest share one
environment. What a resolver would choose for a line without a version is not in it: an environment is made once, and
stays as it was made until it is pruned.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pilothouse.compute.environment.python import EnvironmentProblem, Python, ask_python, find_python

SDK_NEEDS = "msgspec>=0.20"
"""What the sdk needs; a test compares it with pyproject.toml."""
SDK_LEAST = (0, 20)

LINES_LIMIT, DEPTH_LIMIT, FILES_LIMIT, BYTES_LIMIT = 10_000, 8, 10_000, 512 * 1024 * 1024
NESTED = re.compile(r"(?:-r|--requirement|-c|--constraint)(?:\s+|=|(?<=-[rc]))(.+)")
EDITABLE = re.compile(r"(?:-e|--editable)\b")
OPTION = re.compile(r"--?\w")
SKIPPED = frozenset({"__pycache__", "build", "dist", "node_modules", "venv"})


@dataclass(frozen=True, slots=True)
class EnvironmentRequest:
    """`folder` is a virtual environment that is there already; else `lines` are to be installed, which stand in `file`
    or, without one, in the settings. Relative paths in them start at `home`."""

    digest: str
    python: Python
    home: Path
    folder: Path | None = None
    file: Path | None = None
    lines: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What people call it: its folder, its file, or its requirements."""
        if self.folder is not None or self.file is not None:
            return os.path.relpath(self.folder or self.file or "", self.home)
        return ", ".join(self.lines)

    @property
    def is_hashed(self) -> bool:
        return any("--hash=" in line or line.startswith("--require-hashes") for line in self.lines)


def read_request(said: str | tuple[str, ...], python: str | None, project: Path, uv: str | None) -> EnvironmentRequest:
    """Reads `environment` of an agent: the folder of a virtual environment, a requirements file, or requirements.
    Raises `EnvironmentProblem`."""
    if isinstance(said, str):
        place = project / Path(said).expanduser()
        if place.is_dir():
            return _existing(place, python)
        if place.is_file():
            lines = tuple(_lines(place, place.parent))
            return _wanted(lines, place, place.parent, find_python(python, project, uv))
        if "/" in said or said.endswith((".txt", ".in")) or said.startswith((".", "~")):
            raise EnvironmentProblem(f"there is neither a folder nor a file {said}")
        said = (said,)
    written = tuple(line.strip() for line in said if line.strip())
    if any("\n" in line for line in written):
        raise EnvironmentProblem("a requirement goes over more than one line; give each a text of its own")
    for line in written:
        if EDITABLE.match(line):
            raise EnvironmentProblem(_EDITABLE.format(line=line))
        if NESTED.match(line):
            raise EnvironmentProblem(f'{line!r} names a file; give the file itself: environment = "requirements.txt"')
    return _wanted(written, None, project, find_python(python, project, uv))


_EDITABLE = "{line!r} would change under what was made; name the folder without -e, or use an environment of your own"


def _existing(place: Path, python: str | None) -> EnvironmentRequest:
    place = Path(os.path.abspath(place))
    if python is not None:
        raise EnvironmentProblem(f"{place.name} has a Python already; leave out `python`")
    interpreter = place / "bin" / "python"
    if not interpreter.exists():
        raise EnvironmentProblem(f"{place} is no virtual environment: it has no bin/python")
    found = ask_python(str(interpreter))
    needs = f"run `{interpreter} -m pip install '{SDK_NEEDS}'`"
    if found.msgspec is None:
        raise EnvironmentProblem(f"{place} has no msgspec, which the sdk needs; {needs}")
    if not is_new_enough(found.msgspec):
        raise EnvironmentProblem(f"{place} has msgspec {found.msgspec}; {needs}")
    digest = hashlib.blake2b(f"folder\n{place}".encode(), digest_size=8).hexdigest()
    return EnvironmentRequest(digest, found, place.parent, folder=place)


def is_new_enough(msgspec: str) -> bool:
    numbers = tuple(int(part) for part in re.findall(r"\d+", msgspec)[:2])
    return numbers >= SDK_LEAST


def _wanted(lines: tuple[str, ...], file: Path | None, home: Path, python: Python) -> EnvironmentRequest:
    local = {line: _digest_of(place) for line in lines if (place := _local(line, home)) is not None}
    told = json.dumps([1, python.tag, SDK_NEEDS, lines, local], sort_keys=True)
    digest = hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
    return EnvironmentRequest(digest, python, home, file=file, lines=lines)


def _lines(file: Path, home: Path, depth: int = 0) -> Iterator[str]:
    """The lines of a requirements file that mean something, those of the files it names in their place."""
    if depth > DEPTH_LIMIT:
        raise EnvironmentProblem(f"{file.name} is reached through more than {DEPTH_LIMIT} files")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentProblem(f"{file} cannot be read ({error})") from None
    count = 0
    for written in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*$", "", written).strip()
        if not line:
            continue
        count += 1
        if count > LINES_LIMIT:
            raise EnvironmentProblem(f"{file.name} has more than {LINES_LIMIT} requirements")
        if EDITABLE.match(line):
            raise EnvironmentProblem(_EDITABLE.format(line=line))
        nested = NESTED.match(line)
        if nested is None:
            yield " ".join(line.split())
            continue
        yield line[:2]
        yield from _lines(file.parent / nested[1].strip(), home, depth + 1)


def _local(line: str, home: Path) -> Path | None:
    """The file or folder of this machine that a requirement names, as in `./lib`, `wheels/a.whl` or `a @ file:///b`."""
    if OPTION.match(line):
        return None
    named = line.partition(" @ ")[2] or line
    named = re.sub(r"\[[^\]]*\]", "", named.split(" --hash")[0].split(";")[0].strip())
    if named.startswith("file://"):
        named = named.removeprefix("file://")
    elif "/" not in named and not named.endswith((".whl", ".tar.gz", ".zip")):
        return None
    place = home / named
    return place if place.exists() else None


def _digest_of(place: Path) -> str:
    """Over the content of a local package. Raises `EnvironmentProblem` when there is more than can be looked at."""
    digest = hashlib.blake2b(digest_size=8)
    files = [place] if place.is_file() else list(islice(_sources(place), FILES_LIMIT + 1))
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > BYTES_LIMIT or len(files) > FILES_LIMIT:
            limits = f"{FILES_LIMIT} files or {BYTES_LIMIT >> 20} MB"
            raise EnvironmentProblem(f"{place} holds more than {limits}; name a built wheel instead")
        digest.update(f"{os.path.relpath(file, place)}\n{file.stat().st_size}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _sources(place: Path) -> Iterator[Path]:
    for folder, inside, names in os.walk(place):
        inside[:] = sorted(
            name for name in inside if not name.startswith(".") and name not in SKIPPED and ".egg-info" not in name
        )
        for name in sorted(names):
            file = Path(folder) / name
            if not name.startswith(".") and file.is_file():
                yield file
