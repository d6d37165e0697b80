"""A real receiver of webhooks on loopback, in the loop of the test: it keeps what came and answers as it is told.

It checks signatures with its own few lines, so that a fault in the rules of the product cannot hide here.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Behaviour = Callable[["Post", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Post:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        return self.json["type"]

    @property
    def json(self):
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        text = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        wanted = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        return wanted in self.headers["webhook-signature"].split(" ")


def answers(status: int, *headers: str) -> Behaviour:
    async def behave(post: Post, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = "".join(f"{one}\r\n" for one in headers)
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n{head}\r\n".encode())

    return behave


@dataclass
class Receiver:
    """`behaviours` are used up one for each post; the last one stays."""

    behaviours: list[Behaviour] = field(default_factory=lambda: [answers(204)])
    posts: list[Post] = field(default_factory=list)
    connections: int = 0

    async def __aenter__(self) -> "Receiver":
        self._tasks: set[asyncio.Task] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            post = await self._read(reader)
            self.posts.append(post)
            behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
            await behave(post, reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> Post:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in head[1:] if one)}
        body = await reader.readexactly(int(headers["content-length"]))
        return Post(head[0].split(" ")[1], headers, body)
