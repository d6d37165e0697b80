"""A host process and its supervision: started, watched, ended, started again.

The process gets one JSON argument and inherits one end of a pair of sockets: nobody else can open them, and nothing is
left in the file system. What it prints outside of runs, C code included, comes through pipes into the log. It is ended
when it says nothing for too long although it was asked, when it holds more memory than its limit, and when the link
breaks; it ends by itself when the node is gone. What user code started in it ends with it. A new one follows after a
pause that doubles up to a limit and starts again once a host stayed up.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from pilothouse.compute.host import OWN, Calls, Host
from pilothouse.compute.options import WorkerOptions
from pilothouse.sdk.link import Link
from pilothouse.wire import frames
from pilothouse.wire.frames import Message
from pilothouse.wire.host import AgentTarget, HostConfig

WATCH_EVERY = 2.0
STAYED_UP = 30.0
REPLACE_WITHIN = 30.0
"""Seconds that attempts in a host which must be replaced get to end."""
LINE_LIMIT = 64 * 1024
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


def host_config(options: WorkerOptions, names: list[str], socket: str) -> HostConfig:
    targets = {}
    for name in names:
        agent = options.agents[name]
        targets[name] = AgentTarget(
            target=agent.target,
            mode=agent.mode,
            keep=agent.keep,
            timeout=agent.timeout,
            egress=options.outgoing.hosts.get(name, ()),
            asks=options.outgoing.asks(name),
            is_limited=options.outgoing.is_limited(name),
            tools=agent.tools,
            options=agent.options,
        )
    return HostConfig(
        socket=socket,
        project=options.project,
        agents=targets,
        park_after=options.park_after,
        threads=options.threads,
        memory=options.memory,
        cores=options.cores,
        connect_within=options.time_to_load(names),
        egress=options.outgoing.border,
        pools=options.pools,
        node=os.getpid(),
    )


@dataclass(frozen=True, slots=True)
class Ground:
    """What a host process stands on: an interpreter, and variables beside those of the node."""

    kind: str
    interpreter: str
    variables: dict[str, str]


OWN_GROUND = Ground(OWN, sys.executable, {})


class _Exit(asyncio.subprocess.SubprocessStreamProtocol):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(LINE_LIMIT, loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class HostProcess:
    """A process in a session of its own. `asyncio.subprocess.Process.wait` also waits until nobody holds its pipes any
    more (CPython issue 119710); what user code started may hold them for ever, so that a host that was killed would
    never be missed. `exited` is set by the end of the process itself."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Exit) -> None:
        self._transport, self.exited = transport, protocol.exited
        self.pid = transport.get_pid()
        assert protocol.stdout is not None
        assert protocol.stderr is not None
        self.stdout, self.stderr = protocol.stdout, protocol.stderr

    @classmethod
    async def spawn(cls, *command: str, cwd: str, env: dict[str, str], pass_fds: tuple[int, ...]) -> Self:
        """Raises `OSError`."""
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            lambda: _Exit(loop), *command, cwd=cwd, env=env, stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
            start_new_session=True, pass_fds=pass_fds,
        )  # fmt: skip
        return cls(transport, protocol)

    @property
    def returncode(self) -> int | None:
        return self._transport.get_returncode()

    def kill(self) -> None:
        if self.returncode is None:
            self._transport.kill()

    def end_children(self) -> None:
        """Of the ended process: what user code started in its session goes too, and its pipes are let go."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._transport.close()


class ProcessHost(Host):
    """`name` is for the log and the socket. `start` returns at once; the host is up after its Hello."""

    def __init__(
        self,
        name: str,
        options: WorkerOptions,
        agents: list[str],
        slots: int,
        on_call: Calls,
        on_change: Callable[[Host], None],
        ground: Ground = OWN_GROUND,
    ) -> None:
        super().__init__(slots, options.cancel_grace, on_call, on_change)
        self.name, self.pid = name, 0
        self.kind, self._ground = ground.kind, ground
        self.restarts = 0
        self._options, self._names = options, agents
        self._link: Link[Message] | None = None
        self._process: HostProcess | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._asked_at: float | None = None
        """When the ping was sent that is not answered yet."""

    def start(self) -> None:
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise(), name=f"host {self.name}")

    def send(self, message: Message) -> None:
        if self._link is not None:
            self._link.send(message)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def stop(self, within: float) -> None:
        """Lets attempts end, then ends the process. Called when no new attempt can come."""
        self._is_stopping = True
        self.send(frames.Drain())
        process = self._process
        if process is not None and process.returncode is None:
            if self._link is not None:
                self._link.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within):
                    await process.exited.wait()
            self.kill()
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        pause = self._options.restart_after
        while True:
            began = loop.time()
            try:
                await self._live_once()
            except OSError as error:  # no process, socket or folder can be made now
                self.on_log("host", f"host {self.name} cannot be started: {error}", None, None)
            if self._is_stopping:
                return
            if loop.time() - began > STAYED_UP:
                pause = self._options.restart_after
            self.restarts += 1
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._options.restart_at_most)

    async def _live_once(self) -> None:
        loop = asyncio.get_running_loop()
        self.left_behind = 0
        ours, theirs = socket.socketpair()
        try:
            self._process = await self._spawn(theirs)
            theirs.close()
            await loop.create_unix_connection(self._make_link, sock=ours)
            self.pid = self._process.pid
            await self._watch_over(self._process)
        finally:
            theirs.close()
            self.kill()
            if self._process is not None:
                await self._process.exited.wait()
                self._process.end_children()
            if self._link is not None:
                self._link.close()
                self._link = None
            else:
                ours.close()
            self.lost()

    async def _spawn(self, theirs: socket.socket) -> HostProcess:
        config = host_config(self._options, self._names, f"fd:{theirs.fileno()}")
        return await HostProcess.spawn(
            self._ground.interpreter,
            "-m",
            "pilothouse.sdk.host",
            msgspec.json.encode(config).decode(),
            cwd=self._options.project,
            env=self._environment(),
            pass_fds=(theirs.fileno(),),
        )

    def _environment(self) -> dict[str, str]:
        """That of the node, without the variables that secrets came from: hosts hold handles."""
        values = {secret.value for secret in self._options.secrets}
        inherited = {name: value for name, value in os.environ.items() if value not in values}
        return {**inherited, **self._ground.variables, **self._options.variables, "PYTHONUNBUFFERED": "1"}

    async def _watch_over(self, process: HostProcess) -> None:
        """Until the process ends, or must be ended."""
        readers = [
            asyncio.create_task(self._read(process.stdout, "stdout")),
            asyncio.create_task(self._read(process.stderr, "stderr")),
        ]
        watch = asyncio.create_task(self._watch(process))
        try:
            await process.exited.wait()
            if not self._is_stopping:
                self.on_log("host", f"host {self.name} (pid {process.pid}) ended with {process.returncode}", None, None)
                if self.meter is not None:
                    self.meter.host_held(self.name, 0)
                self.on_lost()
            await asyncio.wait(readers, timeout=1.0)
        finally:
            for task in (*readers, watch):
                task.cancel()
            await asyncio.gather(*readers, watch, return_exceptions=True)

    async def _watch(self, process: HostProcess) -> None:
        loop = asyncio.get_running_loop()
        within = self._options.answers_within
        loads_within = self._options.time_to_load(self._names)
        loads_until = loop.time() + loads_within
        self._asked_at = None
        tainted_at: float | None = None
        while True:
            await asyncio.sleep(min(WATCH_EVERY, within / 4))
            now = loop.time()
            reason = None
            if not self.is_up:
                if now > loads_until:
                    reason = f"did not load its agents within {loads_within:g} s"
            elif self._asked_at is None:
                self._asked_at = now
                self.ping(self._answered)
            elif now - max(self._asked_at, self.heard_at) > within:
                reason = f"said nothing for {within:g} s"
            self.used = used = _memory(process.pid)
            if self.meter is not None:
                self.meter.host_held(self.name, used)
            if self._options.memory and used > self._options.memory:
                reason = f"holds {used >> 20} MiB, more than its limit of {self._options.memory >> 20} MiB"
            if self.is_tainted:
                tainted_at = tainted_at or now
                if self.is_idle or now - tainted_at > REPLACE_WITHIN:
                    reason = f"holds {self.left_behind} attempts whose code did not obey a cancel"
            if reason is not None:
                self.on_log("host", f"host {self.name} (pid {process.pid}) is ended: it {reason}", None, None)
                self.kill()
                return

    def _answered(self) -> None:
        self._asked_at = None

    async def _read(self, stream: asyncio.StreamReader, name: str) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # a line over the limit: what is there goes, the rest follows as a line of its own
                line = await stream.read(LINE_LIMIT)
            if not line:
                return
            self.on_log(name, self.scrub(line.decode(errors="replace").rstrip("\n")), None, None)

    def _make_link(self) -> Link[Message]:
        link: Link[Message] = Link(self._receive, self._link_lost, frames.ToNode, refused=self.refuse)
        self._link = link
        return link

    def _receive(self, messages: list[Message]) -> None:
        self.receive(messages)

    def _link_lost(self, reason: Exception | None) -> None:
        self.kill()


def _memory(pid: int) -> int:
    """Resident bytes of a process; 0 when it cannot be read (it has just ended, or this is not Linux)."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_SIZE
    except (OSError, ValueError, IndexError):
        return 0
