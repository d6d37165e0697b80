"""A node in a process of its own: started, killed, told to end."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

READY_WITHIN = 60.0
STOP_WITHIN = 20.0


class NodeProcess:
    """`start` as often as it has ended. `port` is known once it serves."""

    def __init__(self, name: str, role: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name, self.role, self._folder, self._environment = name, role, folder, environment
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        command = [sys.executable, "-m", "pilothouse", "serve", "--role", self.role, "--json"]
        self._process = await asyncio.create_subprocess_exec(
            *command, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(READY_WITHIN):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} did not start")
        self.port = int(json.loads(line)["url"].rpartition(":")[2])

    async def metrics(self) -> str:
        def read() -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=READY_WITHIN) as answer:
                return bytes(answer.read())

        return (await asyncio.to_thread(read)).decode()

    async def kill(self) -> None:
        """SIGKILL; its hosts end with it."""
        if self.is_alive:
            assert self._process is not None
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and by force when it takes too long."""
        if not self.is_alive:
            return
        assert self._process is not None
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
