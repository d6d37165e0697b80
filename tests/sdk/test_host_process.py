"""The host as a real process: reached over an inherited socket or a path, killed, and ended with its link."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from pilothouse.sdk.link import Link
from pilothouse.wire import frames
from pilothouse.wire.host import AgentTarget, HostConfig
from tests.sdk.node import now

pytestmark = pytest.mark.slow

AGENTS = """
import asyncio, os, sys
from pilothouse import Context, agent

@agent(mode="event", description="Doubles.")
async def doubles(ctx: Context, number: int) -> int:
    print("from", number)
    return await ctx.step(twice, number)

async def twice(number: int) -> int:
    return number * 2

@agent
async def hangs(ctx: Context):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

@agent
def blocks():
    import time
    time.sleep(3600)

@agent
async def dies():
    os._exit(7)

@agent
async def exits():
    asyncio.ensure_future(leaves())
    await asyncio.sleep(0.01)
    return "still here"

async def leaves():
    sys.exit(3)
"""
NAMES = ("doubles", "hangs", "blocks", "dies", "exits")


class HostOf:
    """A started host with the node's end of its link."""

    def __init__(self):
        self.heard, self.lost = [], []
        self.link = Link(self.heard.extend, self.lost.append, frames.ToNode)
        self.process = None

    async def until(self, is_so):
        async with asyncio.timeout(60):
            while not is_so():
                await asyncio.sleep(0.002)

    async def hear(self, kind):
        await self.until(lambda: any(isinstance(one, kind) for one in self.heard))
        return next(one for one in self.heard if isinstance(one, kind))

    async def ended(self):
        return await asyncio.to_thread(self.process.wait, 20)

    def start(self, agent, input=b"null", slot=1, kept=False):
        facts: tuple[Any, ...] = (kept, True, b"{}", None, None, b"{}", frames.NO_HISTORY, [], now(), False)
        self.link.send(frames.Start(slot, "acme", "run_1", agent, "r1", "event", 1, input, *facts))


@contextlib.asynccontextmanager
async def host_over(kind, folder):
    (folder / "agents.py").write_text(AGENTS)
    host, loop = HostOf(), asyncio.get_running_loop()
    server, theirs, place = None, None, str(folder / "host.sock")
    if kind == "fd":
        ours, theirs = socket.socketpair()
        await loop.create_unix_connection(lambda: host.link, sock=ours)
        place = f"fd:{theirs.fileno()}"
    else:
        server = await loop.create_unix_server(lambda: host.link, place)
    targets = {name: AgentTarget(target=f"agents:{name}") for name in NAMES}
    targets["missing"] = AgentTarget(target="agents:nothing")
    config = HostConfig(socket=place, project=str(folder), agents=targets, node=os.getpid())
    host.process = subprocess.Popen(
        [sys.executable, "-m", "pilothouse.sdk.host", msgspec.json.encode(config).decode()],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[] if theirs is None else [theirs.fileno()],
    )
    if theirs is not None:
        theirs.close()
    try:
        yield host
    finally:
        host.process.kill()
        await asyncio.to_thread(host.process.communicate)
        host.link.close()
        await host.until(lambda: host.lost)
        if server is not None:
            server.close()


@pytest.mark.parametrize("kind", ["fd", "path"])
async def test_a_host_says_hello_runs_an_agent_and_ends_with_its_link(tmp_path, kind):
    async with host_over(kind, tmp_path) as host:
        hello = await host.hear(frames.Hello)
        assert (hello.version, hello.pid) == (frames.VERSION, host.process.pid)
        agents = {one.name: one for one in hello.agents}
        assert (agents["doubles"].mode, agents["doubles"].description, agents["doubles"].problem) == (
            "event",
            "Doubles.",
            None,
        )
        assert agents["doubles"].release
        assert "nothing" in agents["missing"].problem
        host.start("doubles", b"21")
        finished = await host.hear(frames.Finished)
        assert finished.output == b"42"
        assert (await host.hear(frames.Log)).text == "from 21"
        host.link.close()
        assert await host.ended() == 0


async def test_a_kept_run_waits_for_the_ack_of_its_step(tmp_path):
    async with host_over("fd", tmp_path) as host:
        await host.hear(frames.Hello)
        host.start("doubles", b"1", kept=True)
        ended = await host.hear(frames.StepEnded)
        host.link.send(frames.Ping(1))
        await host.hear(frames.Pong)
        assert not any(isinstance(one, frames.Finished) for one in host.heard)
        host.link.send(frames.Acks(1, [ended.ref]))
        assert (await host.hear(frames.Finished)).output == b"2"


async def test_a_killed_host_loses_its_link_at_once(tmp_path):
    async with host_over("fd", tmp_path) as host:
        await host.hear(frames.Hello)
        host.start("hangs")
        os.kill(host.process.pid, signal.SIGKILL)
        await host.until(lambda: host.lost)
        assert await host.ended() == -signal.SIGKILL


async def test_a_host_that_its_own_code_ends_loses_its_link(tmp_path):
    async with host_over("fd", tmp_path) as host:
        await host.hear(frames.Hello)
        host.start("dies")
        await host.until(lambda: host.lost)
        assert await host.ended() == 7


@pytest.mark.parametrize("agent", ["hangs", "blocks"])
async def test_a_host_ends_with_its_link_whatever_its_code_does(tmp_path, agent):
    async with host_over("fd", tmp_path) as host:
        await host.hear(frames.Hello)
        host.start(agent)
        host.link.send(frames.Ping(1))
        await host.hear(frames.Pong)
        host.link.close()
        await asyncio.wait_for(host.ended(), 6)


async def test_signals_for_everybody_and_the_exit_of_a_task_do_not_end_a_host(tmp_path):
    async with host_over("fd", tmp_path) as host:
        await host.hear(frames.Hello)
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(host.process.pid, number)
        host.start("exits")
        assert (await host.hear(frames.Finished)).output == b'"still here"'


async def test_a_host_whose_node_is_another_process_ends_at_once(tmp_path):
    config = HostConfig(socket="fd:99", project=str(tmp_path), agents={}, node=1 << 30)
    command = [sys.executable, "-m", "pilothouse.sdk.host", msgspec.json.encode(config).decode()]
    assert subprocess.run(command, timeout=60, check=False, capture_output=True).returncode == 1


async def test_a_node_that_cannot_be_reached_is_told(tmp_path):
    place = str(tmp_path / "no.sock")
    config = HostConfig(socket=place, project=str(tmp_path), agents={}, node=os.getpid(), connect_within=0.05)
    command = [sys.executable, "-m", "pilothouse.sdk.host", msgspec.json.encode(config).decode()]
    ended = subprocess.run(command, timeout=60, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "cannot be reached" in ended.stderr
