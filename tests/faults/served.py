"""A node as its operator has it: `pilothouse serve` in a process of its own, on a project in a folder of the test.

It can be killed, stopped, continued and told to end, and it can be started again on the same records. What it writes is
kept for the message of a failed test. `end` leaves no process behind and says so when hosts did not end with their
node. No file is removed here: whoever makes the folders of a node removes them.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from tests.faults.client import Caller, wait_until

READY_WITHIN = 90.0
GONE_WITHIN = 60.0
READY = re.compile(r"Pilothouse is at (http://127\.0\.0\.1:\d+) with")
ROOT = Path(__file__).parents[2]


class ServedNode:
    """`start` as often as the node has ended. `altered` goes to `altered.py`: limits made short, bugs planted."""

    def __init__(
        self,
        project: Path,
        environment: Mapping[str, str] | None = None,
        altered: Mapping[str, Any] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.project = project
        self.environment = dict(environment or {})
        self.altered = dict(altered or {})
        self.wrapper = list(wrapper)
        self.url = ""
        self.log = project / f"node-{id(self)}.log"
        self.caller = Caller(lambda: self.url)
        self._process: subprocess.Popen[bytes] | None = None
        self._hosts: list[psutil.Process] = []

    # --- its life ---

    async def start(self) -> None:
        """Returns when it serves. Raises with its log when it does not."""
        seen = self.launch()
        await wait_until(lambda: self._look_ready(seen), READY_WITHIN, self.read_log)

    def launch(self) -> int:
        """Starts the process and does not wait; returns how long the log was."""
        module = ["tests.faults.altered"] if self.altered else ["pilothouse"]
        path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)])
        environment = {**os.environ, **self.environment, "PYTHONPATH": path, "FAULTS": json.dumps(self.altered)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.wrapper, sys.executable, "-m", *module, "serve"],
                cwd=self.project, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            return log.tell()

    async def _look_ready(self, seen: int) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"the node ended with {self._process.returncode}:\n{self.read_log()}")
        found = READY.search(self.read_log(seen))
        if found is not None:
            self.url = found[1]
        return found is not None

    def read_log(self, after: int = 0) -> str:
        return self.log.read_bytes()[after:].decode(errors="replace") if self.log.exists() else ""

    async def kill(self) -> None:
        """SIGKILL; returns when the node and its hosts are gone, which the kernel sees to."""
        self.hosts()
        self.process.kill()
        await self.wait_gone()

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    async def terminate(self, within: float = GONE_WITHIN) -> int:
        """SIGTERM; the exit code."""
        self.hosts()
        self.process.terminate()
        return await self.wait_gone(within)

    async def wait_gone(self, within: float = GONE_WITHIN) -> int:
        process = self._process
        assert process is not None
        code = await asyncio.to_thread(process.wait, within)
        await wait_until(self._hosts_are_gone, GONE_WITHIN, lambda: f"hosts outlive their node: {self._hosts}")
        return code

    async def _hosts_are_gone(self) -> bool:
        self._hosts = [host for host in self._hosts if is_alive(host)]
        return not self._hosts

    async def end(self) -> None:
        """Kills what is left of it, and says so when hosts did not end with their node."""
        await self.caller.close()
        if self._process is None:
            return
        hosts = self.hosts()
        for process in (self._process, *hosts):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.send_signal(signal.SIGCONT)
        self._process.kill()
        try:
            await self.wait_gone()
        finally:
            for host in hosts:
                with contextlib.suppress(psutil.NoSuchProcess):
                    host.kill()

    # --- its processes ---

    @property
    def process(self) -> psutil.Process:
        """The node itself, also below a wrapper."""
        assert self._process is not None
        process = psutil.Process(self._process.pid)
        while not _is_node(process):
            process = process.children()[0]
        return process

    def hosts(self) -> list[psutil.Process]:
        """The host processes that are alive."""
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            found = [one for one in self.process.children() if _is_host(one)]
            known = {host.pid for host in self._hosts}
            self._hosts += [host for host in found if host.pid not in known]
        return [host for host in self._hosts if is_alive(host)]

    async def wait_hosts(self, count: int = 1) -> None:
        async def look() -> bool:
            return len(self.hosts()) >= count

        await wait_until(look, READY_WITHIN, lambda: f"{self._hosts} instead of {count} hosts")

    async def kill_hosts(self, *pids: int) -> None:
        """SIGKILL for these hosts, or for all there are; returns when they are gone."""
        hosts = [host for host in self.hosts() if not pids or host.pid in pids]
        for host in hosts:
            host.kill()

        async def look() -> bool:
            return not any(is_alive(host) for host in hosts)

        await wait_until(look, GONE_WITHIN, lambda: f"{hosts}")

    @staticmethod
    async def resume(host: psutil.Process) -> bool:
        """SIGCONT; whether there was still somebody to wake up."""
        if not is_alive(host):
            return False
        host.resume()
        return True

    @property
    def memory(self) -> int:
        """Resident bytes of the node."""
        return int(self.process.memory_info().rss)


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_host(process: psutil.Process) -> bool:
    try:
        return "pilothouse.sdk.host" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def _is_node(process: psutil.Process) -> bool:
    line = process.cmdline()
    return "serve" in line and line[0] == sys.executable


AGENTS = ("chain", "chat", "talk", "echo", "rest", "crash", "stubborn", "heed", "wait", "ask", "move", "consult")


def write_project(folder: Path, settings: str = "", agents: Sequence[str] = AGENTS, **more: str) -> Path:
    """A project with the agents of `workload`. `settings` is put in front; `more` are lines of single agents."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agents.py").write_text((ROOT / "tests/faults/workload.py").read_text())
    head = settings if "[server]" in settings else f"[server]\nport = 0\n{settings}"
    head += '\n[egress]\nmode = "open"\n'
    tables = [f'[agents.{name}]\ntarget = "agents:{name}"\n{more.get(name, "")}' for name in agents]
    (folder / "pilothouse.toml").write_text("\n".join([head, *tables]))
    return folder
