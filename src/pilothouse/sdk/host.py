"""The host: loads the user's agents and drives their attempts as the node says.

`HostRuntime` does no I/O: messages in, messages out. The node uses it inline, or starts this module as a process,
`python -m pilothouse.sdk.host JSON`, which puts it behind a `Link` on a Unix socket. The process lives for its node
only: it ends when the link does, and the kernel ends it when the node dies.
"""

import asyncio
import contextlib
import gc
import importlib
import importlib.util
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import msgspec

from pilothouse.errors import AgentNotFound, InvalidInput, TargetInvalid
from pilothouse.sdk.attempt import Attempt
from pilothouse.sdk.egress.border import guard_process
from pilothouse.sdk.egress.interception import intercept
from pilothouse.sdk.egress.sockets import guard_loop, guard_sockets
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.failure import end_error, kinds_of, own_traceback, text_of
from pilothouse.sdk.link import Link
from pilothouse.sdk.logs import Lines, capture
from pilothouse.sdk.parent import bind_to_parent
from pilothouse.sdk.release import forget_project
from pilothouse.sdk.surroundings import HeldClock, Surroundings
from pilothouse.sdk.target import Loaded, from_object, load_agents
from pilothouse.wire.frames import (
    VERSION,
    Abandon,
    Acks,
    AgentDescription,
    CallDenied,
    CallGranted,
    Cancel,
    Check,
    Checked,
    Decided,
    Drain,
    Failed,
    Hello,
    KnowSecrets,
    Message,
    Ping,
    Pong,
    Rejected,
    Resolved,
    Rules,
    ScratchUsed,
    Start,
    ToHost,
)
from pilothouse.wire.host import AgentTarget, HostConfig

CONNECT_EVERY = 0.02
END_WITHIN = 2.0
"""Seconds that user code's threads and exit handlers may delay the end of the process."""

_faults = msgspec.json.Encoder().encode


class HostRuntime:
    """The attempts of one host. Everything is called on the thread of its event loop, and returns at once."""

    def __init__(
        self,
        send: Callable[[Message], None],
        config: HostConfig,
        loop: asyncio.AbstractEventLoop,
        held_clock: HeldClock | None = None,
    ) -> None:
        self._send = self._said = send
        self._config = config
        self._agents: dict[str, Loaded] = {}
        self._attempts: dict[int, Attempt] = {}
        self.surroundings = Surroundings(send, config, loop, held_clock)
        self.is_draining = False
        intercept()
        guard_sockets()
        guard_loop(loop)
        self._verbs: dict[type[Message], Callable[[Any], None]] = {
            Start: self._start,
            Acks: self._acks,
            Resolved: self._resolved,
            Cancel: self._cancel,
            Abandon: self._abandon,
            Check: self._check,
            Ping: self._ping,
            Drain: self._drain,
            CallGranted: self._answered,
            CallDenied: self._answered,
            ScratchUsed: self._scratch_used,
            KnowSecrets: self._know,
            Decided: self._decided,
            Rules: self._rules,
        }

    def load(self, *, anew: bool = False) -> None:
        """Imports the agents. What cannot be loaded is described as a problem. `anew`: the project's files are read
        again, for `dev`."""
        if anew:
            forget_project(self._config.project)
        self._agents = load_agents(self._config.project, self._config.agents)

    def add(self, name: str, found: Any, target: AgentTarget | None = None) -> AgentDescription:
        """Takes an agent that is at hand as an object, for tests and for whoever embeds a host. Raises
        `TargetInvalid`."""
        loaded = from_object(name, target if target is not None else AgentTarget(target=name), found)
        self._agents[name] = loaded
        return loaded.description

    def describe(self) -> list[AgentDescription]:
        return [loaded.description for loaded in self._agents.values()]

    def receive(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._verbs[type(message)](message)

    def set_writable(self, is_writable: bool) -> None:
        """Whether the node takes more now; while not, `emit` waits and nothing parks."""
        self.surroundings.set_writable(is_writable)

    @property
    def active(self) -> int:
        """Attempts that have not ended."""
        return len(self._attempts)

    def close(self) -> None:
        """Ends everything without a word. A second call does nothing."""
        for attempt in list(self._attempts.values()):
            attempt.abandon()
        self.surroundings.close()

    # --- what the node says ---

    def _start(self, start: Start) -> None:
        held = self._attempts.get(start.slot)
        if held is not None:
            held.abandon()
        loaded = self._agents.get(start.agent)
        if loaded is None or loaded.bridge is None:
            self._send(_not_loaded(start, loaded))
            return
        try:
            value = loaded.bridge.read(start.input)
        except InvalidInput as error:
            self._send(Rejected(start.slot, _faults(error.faults)))
            return
        except Exception as error:  # the user's own validators
            self._send(Failed(start.slot, end_error(error), kinds_of(error), own_traceback(error)))
            return
        attempt = Execution(self.surroundings, start, loaded.bridge, self._ended)
        self._attempts[start.slot] = attempt
        attempt.begin(value)

    def _ended(self, attempt: Attempt) -> None:
        if self._attempts.get(attempt.slot) is attempt:
            del self._attempts[attempt.slot]

    def _acks(self, acks: Acks) -> None:
        attempt = self._attempts.get(acks.slot)
        if attempt is not None:
            attempt.acked(acks.refs)

    def _resolved(self, resolved: Resolved) -> None:
        attempt = self._attempts.get(resolved.slot)
        if attempt is not None:
            attempt.resolved(resolved.row)

    def say(self, message: Message) -> None:
        """A word for the node, from whoever is in this process."""
        self._send(message)

    def _know(self, known: KnowSecrets) -> None:
        """From now on no message leaves with a secret in it."""
        secrets = self.surroundings.border.secrets
        secrets.learn(known.secrets)
        send = self._said
        self._send = self.surroundings.send = lambda message: send(secrets.clean(message))

    def _answered(self, answer: CallGranted | CallDenied) -> None:
        attempt = self._attempts.get(answer.slot)
        if attempt is not None:
            attempt.answered(answer)

    def _scratch_used(self, used: ScratchUsed) -> None:
        attempt = self._attempts.get(used.slot)
        if attempt is not None:
            attempt.scratch_used(used)

    def _decided(self, decided: Decided) -> None:
        attempt = self._attempts.get(decided.slot)
        if attempt is not None and not attempt.is_over:
            attempt.journal.acked((decided.ref,), decided.row)

    def _rules(self, rules: Rules) -> None:
        self.surroundings.is_gated = rules.is_gated

    def _cancel(self, cancel: Cancel) -> None:
        attempt = self._attempts.get(cancel.slot)
        if attempt is not None:
            attempt.cancel()

    def _abandon(self, abandon: Abandon) -> None:
        attempt = self._attempts.get(abandon.slot)
        if attempt is not None:
            attempt.abandon()

    def _check(self, check: Check) -> None:
        loaded = self._agents.get(check.agent)
        faults: list[dict[str, str]] | None = None
        if loaded is None or loaded.bridge is None:
            faults = [{"path": "$", "message": f"This host has no agent {check.agent!r}"}]
        else:
            try:
                loaded.bridge.read(check.input)
            except InvalidInput as error:
                faults = error.faults
            except Exception as error:
                faults = [{"path": "$", "message": text_of(error) or type(error).__name__}]
        self._send(Checked(check.ref, None if faults is None else _faults(faults)))

    def _ping(self, ping: Ping) -> None:
        self._send(Pong(ping.ref))

    def _drain(self, drain: Drain) -> None:
        self.is_draining = True


def _not_loaded(start: Start, loaded: Loaded | None) -> Failed:
    problem = None if loaded is None else loaded.description.problem
    error = AgentNotFound(agent=start.agent) if problem is None else TargetInvalid(problem)
    return Failed(start.slot, end_error(error), kinds_of(error))


# --- the process ------------------------------------------------------------------------------------------------------


def main(argument: str) -> None:
    """Runs until the node closes the link. Raises `SystemExit` with the reason when the link broke or never was."""
    config = msgspec.json.decode(argument, type=HostConfig)
    bind_to_parent(config.node)
    _limit(config)
    lines = capture(config.log_limit)
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    process = HostProcess(config, loop, lines)
    process.runtime.load()
    gc.collect()
    gc.freeze()
    loop.create_task(process.connect())
    while not process.is_over:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):  # from a task that the user's code started: its own end, not ours
            continue
    _exit_soon()
    _unwind(loop)
    lines.release()
    if process.failure is not None:
        raise SystemExit(f"host: {process.failure}")


class HostProcess:
    """A runtime behind a link."""

    def __init__(self, config: HostConfig, loop: asyncio.AbstractEventLoop, lines: Lines) -> None:
        self._config = config
        self._loop = loop
        self._lines = lines
        self.is_over = False
        self.failure: Exception | None = None
        self._link: Link[ToHost] = Link(self._receive, self._lost, ToHost, paced=self._paced)
        self.runtime = HostRuntime(self._link.send, config, loop)
        guard_process(self.runtime.surroundings.border)
        self.runtime.surroundings.take_back = self._link.take_back
        self.runtime.surroundings.flush_lines = lines.flush_ended

    async def connect(self) -> None:
        """A socket's file exists a moment before anybody listens on it, so it is tried again for a while."""
        give_up_at = monotonic() + self._config.connect_within
        while True:
            try:
                await self._connect_once(self._config.socket)
                break
            except OSError as error:
                if monotonic() >= give_up_at:
                    self._lost(ConnectionError(f"the node cannot be reached at {self._config.socket}: {error}"))
                    return
            await asyncio.sleep(CONNECT_EVERY)
        self._link.send(Hello(VERSION, os.getpid(), self.runtime.describe()))
        self._lines.open(self._loop, self.runtime.say)

    async def _connect_once(self, place: str) -> None:
        kind, _, number = place.partition(":")
        if kind != "fd":
            await self._loop.create_unix_connection(lambda: self._link, place)
            return
        inherited = socket.socket(fileno=int(number))
        inherited.set_inheritable(False)  # what user code starts must not keep the link open after this process
        await self._loop.create_unix_connection(lambda: self._link, sock=inherited)

    def _receive(self, messages: list[ToHost]) -> None:
        self.runtime.receive(messages)

    def _paced(self, is_writable: bool) -> None:
        self.runtime.set_writable(is_writable)

    def _lost(self, reason: Exception | None) -> None:
        self.failure = reason
        self.is_over = True
        self.runtime.close()
        self._loop.stop()


def _limit(config: HostConfig) -> None:
    if config.memory:
        resource.setrlimit(resource.RLIMIT_DATA, (config.memory, config.memory))
    if config.cores and hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        first = os.getpid() % len(allowed)
        chosen = (allowed[first:] + allowed[:first])[: config.cores]
        os.sched_setaffinity(0, chosen)


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop where the project has it; it is never required."""
    if importlib.util.find_spec("uvloop") is not None:
        loop: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
        return loop
    return asyncio.new_event_loop()


def _unwind(loop: asyncio.AbstractEventLoop) -> None:
    """Lets user code see that it was cancelled, for a moment."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    with contextlib.suppress(SystemExit, KeyboardInterrupt):
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=END_WITHIN / 2))
    loop.close()


def _exit_soon() -> None:
    """Threads and exit handlers of user code get a moment, not for ever."""
    timer = threading.Timer(END_WITHIN, os._exit, (0,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main(sys.argv[1])
