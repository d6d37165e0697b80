"""aiohttp: a client middleware behind those that the user has, around each request that is really sent.

Redirects come through it hop by hop. The answers it makes are `ClientResponse` objects of the library, with a
`StreamReader` of their own as content; a streamed one is fed by a task, as it comes, and its last event is fed once the
journal has it. Versions before 3.12 have no middlewares: there only the border below (`sockets`) holds.
"""

import asyncio
import copy
import inspect
from typing import Any
from urllib.parse import urlsplit

from pilothouse.sdk.egress.border import Border, border_here
from pilothouse.sdk.egress.call import ModelCall
from pilothouse.sdk.egress.driving import NOT_SOUND, Got, drive
from pilothouse.sdk.egress.exchange import Answer, Outgoing

LIMIT = 2**16
PATCHED = "pilothouse_border"


def patch(library: Any) -> None:
    """Adds the border's middleware to every request of a `ClientSession`. A second call does nothing."""
    session_type = library.ClientSession
    request_method = session_type._request
    if hasattr(library, PATCHED) or "middlewares" not in inspect.signature(request_method).parameters:
        return

    async def middleware(request: Any, handler: Any) -> Any:
        border, attempt = border_here()
        if border is None:
            return await handler(request)
        out = Outgoing(request.method, str(request.url), list(request.headers.items()), await _body_of(request))
        border.check_host(None if attempt is None else attempt.agent, out.place[0], out.place[1])
        wire = _Wire(library, border, request, handler)
        call = None if attempt is None else border.model_call(attempt, attempt.agent, out)
        if call is None:
            await wire.prepare(out)
            return await handler(request)
        return await drive(call, wire)

    async def request(session: Any, *args: Any, middlewares: Any = None, **options: Any) -> Any:
        border, _ = border_here()
        if border is not None:
            before = session._middlewares if middlewares is None else middlewares
            middlewares = (*(before or ()), middleware)
        return await request_method(session, *args, middlewares=middlewares, **options)

    session_type._request = request
    setattr(library, PATCHED, True)


async def _body_of(request: Any) -> bytes | None:
    if request.method != "POST" or "json" not in request.headers.get("content-type", ""):
        return None
    body = request.body
    return body if isinstance(body, bytes) else await body.as_bytes()


def _known_body(request: Any) -> bytes | None:
    body = request.body
    return body if isinstance(body, bytes) else None


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class _NoWriter:
    output_size = 0


class _NoConnection:
    """What a reader asks of its connection, for one whose bytes do not come from there."""

    connected = True
    _reading_paused = False

    def pause_reading(self) -> None: ...

    def resume_reading(self, *_: object, **__: object) -> None: ...


class _Wire:
    def __init__(self, library: Any, border: Border, request: Any, handler: Any) -> None:
        self.failures: tuple[type[BaseException], ...] = (library.ClientConnectionError, library.ClientPayloadError)
        self._library, self._border, self._request, self._handler = library, border, request, handler
        self._origin = _origin_of(str(request.url))
        self._known = _known_body(request)
        self._flights = 0
        self._pumps: set[asyncio.Task[None]] = set()

    async def prepare(self, out: Outgoing) -> None:
        """Puts the secrets into the library's own request."""
        request = self._request
        sent = self._border.secrets.put_in(out)
        if sent is out:
            return
        if sent.url != str(request.url):
            request.url = type(request.url)(sent.url)
        for name, value in sent.headers:
            if "secret://" in request.headers.get(name, ""):
                request.headers[name] = value
        if sent.body is not None and sent.body != out.body:
            await request.update_body(sent.body)

    async def send(self, request: Outgoing) -> Got:
        response = await self._handler(await self._copied(request))
        return Got(response.status, list(response.headers.items()), response)

    async def _copied(self, out: Outgoing) -> Any:
        """A request of the library for what goes out: its own stays as it is, so that two may be under way."""
        sent = self._border.secrets.put_in(out)
        request = copy.copy(self._request)
        request.headers = request.headers.copy()
        request.headers.clear()
        for name, value in sent.headers:
            request.headers.add(name, value)
        request.headers["accept-encoding"] = "identity"
        if sent.url != str(request.url):
            request.url = type(request.url)(sent.url)
            if _origin_of(sent.url) != self._origin:  # it goes to another provider than the client meant
                request.server_hostname = None
                request.headers["Host"] = request.url.host_port_subcomponent
        if sent.body is not None and (sent.body != self._known or "content-length" not in request.headers):
            await request.update_body(sent.body)
        self._flights += 1
        if self._flights > 1:  # the clock of the client's own request ends the first task that entered it
            request._timer = self._library.helpers.TimerNoop()
        return request

    async def read(self, got: Got) -> bytes:
        body: bytes = await got.response.read()
        return body

    async def drop(self, got: Got) -> None:
        got.response.close()

    def make(self, answer: Answer, got: Got | None) -> Any:
        body = self._border.secrets.take_out(answer.body)
        response = self._response(answer) if got is None else got.response
        response._body = None
        response.content = self._reader()
        response.content.feed_data(body)
        response.content.feed_eof()
        return response

    def _reader(self) -> Any:
        return self._library.StreamReader(_NoConnection(), LIMIT, loop=asyncio.get_running_loop())

    def _response(self, answer: Answer) -> Any:
        library, request = self._library, self._request
        wanted = {
            "writer": None, "continue100": None, "timer": library.helpers.TimerNoop(), "traces": [],
            "request_info": request.request_info, "loop": asyncio.get_running_loop(), "session": None,
            "stream_writer": _NoWriter(), "request_headers": request.headers, "original_url": request.url,
        }  # fmt: skip
        names = inspect.signature(library.ClientResponse.__init__).parameters
        given = {name: value for name, value in wanted.items() if name in names}
        response = library.ClientResponse(request.method, request.url, **given)
        response.status, response.reason, response.version = answer.status, "", library.HttpVersion11
        headers = library.client_reqrep.CIMultiDict(answer.headers)
        response._headers = library.client_reqrep.CIMultiDictProxy(headers)
        response._raw_headers = tuple((name.encode(), value.encode()) for name, value in answer.headers)
        return response

    def pass_on(self, got: Got, call: ModelCall) -> Any:
        response = got.response
        source, reader = response.content, self._reader()
        response.content = reader
        pump = asyncio.get_running_loop().create_task(self._pump(got, call, source, reader))
        self._pumps.add(pump)  # a task that nobody holds may be collected
        pump.add_done_callback(self._pumps.discard)
        return response

    async def _pump(self, got: Got, call: ModelCall, source: Any, reader: Any) -> None:
        seen = call.copy(got.content_type)
        try:
            async for piece in source.iter_any():
                if seen.feed(piece) and seen.is_kept:
                    await call.complete(Answer(got.status, got.headers, seen.body()))
                reader.feed_data(piece)
            if not seen.is_sound:
                call.broke_off(seen, NOT_SOUND)
            elif seen.is_kept:
                await call.complete(Answer(got.status, got.headers, seen.body()))
            call.let_go(seen)
            reader.feed_eof()
        except BaseException as error:
            if got.response.closed or isinstance(error, asyncio.CancelledError):
                call.let_go(seen)
            else:
                call.broke_off(seen, error)
            reader.set_exception(error if isinstance(error, Exception) else self.failures[0]("The run has ended"))
            if not isinstance(error, Exception):
                raise
