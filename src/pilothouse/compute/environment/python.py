"""Which Python an environment is for, and what can be said of an interpreter without importing anything of it here.

An interpreter is asked in a process of its own, because it may be another version than the node's. What it says of
itself (implementation, version, platform) is part of the digest: an environment is of no use to another one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LEAST = (3, 11)
ASK_WITHIN = 30.0
VERSION = re.compile(r"3\.\d{1,2}\Z")
QUESTION = """
import json, sys, sysconfig
try:
    import msgspec
    found = msgspec.__version__
except Exception:
    found = None
print(json.dumps([sys.implementation.name, list(sys.version_info[:2]), sysconfig.get_platform(), found]))
"""


class EnvironmentProblem(Exception):
    """An environment cannot be had; the sentence says why. Who knows the agents adds their names."""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter, and what it says of itself. `msgspec` is the version it finds, None when there is none."""

    path: str
    implementation: str
    version: tuple[int, int]
    platform: str
    msgspec: str | None

    @property
    def tag(self) -> str:
        return f"{self.implementation}-{self.version[0]}.{self.version[1]}-{self.platform}"


def find_python(said: str | None, project: Path, uv: str | None) -> Python:
    """The interpreter that the settings mean: the node's own, `3.12`, or a path seen from the project. Raises
    `EnvironmentProblem`."""
    if said is None:
        return ask_python(sys.executable)
    if not VERSION.match(said):
        return ask_python(str(project / Path(said).expanduser()))
    if tuple(int(part) for part in said.split(".")) == sys.version_info[:2]:
        return ask_python(sys.executable)
    if tuple(int(part) for part in said.split(".")) < LEAST:
        raise EnvironmentProblem(f"Python {said} is older than 3.11, which Pilothouse needs")
    on_the_path = [shutil.which(f"python{said}", path=folder) for folder in os.get_exec_path()]
    for candidate in (*on_the_path, _ask_uv(uv, said)):
        try:
            if candidate:
                return ask_python(candidate)
        except EnvironmentProblem:  # a shim with nothing behind it
            continue
    raise EnvironmentProblem(f"there is no Python {said} here; install it, or name its path")


def ask_python(path: str) -> Python:
    """Runs it once. Raises `EnvironmentProblem` when it is no Python from 3.11 on."""
    try:
        done = subprocess.run(
            [path, "-c", QUESTION], stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_WITHIN, check=True
        )
        implementation, version, platform, msgspec = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise EnvironmentProblem(f"{path} did not answer within {ASK_WITHIN:g} s") from None
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        raise EnvironmentProblem(f"{path} is no Python that can be run") from None
    if tuple(version) < LEAST:
        shown = ".".join(str(part) for part in version)
        raise EnvironmentProblem(f"{path} is Python {shown}; Pilothouse needs 3.11 or newer")
    return Python(path, implementation, (version[0], version[1]), platform, msgspec)


def _ask_uv(uv: str | None, said: str) -> str | None:
    """The interpreter that uv knows for a version. It is told not to fetch one."""
    if uv is None:
        return None
    command = [uv, "python", "find", "--no-python-downloads", "--no-project", said]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_WITHIN, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip() or None if done.returncode == 0 else None
