"""What `pilothouse doctor` looks at: each examination is one question with an answer and, when it is a bad one, advice.

An examination changes nothing but a file it makes and removes to see whether it can. It never raises for what it is
there to find, and none takes longer than its limit.
"""

import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pilothouse.backing import look_at_postgres
from pilothouse.cli.environments import EnvironmentView, megabytes, view_environments
from pilothouse.cli.examination_places import examine_places
from pilothouse.cli.examined import Examined
from pilothouse.client import ApiError, Client
from pilothouse.compute.environment.supply import sdk_path
from pilothouse.errors import EnvironmentFailed, RecordsInvalid, SettingsInvalid
from pilothouse.settings import Settings
from pilothouse.settings.work import environment_options
from pilothouse.storage.records.examine import examine as examine_file
from pilothouse.storage.records.examine import library_version

MEGABYTE = 1024 * 1024
VERIFIED_UP_TO = 512 * MEGABYTE
DISK_FAIL, DISK_WARN = 100 * MEGABYTE, 1024 * MEGABYTE
CLOCK_TOLERANCE = 2.0
EARLIEST = 1_750_000_000.0
"""An instant in the past of this program: a clock before it is wrong."""
LOAD_WITHIN = 60.0
OPEN_FILES = 1024
DISTANT = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"})
PYTHONS = ((3, 11), (3, 14))


def examine(settings: Settings) -> Iterator[Examined]:
    """Each as soon as it is known."""
    yield examine_python(sys.version_info[:2])
    yield examine_address(settings)
    for folder_of in (examine_folders, examine_disk, examine_clock):
        yield folder_of(settings)
    yield examine_library()
    yield examine_records(settings)
    yield from examine_places(settings)
    yield examine_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    yield from examine_agents(settings)


def examine_python(version: tuple[int, ...]) -> Examined:
    shown = ".".join(str(part) for part in version)
    first, beyond = PYTHONS
    if version < first:
        return Examined("python", "fail", f"Python {shown}", "Use Python 3.11 or newer.")
    if version >= beyond:
        return Examined("python", "warn", f"Python {shown}", "Pilothouse is not tested on it yet; 3.11 to 3.13 are.")
    return Examined("python", "ok", f"Python {shown}")


def examine_address(settings: Settings) -> Examined:
    """Free, in use by a node, or in use by somebody else."""
    host, port = settings.server.host, settings.server.port
    place = f"{host}:{port}"
    try:
        with Client(settings.url, answer_within=3.0, retry_within=0.0) as client:
            client.get_health()
    except ApiError as error:
        if error.status == 503:
            return Examined("address", "warn", f"a node answers on {place} and cannot serve: {error}", error.hint)
        if error.code != "unreachable":
            return Examined("address", "fail", f"another program answers on {place}", _OTHER_PORT)
    else:
        return Examined("address", "ok", f"a node answers on {place}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        reason = (error.strerror or "it cannot be used").lower()
        return Examined("address", "fail", f"{place}: {reason}", _OTHER_PORT)
    return Examined("address", "ok", f"{place} is free")


_OTHER_PORT = "Stop the other program, or choose another address with server.host and server.port."


def examine_folders(settings: Settings) -> Examined:
    """A node writes beside its records, and makes a socket in the temporary folder."""
    for folder in dict.fromkeys((records_folder(settings), Path(tempfile.gettempdir()))):
        problem = _try_write(folder)
        if problem:
            advice = "Let this user write there, or choose another folder with records.url or TMPDIR."
            return Examined("folders", "fail", f"{folder}: {problem}", advice)
    kind = file_system(records_folder(settings))
    if kind in DISTANT:
        advice = "Locks and syncs are not to be trusted there: keep the records on a disk of this machine."
        return Examined("folders", "warn", f"the records are on a distant file system ({kind})", advice)
    return Examined("folders", "ok", "this user can write to them")


def _try_write(folder: Path) -> str:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".pilothouse-doctor-") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return (error.strerror or "it cannot be written").lower()
    return ""


def file_system(folder: Path) -> str:
    """The kind of file system a folder is on, as Linux tells it; empty where it does not."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place = str(folder.resolve())
    best, found = "", ""
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        if len(point) >= len(best) and (place == point or place.startswith(point.rstrip("/") + "/")):
            best, found = point, kind
    return found


def examine_disk(settings: Settings) -> Examined:
    try:
        free = shutil.disk_usage(records_folder(settings)).free
    except OSError as error:
        return Examined("disk", "fail", (error.strerror or "unknown").lower(), "Make the folder of records.url.")
    says = f"{free // MEGABYTE} MB free for the records"
    if free < DISK_WARN:
        return Examined("disk", "fail" if free < DISK_FAIL else "warn", says,
                        "Make room, or lower records.retention_days: a full disk refuses all new work.")  # fmt: skip
    return Examined("disk", "ok", says)


def examine_clock(settings: Settings) -> Examined:
    """The clock against the past, against the file system, and against the monotonic clock."""
    before, before_monotonic = time.time(), time.monotonic()
    advice = "Set the clock with NTP. Timers and deadlines follow it when a node starts."
    if before < EARLIEST:
        return Examined("clock", "fail", f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(before))}", advice)
    path = settings.records.path
    if path is not None and path.exists() and path.stat().st_mtime > before + CLOCK_TOLERANCE:
        ahead = path.stat().st_mtime - before
        return Examined("clock", "fail", f"the records were written {ahead:.0f} s in the future: the clock went back",
                        advice)  # fmt: skip
    try:
        with tempfile.NamedTemporaryFile(dir=records_folder(settings), prefix=".pilothouse-doctor-") as file:
            off = abs(os.fstat(file.fileno()).st_mtime - time.time())
    except OSError:
        off = 0.0  # `folders` tells why
    if off > CLOCK_TOLERANCE:
        return Examined("clock", "warn", f"files get an instant that is {off:.0f} s off", advice)
    drift = abs((time.time() - before) - (time.monotonic() - before_monotonic))
    if drift > CLOCK_TOLERANCE / 2:
        return Examined("clock", "warn", f"the clock was set by {drift:.1f} s just now", advice)
    return Examined("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(before)))


def examine_library() -> Examined:
    try:
        return Examined("sqlite", "ok", f"SQLite {library_version()}")
    except RecordsInvalid as error:
        return Examined("sqlite", "fail", error.message, error.hint)


def examine_postgres(settings: Settings) -> Examined:
    try:
        before = time.time()
        found = look_at_postgres(settings)
        off = found.instant / 1e6 - (before + time.time()) / 2
    except (RecordsInvalid, SettingsInvalid) as error:
        return Examined("records", "fail", error.message, error.hint)
    says = f"PostgreSQL {found.server}, schema {found.version} of {found.newest}"
    if found.undurable:
        advice = f"With {', '.join(found.undurable)} off the server may lose what it has acknowledged: turn it on."
        return Examined("records", "fail", says, advice)
    if abs(off) > CLOCK_TOLERANCE:
        advice = "Nodes take the time from the database; set both clocks with NTP."
        return Examined("records", "warn", f"{says}; its clock is {off:+.0f} s off this machine's", advice)
    if found.version < found.newest:
        advice = "The next start brings them there; `pilothouse migrate` does it by hand."
        return Examined("records", "warn", says, advice)
    return Examined("records", "ok", says)


def examine_records(settings: Settings) -> Examined:
    if settings.records.is_shared:
        return examine_postgres(settings)
    path = settings.records.path
    if path is None:
        return Examined("records", "warn", "they are in memory", "They end with the node: set records.url to a file.")
    if not path.exists():
        return Examined("records", "ok", f"there is no {path.name} yet; the first start makes it")
    try:
        found = examine_file(path, VERIFIED_UP_TO)
    except RecordsInvalid as error:
        return Examined("records", "fail", error.message, error.hint)
    whole = (
        "whole" if found.is_verified else f"over {VERIFIED_UP_TO // MEGABYTE} MB and not read; a backup verifies them"
    )
    says = f"{path.name}: {whole}, {f'used by {found.holder}' if found.holder else 'used by nobody now'}"
    if found.version < found.newest:
        advice = "The next start brings them there; `pilothouse backup` before, `pilothouse migrate` by hand."
        return Examined("records", "warn", f"{says}; schema {found.version} of {found.newest}", advice)
    return Examined("records", "ok", says)


def examine_open_files(limit: int) -> Examined:
    says = f"{limit if limit >= 0 else 'any number of'} files may be open at once"
    if 0 <= limit < OPEN_FILES:
        return Examined(
            "open files", "warn", says, f"Raise it with `ulimit -n {OPEN_FILES * 4}`: each connection is one."
        )
    return Examined("open files", "ok", says)


def examine_agents(settings: Settings) -> Iterator[Examined]:
    """Imports each target in a process of its own, so that nothing an agent does at import stays here."""
    if not settings.agents:
        yield Examined("agents", "warn", "there is none", "Add [agents.NAME] with its target to pilothouse.toml.")
    for name, agent in settings.agents.items():
        if agent.environment is None:
            yield _examine_agent(name, agent.target, settings.folder, sys.executable, {})
    try:
        views = view_environments(settings)
    except EnvironmentFailed as error:
        yield Examined("environments", "fail", error.message, error.hint)
        return
    yield from _examine_environments(settings, views)


def _examine_environments(settings: Settings, views: list[EnvironmentView]) -> Iterator[Examined]:
    """What each agent needs installed, the agents in it, and how much of the disk all of them take."""
    for one in (one for one in views if one.agents):
        label, names = "environment", ", ".join(one.agents)
        if one.status == "missing":
            advice = "The next start makes it; `pilothouse environments build` does it now and shows how."
            yield Examined(label, "warn", f"{one.digest} ({names}) is not made yet", advice)
            continue
        taken = f", {one.packages} packages, {megabytes(one.size)}" if one.size is not None else ""
        yield Examined(label, "ok", f"{one.digest} ({names}): {one.python}{taken}")
        for name in one.agents:
            variables = {"PYTHONPATH": sdk_path(environment_options(settings).folder)}
            yield _examine_agent(name, settings.agents[name].target, settings.folder, one.interpreter, variables)
    spare = [one for one in views if not one.agents and not one.is_used]
    if spare:
        says = f"{len(spare)} that no agent here needs take {megabytes(sum(one.size or 0 for one in spare))}"
        yield Examined("environments", "ok", f"{says}; `pilothouse environments prune` removes them")


PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
from pilothouse.errors import RecordsInvalid
from pilothouse.sdk.target import load_agents
from pilothouse.wire.host import AgentTarget
one = load_agents(sys.argv[1], {sys.argv[2]: AgentTarget(target=sys.argv[3])})[sys.argv[2]].description
print(one.problem if one.problem else one.mode, file=sys.stderr)
sys.stderr.flush()
sys.exit(3 if one.problem else 0)
"""
TEXT_LIMIT = 2000


def _examine_agent(name: str, target: str, folder: Path, interpreter: str, variables: dict[str, str]) -> Examined:
    label = f"agent {name}"
    advice = "Mend it and run `pilothouse doctor` again; `pilothouse dev` shows the same while you write."
    command = [interpreter, "-c", PROBE, str(folder), name, target]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LOAD_WITHIN,
            cwd=folder, check=False, env={**os.environ, **variables},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Examined(label, "fail", f"{target} takes longer than {LOAD_WITHIN:g} s to import", advice)
    said = done.stderr.decode(errors="replace").strip()[-TEXT_LIMIT:]
    if done.returncode == 0:
        return Examined(label, "ok", f"{target} ({said.splitlines()[-1] if said else 'loaded'})")
    return Examined(label, "fail", said or f"{target} ended the process with {done.returncode}", advice)


def records_folder(settings: Settings) -> Path:
    path = settings.records.path
    return path.parent if path is not None else settings.folder
