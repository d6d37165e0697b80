"""The application: gates, the hot paths, and everything else by the table.

Starting a run, asking for one and following its events go straight to their handlers; a router would cost them a third
of their time. All other routes go through Starlette. There is no middleware: what every request needs (an id, the
checks of who may speak, the bound on how many there are at once, the translation of errors, the count) stands here
once, in the order in which it happens. Whatever is raised below becomes a problem here, and only here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial

import msgspec

from pilothouse.communication.http.body import BodyReader, check_media, discard_rest, read_body, take_body
from pilothouse.communication.http.call import JSON, Call, Front, demand
from pilothouse.communication.http.deadline import Patience
from pilothouse.communication.http.endpoint import make_router, read_query
from pilothouse.communication.http.exchange import Exchange
from pilothouse.communication.http.header import Neighbours
from pilothouse.communication.http.options import HttpOptions
from pilothouse.communication.http.problem import PROBLEM_JSON, encode_problem, headers_of, status_of
from pilothouse.communication.http.run import EventsQuery, RunQuery, get_run, read_events, start_at_once, start_run
from pilothouse.communication.http.signin import PATH as SIGNIN
from pilothouse.communication.http.signin import check_own_page, key_in_cookie
from pilothouse.communication.http.table import DESCRIBED, PAGES
from pilothouse.communication.triggers.registry import Sources
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.share import Shares
from pilothouse.engine.review_link import NOBODY, PATH
from pilothouse.engine.world import World
from pilothouse.errors import Overloaded, PilothouseError, TenantOverloaded
from pilothouse.ports.door import Door
from pilothouse.ports.meter import MetricsPage
from pilothouse.ports.page import Pages
from pilothouse.wire.node import SettingView
from pilothouse.wire.run import RunRequest

AGENTS, RUNS_OF, RUNS, EVENTS_OF = "/v1/agents/", "/runs", "/v1/runs/", "/events"
START_ROUTE, RUN_ROUTE, EVENTS_ROUTE = "/v1/agents/{agent}/runs", "/v1/runs/{run}", "/v1/runs/{run}/events"
HEALTH = frozenset({"/healthz", "/readyz", "/metrics"})
LINKS = f"/{PATH}"
PUBLIC = frozenset({"/", "/docs", "/licenses.txt", "/openapi.json"})
PUBLIC_PAGES = ("/docs/", "/assets/")
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


class OpenDoor(Door):
    """Knows no keys."""

    is_open = True

    def admit(self, authorization: bytes | None) -> Principal:
        return LOCAL


class HttpApp:
    """What answers the requests of a node. Made on its loop."""

    def __init__(
        self,
        world: World,
        options: HttpOptions | None = None,
        meter: MetricsPage | None = None,
        pages: Pages | None = None,
        door: Door | None = None,
        settings: Sequence[SettingView] = (),
        sources: Sources | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        options = options or HttpOptions()
        self.front = Front(
            world,
            options,
            meter or NoMeter(),
            Neighbours(options.hosts),
            door or OpenDoor(),
            document,
            pages,
        )
        self.front.sources = sources or Sources()
        self.front.shares = Shares(options.tenant_share)
        self.front.settings, self.front.started_at = settings, world.clock.now()
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

    def serve(self, exchange: Exchange) -> None:
        """Answers one request: a run that can begin now without a task, everything else in one. Raises nothing."""
        agent = _agent_of(exchange)
        if agent is None or not exchange.is_whole:
            exchange.task = self._loop.create_task(self._serve(exchange))
            return
        call = self._enter(exchange)
        try:
            self._admit(call)
            self._begin_run(call, agent)
        except Exception as error:
            self._end(call, error)

    def _begin_run(self, call: Call, agent: str) -> None:
        """The body of the request is here."""
        call.route = START_ROUTE
        demand(call, "runs:write")
        raw = take_body(call)
        assert raw is not None
        check_media(call.headers, JSON)
        body = self._run_reader.read(raw, self.front.options.depth)
        if not start_at_once(call, agent, body, raw, self._end):
            work = partial(start_run, call, agent, body, raw)
            call.exchange.task = self._loop.create_task(self._serve(call.exchange, call, work))

    async def _serve(
        self, exchange: Exchange, call: Call | None = None, work: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """As a task. `call`: it has entered before, and `work` answers it."""
        if call is None:
            call = self._enter(exchange)
        call.patience.task = exchange.task
        try:
            await (self._find_admitted(call) if work is None else work())
        except PilothouseError as error:
            await refuse(call, error)
        except Exception:
            logger.exception("request %s could not be answered", call.request_id.decode())
            await refuse(call, PilothouseError())
        finally:
            self._leave(call)

    def _end(self, call: Call, error: Exception | None) -> None:
        """The end of a call that has no task."""
        try:
            if isinstance(error, PilothouseError):
                refuse_whole(call, error)
            elif error is not None:
                logger.error("request %s could not be answered", call.request_id.decode(), exc_info=error)
                refuse_whole(call, PilothouseError())
        finally:
            self._leave(call)

    def _enter(self, exchange: Exchange) -> Call:
        patience = Patience()
        self.front.patiences.add(patience, self._loop)
        return Call(self.front, exchange, patience, self._loop.time())

    def _leave(self, call: Call) -> None:
        front = self.front
        call.exchange.finish()
        front.patiences.all.discard(call.patience)
        if call.tenant is not None:
            front.shares.give(call.tenant)
        front.held_bytes -= call.held_bytes
        front.meter.request_ended(call.route, call.status, self._loop.time() - call.began_at)

    def _admit(self, call: Call) -> None:
        """The gates. Raises why the request is not answered."""
        path, front = call.exchange.path, self.front
        if path not in TO_ANYBODY:
            self._let_in(call, path)
        if path not in HEALTH:
            requests = len(front.patiences.all)
            if requests > front.options.requests:
                raise Overloaded()
            if call.principal is not LOCAL:
                self._count_in(call, requests)

    def _count_in(self, call: Call, requests: int) -> None:
        """Raises `TenantOverloaded` when the tenant whose key was shown has its share of all requests at once."""
        front = self.front
        tenant, limit = call.principal.tenant, front.options.requests
        front.shares.meet(tenant)
        if not front.shares.may_take(tenant, limit - requests + 1, limit):
            raise TenantOverloaded(queued=front.shares.held.get(tenant, 0))
        front.shares.take(tenant)
        call.tenant = tenant

    def _let_in(self, call: Call, path: str) -> None:
        """Without keys, whoever calls by a name of this machine; with keys, who has one. Pages hold nothing secret and
        are shown to whoever asks."""
        front = self.front
        if front.door.is_open:
            front.neighbours.check(call.headers)
        elif front.sources.proves_itself(path):
            pass  # its signature is looked at by the route
        elif path.startswith(LINKS) and b"authorization" not in call.headers and key_in_cookie(call.headers) is None:
            call.principal = NOBODY  # the route says what a link alone opens
        elif path not in PUBLIC and not path.startswith(PUBLIC_PAGES):
            given = call.headers.get(b"authorization")
            if path == SIGNIN and call.exchange.method == "POST":
                return  # its body has the key
            if given is None and (key := key_in_cookie(call.headers)) is not None:
                check_own_page(call, key)
                given = b"Bearer " + key
            call.principal = front.door.admit(given)

    def _find_admitted(self, call: Call) -> Awaitable[None]:
        """What answers the call, once it has passed the gates."""
        self._admit(call)
        method, path = call.exchange.method, call.exchange.path
        agent = _agent_of(call.exchange)
        if agent is not None:
            call.route = START_ROUTE
            demand(call, "runs:write")
            return self._start_slowly(call, agent)
        if method == "GET" and path.startswith(RUNS):
            run = path[len(RUNS) :]
            if run and "/" not in run:
                call.route = RUN_ROUTE
                demand(call, "runs:read")
                return get_run(call, run, read_query(call.exchange.query_string, RunQuery))
            if run.endswith(EVENTS_OF) and "/" not in (run := run[: -len(EVENTS_OF)]) and run:
                call.route = EVENTS_ROUTE
                demand(call, "runs:read")
                return read_events(call, run, read_query(call.exchange.query_string, EventsQuery))
        return self._route(call)

    async def _start_slowly(self, call: Call, agent: str) -> None:
        """The body is still on its way."""
        raw = await read_body(call)
        check_media(call.headers, JSON)
        await start_run(call, agent, self._run_reader.read(raw, call.front.options.depth), raw)


@cache
def document() -> bytes:
    """Every route and schema, as OpenAPI 3.1. Made when somebody asks for it, and kept: it takes 30 ms, and memory that
    an embedded node has no use for."""
    from pilothouse.communication.http.openapi import make_document

    return msgspec.json.encode(make_document(DESCRIBED))


def _agent_of(exchange: Exchange) -> str | None:
    """Of a request that starts a run."""
    path = exchange.path
    if exchange.method != "POST" or not path.startswith(AGENTS) or not path.endswith(RUNS_OF):
        return None
    agent = path[len(AGENTS) : -len(RUNS_OF)]
    return agent if agent and "/" not in agent and not exchange.query_string else None


def refuse_whole(call: Call, error: PilothouseError) -> None:
    """Answers with the problem a client that has sent all it had to."""
    if not call.status:
        call.reply(status_of(error), encode_problem(error), headers_of(error), PROBLEM_JSON)


async def refuse(call: Call, error: PilothouseError) -> None:
    """Answers with the problem. When the answer has begun there is nothing left to say: the connection closes."""
    if call.status or not call.has_unread:
        refuse_whole(call, error)
        return
    body = encode_problem(error)
    call.exchange.keeps_alive = False
    call.begin(status_of(error), PROBLEM_JSON, headers_of(error), len(body))
    call.exchange.write(body)
    await discard_rest(call)
    call.exchange.write(b"", is_last=True)
