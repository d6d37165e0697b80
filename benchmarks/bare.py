"""The hand-written server to compare with: Starlette on uvicorn, as fast as it goes, and nothing else.

Run as `python -m benchmarks.bare FOLDER`; prints its port. No gates, no limits, no recovery: what is durable here is
what a careful person writes first, one SQLite connection with synchronous=FULL in a thread of its own and one commit
for each thing that must not be lost. Its event streams are not durable at all.
"""

import asyncio
import gc
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from benchmarks.agents import EVENTS, GAP
from pilothouse.communication.http.server import bind

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE turn(pos INTEGER PRIMARY KEY, session TEXT, input TEXT, output TEXT);
CREATE INDEX turn_of_session ON turn(session, pos);
CREATE TABLE run(id INTEGER PRIMARY KEY, status TEXT, input TEXT, output TEXT);
"""


class Asked(msgspec.Struct):
    input: msgspec.Raw
    session: str = ""


FRAME = (
    b'id: %d\nevent: output.delta\ndata: {"run":"run_0660e701c13d5c0fd8bc239bc30eda","seq":%d,'
    b'"at":"2026-01-01T00:00:00.000000Z","delta":%d}\n\n'
)
DECODER = msgspec.json.Decoder(Asked)


def answer(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def echo(message: msgspec.Raw) -> msgspec.Raw:
    return message


async def run_stateless(request: Request) -> Response:
    asked = DECODER.decode(await request.body())
    return answer({"status": "succeeded", "output": await echo(asked.input)})


class Durable:
    """Turns and background runs over one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._loop = asyncio.get_running_loop()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.executescript(SCHEMA)
        self._ends: dict[str, asyncio.Future[msgspec.Raw]] = {}

    def _insert_turn(self, session: str, given: bytes, output: bytes) -> None:
        self._connection.execute("INSERT INTO turn(session, input, output) VALUES (?, ?, ?)", (session, given, output))

    def _past_turns(self, session: str) -> list[tuple[str, str]]:
        statement = "SELECT input, output FROM turn WHERE session = ? ORDER BY pos DESC LIMIT 10"
        return self._connection.execute(statement, (session,)).fetchall()

    async def run_turn(self, request: Request) -> Response:
        asked = DECODER.decode(await request.body())
        await self._loop.run_in_executor(self._thread, self._past_turns, asked.session)
        output = await echo(asked.input)
        await self._loop.run_in_executor(
            self._thread, self._insert_turn, asked.session, bytes(asked.input), bytes(output)
        )
        return answer({"status": "succeeded", "output": output})

    def _insert_run(self, given: bytes) -> int:
        done = self._connection.execute("INSERT INTO run(status, input) VALUES ('running', ?)", (given,))
        return int(done.lastrowid or 0)

    def _end_run(self, run: int, output: bytes) -> None:
        self._connection.execute("UPDATE run SET status = 'succeeded', output = ? WHERE id = ?", (output, run))

    async def start_run(self, request: Request) -> Response:
        given = DECODER.decode(await request.body()).input
        run = await self._loop.run_in_executor(self._thread, self._insert_run, bytes(given))
        self._ends[str(run)] = asyncio.ensure_future(self._perform(run, given))
        return answer({"id": str(run), "status": "running"}, 202)

    async def _perform(self, run: int, given: msgspec.Raw) -> msgspec.Raw:
        output = await echo(given)
        await self._loop.run_in_executor(self._thread, self._end_run, run, bytes(output))
        return output

    async def wait_run(self, request: Request) -> Response:
        run = request.path_params["run"]
        async with asyncio.timeout(10):
            output = await self._ends[run]
        del self._ends[run]
        return answer({"id": run, "status": "succeeded", "output": output})


async def run_stream(request: Request) -> Response:
    gap = GAP if request.path_params["agent"] == "paced" else 0

    async def events():
        for number in range(EVENTS):
            yield FRAME % (number + 1, number + 1, number)
            await asyncio.sleep(gap)

    return StreamingResponse(events(), media_type="text/event-stream")


async def main(folder: Path) -> None:
    durable = Durable(folder / "bare.db")
    routes = [
        Route("/v1/agents/echo/runs", run_stateless, methods=["POST"]),
        Route("/v1/agents/turn/runs", durable.run_turn, methods=["POST"]),
        Route("/v1/agents/job/runs", durable.start_run, methods=["POST"]),
        Route("/v1/runs/{run}", durable.wait_run, methods=["GET"]),
        Route("/v1/agents/{agent}/runs", run_stream, methods=["POST"]),
    ]
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        Starlette(routes=routes), loop="none", http="httptools", ws="none", lifespan="off", interface="asgi3",
        access_log=False, log_config=None, server_header=False, date_header=True, timeout_keep_alive=75,
        timeout_graceful_shutdown=1, proxy_headers=False,
    )  # fmt: skip
    gc.collect()
    gc.freeze()
    print(listener.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
