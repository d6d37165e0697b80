"""Makes an environment: a virtual environment, the requirements, what the sdk needs. With uv where it is installed,
else with venv and pip.

`obtain` gives the environment of a request and a hold on it. Whoever comes second waits for who came first. A build
that is killed, stopped or out of time leaves a folder that nobody uses and the next one removes. The tools inherit the
lock, and on Linux they die with who started them: none of them still writes when the lock is free.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pilothouse.compute.environment.python import EnvironmentProblem
from pilothouse.compute.environment.request import SDK_NEEDS, EnvironmentRequest, is_new_enough
from pilothouse.compute.environment.shelf import Lock, Made, Shelf

Say = Callable[[str], None]

LINES_KEPT = 400
REASON_LIMIT = 4000
SAY_EVERY = 1.0
POLL = 0.05
FAULT_BEGINS = re.compile(r"\s*(ERROR|error|×|Error:)")
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
CREDENTIALS = re.compile(r"(://)[^/\s@]+@")
OPTIONS = re.compile(
    r"(--index|--extra|--no-index|--find-links|--trusted|--pre\b|--prefer|--only-binary|--no-binary|-i\b|-f\b)"
)
GUARD = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Ends with who started it, then becomes the tool."""


@dataclass(frozen=True, slots=True)
class EnvironmentOptions:
    """Where environments are kept and how they are made: `tool` is `uv`, `pip`, or `auto` for the first of them
    that is installed; `within` seconds a build may take; `kept` is how many that nobody uses stay."""

    folder: Path
    tool: str = "auto"
    within: float = 1800.0
    kept: int = 10


class Held:
    """An environment that is ready, and stays so until it is let go."""

    def __init__(self, interpreter: str, lock: Lock | None) -> None:
        self.interpreter = interpreter
        self._lock = lock

    @property
    def variables(self) -> dict[str, str]:
        """What programs that are started in the environment find set, as when it was activated."""
        folder = Path(self.interpreter).parent.parent
        return {"VIRTUAL_ENV": str(folder), "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}

    def let_go(self) -> None:
        if self._lock is not None:
            self._lock.close()


def find_uv(wanted: str) -> str | None:
    """The uv to use, that beside this Python before that on the PATH; `auto` takes it when it is there. Raises
    `EnvironmentProblem` when it must be there and is not."""
    if wanted == "pip":
        return None
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if wanted == "uv" and found is None:
        raise EnvironmentProblem('environments.tool is "uv", and there is no uv on the PATH')
    return found


def obtain(
    request: EnvironmentRequest, options: EnvironmentOptions, say: Say, stop: threading.Event | None = None
) -> Held:
    """The environment, made when it is not there yet. Raises `EnvironmentProblem` with the resolver's own reason.
    `stop` ends it early, as a problem."""
    if request.folder is not None:
        return Held(request.python.path, None)
    stop = stop or threading.Event()
    shelf = Shelf(options.folder)
    try:
        shelf.prepare()
        lock = shelf.lock(request.digest)
    except OSError as error:
        raise EnvironmentProblem(f"{options.folder} cannot be used ({(error.strerror or 'error').lower()})") from None
    try:
        made = _take(shelf, lock, request, options, say, stop)
    except BaseException:
        lock.close()
        raise
    shelf.touch(request.digest)
    return Held(str(shelf.interpreter(made)), lock)


def _take(
    shelf: Shelf, lock: Lock, request: EnvironmentRequest, options: EnvironmentOptions, say: Say, stop: threading.Event
) -> Made:
    """The environment with its lock held shared. Between two holds somebody may have removed it: then again."""
    give_up_at = time.monotonic() + options.within
    is_told = False
    while True:
        if lock.take(shared=True) and (made := shelf.find(request.digest)) is not None:
            return made
        if lock.take(shared=False):
            if shelf.find(request.digest) is None:
                shelf.clear(request.digest)
                _Build(shelf, lock, request, options, say, stop).run()
                shelf.prune({request.digest}, options.kept)
        else:
            if not is_told:
                say("another node makes it; waiting")
                is_told = True
            if stop.wait(POLL):
                raise EnvironmentProblem("it was stopped")
            if time.monotonic() > give_up_at:
                raise EnvironmentProblem(f"another node did not make it within {options.within:g} s")


class _Build:
    def __init__(
        self,
        shelf: Shelf,
        lock: Lock,
        request: EnvironmentRequest,
        options: EnvironmentOptions,
        say: Say,
        stop: threading.Event,
    ) -> None:
        self._shelf, self._lock, self._request, self._options = shelf, lock, request, options
        self._say, self._stop = say, stop
        self._folder = shelf.new_folder(request.digest)
        self._began = time.monotonic()
        self._said_at = 0.0
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._collected = 0
        self._uv = find_uv(options.tool)

    def run(self) -> None:
        tool = "uv" if self._uv else "pip"
        self._say(f"making it with {tool} and Python {'.'.join(map(str, self._request.python.version))}")
        try:
            self._make()
            self._install()
            self._see_to_sdk()
            packages = len(list(self._site.glob("*.dist-info")))
            seconds = time.monotonic() - self._began
            self._shelf.publish(
                Made(
                    digest=self._request.digest,
                    folder=self._folder.name,
                    label=CREDENTIALS.sub(r"\1***@", self._request.label),
                    python=self._request.python.tag,
                    packages=packages,
                    size=size_of(self._folder),
                    made_at=time.time(),
                    seconds=round(seconds, 3),
                    tool=tool,
                )
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._say(f"made: {packages} packages in {seconds:.1f} s")

    @property
    def _python(self) -> str:
        return str(self._folder / "bin" / "python")

    @property
    def _site(self) -> Path:
        major, minor = self._request.python.version
        return self._folder / "lib" / f"python{major}.{minor}" / "site-packages"

    def _make(self) -> None:
        python = self._request.python.path
        if self._uv:
            self._call([self._uv, "venv", "--no-project", "--no-config", "--python", python, str(self._folder)])
        else:
            self._call([python, "-m", "venv", str(self._folder)])

    def _install(self) -> None:
        """One call of the resolver, so that what the sdk needs and what the agent needs must fit. Locked requirements
        (with hashes) are taken as they are."""
        request = self._request
        names_it = any(re.match(r"msgspec\b", line, re.IGNORECASE) for line in request.lines)
        written = [f"-r {request.file}"] if request.file is not None else list(request.lines)
        if not request.is_hashed or not names_it:
            written += [] if request.is_hashed else [SDK_NEEDS]
        self._resolve(written)

    def _see_to_sdk(self) -> None:
        """Locked requirements may lack what the sdk needs; it is added from the same indexes."""
        found = next((path.name.split("-")[1] for path in self._site.glob("msgspec-*.dist-info")), None)
        if found is None:
            self._resolve([*(line for line in self._request.lines if OPTIONS.match(line)), SDK_NEEDS])
        elif not is_new_enough(found):
            raise EnvironmentProblem(f"the requirements bring msgspec {found}; the sdk needs {SDK_NEEDS}")

    def _resolve(self, lines: list[str]) -> None:
        wanted = self._folder / "requirements.txt"
        wanted.write_text("\n".join(lines) + "\n")
        if self._uv:
            command = [self._uv, "pip", "install", "--no-progress", "--compile-bytecode", "--python", self._python]
        else:
            command = [self._python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check",
                       "--progress-bar", "off"]  # fmt: skip
        self._call([*command, "-r", str(wanted)])

    def _call(self, command: list[str]) -> None:
        """Runs one tool to its end. Raises `EnvironmentProblem` with what it said."""
        path = shutil.which(command[0]) or command[0]
        guarded = [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid()), path, *command[1:]]
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
        try:
            process = subprocess.Popen(
                guarded, cwd=self._request.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(self._lock.fd,),
                env={**kept, "VIRTUAL_ENV": str(self._folder), "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        except OSError as error:
            raise EnvironmentProblem(f"{command[0]} cannot be started ({error.strerror})") from None
        reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        reader.start()
        try:
            self._wait(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            reader.join(timeout=5.0)
            if process.stdout is not None:
                process.stdout.close()
        if process.returncode != 0:
            raise EnvironmentProblem(self._reason(process.returncode))

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        while process.poll() is None:
            if self._stop.wait(POLL):
                raise EnvironmentProblem("it was stopped")
            if time.monotonic() - self._began > self._options.within:
                raise EnvironmentProblem(
                    f"it was not made within {self._options.within:g} s (environments.build_seconds)"
                )

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError):  # closed under it, when a grandchild still held the other end
            for raw in process.stdout:
                line = CONTROL.sub("", raw.decode(errors="replace").rstrip())
                self._lines.append(line)
                self._tell(line)

    def _tell(self, line: str) -> None:
        """Some lines of the tools are progress; not more than one a second is passed on."""
        if line.startswith("Collecting "):
            self._collected += 1
            text = f"{self._collected} packages so far, now {line.removeprefix('Collecting ').split(' ')[0]}"
        elif line.startswith("Installing collected"):
            text, self._said_at = f"unpacking {line.count(',') + 1} packages", 0.0
        elif line.startswith(("Resolved ", "Prepared ", "Installed ")):
            text, self._said_at = f"{line[:1].lower()}{line[1:]}", 0.0
        else:
            return
        if time.monotonic() - self._said_at >= SAY_EVERY:
            self._said_at = time.monotonic()
            self._say(text)

    def _reason(self, code: int) -> str:
        lines = list(self._lines)
        start = next((number for number, line in enumerate(lines) if FAULT_BEGINS.match(line)), max(0, len(lines) - 20))
        said = "\n".join(line for line in lines[start:] if line.strip())
        said = CREDENTIALS.sub(r"\1***@", said)[:REASON_LIMIT]
        return said or f"the tool ended with {code} and said nothing"


def size_of(folder: Path) -> int:
    """Bytes it takes on the disk."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total
