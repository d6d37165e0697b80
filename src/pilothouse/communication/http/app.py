"""The ASGI application: gates, the hot paths, and everything else by the table.

Starting a run, asking for one and following its events go straight to their handlers; a router would cost them a third
of their time. All other routes go through Starlette. There is no middleware: what every request needs (an id, the
checks of who may speak, the bound on how many there are at once, the translation of errors, the count) stands here
once, in the order in which it happens. Whatever is raised below becomes a problem here, and only here.
"""

import asyncio
import logging
from typing import Any

import msgspec

from pilothouse.communication.http.body import BodyReader, check_media, discard_rest, read_body
from pilothouse.communication.http.call import JSON, Call, Front, Receive, Scope, Send
from pilothouse.communication.http.deadline import Patience
from pilothouse.communication.http.endpoint import make_router, read_query
from pilothouse.communication.http.header import Neighbours
from pilothouse.communication.http.openapi import make_document
from pilothouse.communication.http.options import HttpOptions
from pilothouse.communication.http.problem import PROBLEM_JSON, encode_problem, headers_of, status_of
from pilothouse.communication.http.run import EventsQuery, RunQuery, get_run, read_events, start_run
from pilothouse.communication.http.table import DESCRIBED, PAGES
from pilothouse.engine.world import World
from pilothouse.errors import Overloaded, PilothouseError
from pilothouse.ports.meter import MetricsPage
from pilothouse.wire.run import RunRequest

AGENTS, RUNS_OF, RUNS, EVENTS_OF = "/v1/agents/", "/runs", "/v1/runs/", "/events"
START_ROUTE, RUN_ROUTE, EVENTS_ROUTE = "/v1/agents/{agent}/runs", "/v1/runs/{run}", "/v1/runs/{run}/events"
HEALTH = frozenset({"/healthz", "/readyz", "/metrics"})
TO_ANYBODY = frozenset({"/healthz", "/readyz"})
"""Answered to any Host: they tell nothing, and a supervisor asks by address."""

logger = logging.getLogger("pilothouse.http")


class NoMeter(MetricsPage):
    """Counts nothing."""

    def request_ended(self, route: str, status: int, seconds: float) -> None: ...

    def stream_opened(self) -> None: ...

    def stream_closed(self) -> None: ...

    def render(self) -> bytes:
        return b""


class HttpApp:
    """The ASGI callable of a node."""

    def __init__(
        self,
        world: World,
        options: HttpOptions | None = None,
        meter: MetricsPage | None = None,
    ) -> None:
        options = options or HttpOptions()
        document = msgspec.json.encode(make_document(DESCRIBED))
        self.front = Front(world, options, meter or NoMeter(), Neighbours(options.hosts), document)
        self._route = make_router((*DESCRIBED, *PAGES))
        self._run_reader = BodyReader(RunRequest)

    def drain(self) -> None:
        """At SIGTERM, after the world was set to drain: streams are told to reconnect, and callers who would ask again
        anyway are answered now. Those who wait for the end of a run go on waiting."""
        self.front.patiences.end_early(polls_only=True)

    def release(self) -> None:
        """At the end of the grace: those who still wait are told where to ask for their run."""
        self.front.patiences.end_early(polls_only=False)
        self.front.patiences.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _answer_other(scope, receive, send)
            return
        front = self.front
        task: asyncio.Task[None] | None = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        patience, patiences = Patience(task), front.patiences
        patiences.add(patience, loop)
        call = Call(front, scope, receive, send, patience, loop.time())
        try:
            path = scope["path"]
            if path not in TO_ANYBODY:
                front.neighbours.check(call.headers)
            if len(patiences.all) > front.options.requests and path not in HEALTH:
                raise Overloaded()
            await self._serve(call, path)
        except PilothouseError as error:
            await refuse(call, error)
        except Exception:
            logger.exception("request %s could not be answered", call.request_id.decode())
            await refuse(call, PilothouseError())
        finally:
            patiences.all.discard(patience)
            front.held_bytes -= call.held_bytes
            front.meter.request_ended(call.route, call.status, loop.time() - call.began_at)

    async def _serve(self, call: Call, path: str) -> None:
        method = call.scope["method"]
        if method == "POST" and path.startswith(AGENTS) and path.endswith(RUNS_OF):
            agent = path[len(AGENTS) : -len(RUNS_OF)]
            if agent and "/" not in agent and not call.scope["query_string"]:
                call.route = START_ROUTE
                await self._start_run(call, agent)
                return
        elif method == "GET" and path.startswith(RUNS):
            run = path[len(RUNS) :]
            if run and "/" not in run:
                call.route = RUN_ROUTE
                await get_run(call, run, read_query(call.scope["query_string"], RunQuery))
                return
            if run.endswith(EVENTS_OF) and "/" not in (run := run[: -len(EVENTS_OF)]) and run:
                call.route = EVENTS_ROUTE
                await read_events(call, run, read_query(call.scope["query_string"], EventsQuery))
                return
        await self._route(call)

    async def _start_run(self, call: Call, agent: str) -> None:
        raw = await read_body(call)
        check_media(call.headers, JSON)
        await start_run(call, agent, self._run_reader.read(raw, call.front.options.depth), raw)


async def refuse(call: Call, error: PilothouseError) -> None:
    """Answers with the problem. When the answer has begun there is nothing left to say: the server closes."""
    if call.status:
        return
    more = headers_of(error)
    body = encode_problem(error)
    if not call.has_unread:
        await call.answer(status_of(error), body, more, PROBLEM_JSON)
        return
    head = [(b"content-type", PROBLEM_JSON), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    await call.begin(status_of(error), head, more)
    await call.send({"type": "http.response.body", "body": body, "more_body": True})
    await discard_rest(call)
    await call.send({"type": "http.response.body", "body": b""})


async def _answer_other(scope: Scope, receive: Receive, send: Send) -> None:
    """Lifespan is acknowledged (the composition root starts and stops the node); WebSockets are not spoken."""
    match scope["type"]:
        case "lifespan":
            while True:
                message: Any = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        case "websocket":
            await send({"type": "websocket.close", "code": 1008})
        case _:
            return
