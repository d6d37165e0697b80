"""A pool of warm processes of this machine, children of the host: started when a step needs one, kept for the next.

A step that is cancelled or out of time takes its process with it (SIGKILL): code that computes hears nothing else. The
next step gets a new one.
"""

import asyncio
import os
import pickle
import socket
import subprocess
import sys

import msgspec

from pilothouse.sdk.pools.pool import Lost, Pool
from pilothouse.sdk.pools.work import Outcome
from pilothouse.wire.host import MemberConfig, PoolConfig

HEAD = 8
PART = 1 << 20
UP_WITHIN = 60.0
ENDS_WITHIN = 100
"""Hundredths of a second for which a process whose link is gone may end by itself, so that its own signal is told."""


def make(name: str, config: PoolConfig, project: str) -> "LocalPool":
    return LocalPool(name, config, project)


class Member:
    """One process, and our end of its link. `end` as often as one likes."""

    def __init__(self, process: "subprocess.Popen[bytes]", link: socket.socket) -> None:
        self.process = process
        self._link = link
        self._loop = asyncio.get_running_loop()
        link.setblocking(False)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    async def receive(self) -> bytes:
        return await self._exactly(int.from_bytes(await self._exactly(HEAD)))

    async def _exactly(self, count: int) -> bytes:
        """Raises `EOFError` when the process has ended."""
        loop, found = asyncio.get_running_loop(), bytearray()
        while len(found) < count:
            part = await loop.sock_recv(self._link, min(count - len(found), PART))
            if not part:
                raise EOFError("its process has ended")
            found += part
        return bytes(found)

    async def ask(self, packed: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._link, len(packed).to_bytes(HEAD) + packed)
        return await self.receive()

    def end(self) -> int:
        """By force, at once. Its exit code; below 0: the signal that ended it."""
        self.process.kill()
        if self._link.fileno() >= 0:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._link)  # somebody may be reading whom nobody cancelled
            self._link.close()
        return self.process.wait()


class LocalPool(Pool):
    def __init__(self, name: str, config: PoolConfig, project: str) -> None:
        super().__init__(name, config, project)
        self.idle: list[Member] = []
        self.busy: set[Member] = set()
        self.is_closed = False

    async def reach(self) -> str | None:
        if self.is_closed:
            return "its host ends"
        for member in [one for one in self.idle if not one.is_alive]:
            self.idle.remove(member)
            member.end()
        if self.idle:
            return None
        try:
            started = await self._start()
        except (OSError, EOFError, TimeoutError) as error:
            return f"no process can be started: {str(error) or type(error).__name__}"
        self.idle.append(started)
        return None

    async def _start(self) -> Member:
        ours, theirs = socket.socketpair()
        with theirs:
            config = MemberConfig(
                socket=theirs.fileno(), project=self.project, parent=os.getpid(), memory=self.config.memory
            )
            try:
                process = self._spawn(config)
            except BaseException:
                ours.close()
                raise
        member = Member(process, ours)
        try:
            async with asyncio.timeout(UP_WITHIN):
                await member.receive()
        except BaseException:
            member.end()
            raise
        return member

    @staticmethod
    def _spawn(config: MemberConfig) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "pilothouse.sdk.pools.member", msgspec.json.encode(config).decode()],
            stdin=subprocess.DEVNULL, pass_fds=(config.socket,), start_new_session=True,
        )  # fmt: skip

    async def send(self, packed: bytes, cpus: float, gpus: float) -> Outcome:
        try:
            member = self.idle.pop() if self.idle else await self._start()  # somebody may have been faster
        except (OSError, EOFError, TimeoutError) as error:
            raise Lost(f"no process can be started: {error}") from error
        self.busy.add(member)
        try:
            outcome: Outcome = pickle.loads(await member.ask(packed))
        except (OSError, EOFError) as error:
            code = await self._code_of(member)
            raise Lost(f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}") from error
        except BaseException:  # cancelled, or out of time
            member.end()
            raise
        finally:
            self.busy.discard(member)
        self.idle.append(member)
        return outcome

    @staticmethod
    async def _code_of(member: Member) -> int:
        """Its link is gone: it has ended, or is about to."""
        for _ in range(ENDS_WITHIN):
            if not member.is_alive:
                break
            await asyncio.sleep(0.01)
        return member.end()

    def close(self) -> None:
        self.is_closed = True
        for member in [*self.idle, *self.busy]:
            member.end()
        self.idle.clear()
