"""PgBouncer itself, in transaction mode, before the PostgreSQL of the tests.

Debian has it (`apt-get install pgbouncer`). Where it is not installed the tests behind a pool go to the server
directly, with the same options, and say so; `BROKERS=required`, as continuous integration has it, makes that a failure.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg

from pilothouse.testing.brokers import free_port
from pilothouse.testing.postgres import USER

START_WITHIN = 60.0
SETTINGS = """\
[databases]
* = host=127.0.0.1 port={server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
admin_users = {user}
pool_mode = transaction
default_pool_size = 8
max_client_conn = 200
ignore_startup_parameters = extra_float_digits
"""


def program() -> str | None:
    """Where it is. Also where a person's path does not lead."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class PgBouncer:
    """`start`, then `remove`. It refuses to be run by root: then it runs as `nobody`."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="pilothouse-pool-", dir="/tmp"))
        self._as: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Returns once it takes connections."""
        deadline = time.monotonic() + START_WITHIN
        found = program()
        assert found is not None
        (self._folder / "users").write_text(f'"{USER}" ""\n', encoding="utf-8")
        while True:
            port = free_port()
            settings = self._folder / "settings"
            text = SETTINGS.format(server=self._server, port=port, folder=self._folder, user=USER)
            settings.write_text(text, encoding="utf-8")
            with (self._folder / "log").open("ab") as log:
                command = ["setpriv", *self._as, "--pdeathsig=KILL", found, str(settings)]
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                 start_new_session=True)  # fmt: skip
            if self._answers(port, deadline):
                self.port = port
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer did not start: {(self._folder / 'log').read_text()[-2000:]}")

    def _answers(self, port: int, deadline: float) -> bool:
        """False: it has ended, as it does when somebody was faster at its port."""
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    return True
            time.sleep(0.02)
        return False

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    async def let_go(self, database: str) -> None:
        """Ends its connections to a database that nobody needs any more."""
        console = await asyncpg.connect(self.url("pgbouncer"), statement_cache_size=0)
        try:
            await console.execute(f"kill {database}")
        finally:
            console.terminate()

    def remove(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        shutil.rmtree(self._folder)
