"""A real node in a thread of this process: real records, inline agents, the real server on a free port of loopback.

Tests speak to it as any caller does. Where a test needs other limits than the settings know, `front` serves the same
world once more with options of its own.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import uvloop

from pilothouse.app import Node
from pilothouse.communication.http.app import HttpApp
from pilothouse.communication.http.options import HttpOptions
from pilothouse.communication.http.server import HttpServer, bind
from pilothouse.observability.metric import Metrics
from pilothouse.settings import AgentSettings, Flag, load_settings

T = TypeVar("T")

AGENTS = '''
"""Agents for the tests of the HTTP room."""

import asyncio
from pathlib import Path
from typing import Any

from pilothouse import Context, agent


@agent
def echo(message: Any) -> Any:
    """Says what it hears."""
    return message


@agent
def shape(point: dict[str, int]) -> dict[str, int]:
    return point


@agent
async def spell(ctx: Context, word: str) -> str:
    for letter in word:
        await ctx.emit(letter)
    return word


@agent
async def hold(file: str) -> str:
    """Goes on once the file is there."""
    while not Path(file).exists():
        await asyncio.sleep(0.005)
    return "released"


@agent
def boom(number: int) -> float:
    return 1 / number


@agent(mode="session")
async def diary(ctx: Context, note: str) -> str:
    notes = ctx.session.state.setdefault("notes", [])
    notes.append(note)
    return f"{len(notes)} noted"


@agent(mode="session")
async def vigil(ctx: Context, name: str) -> Any:
    """A turn that waits for a signal."""
    return await ctx.signal(name)


@agent(mode="event")
async def digest(ctx: Context, text: str) -> int:
    total = 0
    for line in text.splitlines():
        total += await ctx.step(count, line)
    return total


def count(line: str) -> int:
    if line == "bad":
        raise ValueError("a bad line")
    return len(line.split())


@agent(mode="event")
async def ask(ctx: Context, question: str) -> str:
    answer = await ctx.review(question, {"why": "a test"})
    return f"{answer.verdict} {answer.edited} {answer.response} {answer.reason} {answer.by}"


@agent(mode="event")
async def flood(ctx: Context, size: int) -> int:
    for _ in range(100):
        await ctx.emit("x" * size)
        await asyncio.sleep(0)
    return size
'''
NAMES = ("echo", "shape", "spell", "hold", "boom", "diary", "vigil", "digest", "ask", "flood")


class Front:
    """The HTTP room alone, over the world of a node."""

    def __init__(self, app: HttpApp, server: HttpServer, http: httpx2.Client) -> None:
        self.app, self.server, self.port, self.http = app, server, server.port, http


class Served:
    """A node that serves. `http` is a client of it."""

    def __init__(self, node: Node, loop: asyncio.AbstractEventLoop) -> None:
        self.node = node
        self.loop = loop
        self.port = node.port
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs something in the loop of the node."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def set_draining(self, is_draining: bool) -> None:
        async def act() -> None:
            self.node.world.is_draining = is_draining

        self.do(act())

    @contextmanager
    def front(self, options: HttpOptions, send_buffer: int = 0) -> Iterator[Front]:
        """The same world served once more, with other limits. `send_buffer`: what the kernel takes of an answer that
        nobody reads."""

        async def start() -> tuple[HttpApp, HttpServer]:
            app = HttpApp(self.node.world, options, Metrics())
            listener = bind("127.0.0.1", 0)
            if send_buffer:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
            server = HttpServer(app, listener, 1.0)
            await server.start()
            return app, server

        app, server = self.do(start())
        with httpx2.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60, trust_env=False) as http:
            try:
                yield Front(app, server, http)
            finally:
                self.do(server.stop())

    def post(self, agent: str, input: Any, **more: Any) -> httpx2.Response:
        headers = more.pop("headers", {})
        return self.http.post(f"/v1/agents/{agent}/runs", json={"input": input} | more, headers=headers)


@contextmanager
def serve_node(folder: Path, more: tuple[Flag, ...] = (), **server: Any) -> Iterator[Served]:
    """A node over the project in `folder`, from its start to its stop. `more`: settings of other sections."""
    (folder / "server_agents.py").write_text(AGENTS)
    flags = [
        Flag(f"server.{name}", name, value) for name, value in ({"port": 0, "grace_seconds": 1.0} | server).items()
    ]
    flags += [Flag("worker.isolation", "isolation", "inline"), Flag("worker.park_after_seconds", "park", 0.0)]
    flags += more
    agents = {name: AgentSettings(target=f"server_agents:{name}") for name in NAMES}
    settings = load_settings({}, folder=folder, flags=flags, agents=agents)
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="node")
    thread.start()
    said: list[str] = []
    node: Node | None = None
    served: Served | None = None

    async def start() -> Node:
        made = Node(settings, said.append)
        await made.start()
        return made

    try:
        node = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        served = Served(node, loop)
        yield served
    finally:
        if served is not None:
            served.http.close()
        if node is not None:
            asyncio.run_coroutine_threadsafe(node.stop(), loop).result(60)
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
