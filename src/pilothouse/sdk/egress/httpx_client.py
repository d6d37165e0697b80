"""httpx and httpx2: the transports that open connections, and with them every client that sits on them.

Only the network transports are patched. A client that was given another one (an ASGI application, a mock) makes no
outgoing call. Both libraries have the same public names, so one adapter serves both; the classes it makes derive from
those of the library that it was made for.
"""

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from pilothouse.sdk.egress.border import Border, border_here
from pilothouse.sdk.egress.call import ModelCall
from pilothouse.sdk.egress.driving import AsyncPassing, Got, Hand, Passing, drive, drive_blocking
from pilothouse.sdk.egress.exchange import Answer, Outgoing

PIECE = 64 * 1024


def patch(library: Any) -> None:
    """Puts the border into `HTTPTransport` and `AsyncHTTPTransport` of the library. A second call does nothing."""
    if hasattr(library.AsyncHTTPTransport, "pilothouse_border"):
        return
    kinds = _Kinds(library)
    send, send_async = library.HTTPTransport.handle_request, library.AsyncHTTPTransport.handle_async_request

    def handle_request(transport: Any, request: Any) -> Any:
        border, attempt = border_here()
        if border is None:
            return send(transport, request)
        out = _outgoing(request, request.read() if _may_be_model_call(request) else None)
        border.check_host(None if attempt is None else attempt.agent, out.place[0], out.place[1])
        wire = _SyncWire(kinds, border, lambda sent: send(transport, sent), request)
        call = None if attempt is None else border.model_call(attempt, attempt.agent, out)
        if call is None:
            return wire.send_plain(out)
        is_on_loop = threading.get_ident() == attempt.surroundings.thread
        return drive_blocking(Hand(call, is_on_loop), wire)

    async def handle_async_request(transport: Any, request: Any) -> Any:
        border, attempt = border_here()
        if border is None:
            return await send_async(transport, request)
        out = _outgoing(request, await request.aread() if _may_be_model_call(request) else None)
        border.check_host(None if attempt is None else attempt.agent, out.place[0], out.place[1])
        wire = _AsyncWire(kinds, border, lambda sent: send_async(transport, sent), request)
        call = None if attempt is None else border.model_call(attempt, attempt.agent, out)
        if call is None:
            return await wire.send_plain(out)
        return await drive(call, wire)

    library.HTTPTransport.handle_request = handle_request
    library.AsyncHTTPTransport.handle_async_request = handle_async_request
    library.AsyncHTTPTransport.pilothouse_border = True


def _may_be_model_call(request: Any) -> bool:
    return request.method == "POST" and "json" in request.headers.get("content-type", "")


def _outgoing(request: Any, body: bytes | None) -> Outgoing:
    return Outgoing(request.method, str(request.url), list(request.headers.multi_items()), body)


class _Kinds:
    """The classes of one library that responses are made of."""

    def __init__(self, library: Any) -> None:
        self.Request, self.Response = library.Request, library.Response
        self.failures: tuple[type[BaseException], ...] = (library.TransportError,)

        class Body(library.AsyncByteStream, library.SyncByteStream):  # type: ignore[misc]
            """What is known already, read as if it came."""

            def __init__(self, body: bytes) -> None:
                self._body = body

            def __iter__(self) -> Iterator[bytes]:
                for at in range(0, len(self._body), PIECE):
                    yield self._body[at : at + PIECE]

            async def __aiter__(self) -> AsyncIterator[bytes]:
                for piece in Body.__iter__(self):
                    yield piece

        class AsyncStream(AsyncPassing, library.AsyncByteStream):  # type: ignore[misc]
            pass

        class SyncStream(Passing, library.SyncByteStream):  # type: ignore[misc]
            pass

        self.Body, self.AsyncStream, self.SyncStream = Body, AsyncStream, SyncStream


class _Sending:
    """One request of the library, sent as often as it takes."""

    def __init__(self, kinds: _Kinds, border: Border, send: Any, request: Any) -> None:
        self.failures = kinds.failures
        self._kinds, self._border, self._send, self._request = kinds, border, send, request

    def _made(self, out: Outgoing, *, is_plain: bool) -> Any:
        """The library's request for what goes out: its own, when the border has nothing to change in it."""
        sent = self._border.secrets.put_in(out)
        if sent is out and is_plain:
            return self._request
        headers = [(name, value) for name, value in sent.headers if name.lower() != "accept-encoding" or is_plain]
        if not is_plain:  # what is recorded must be readable, whatever this process can decode
            headers.append(("accept-encoding", "identity"))
        given = {"content": sent.body} if sent.body is not None else {"stream": self._request.stream}
        extensions = dict(self._request.extensions)
        if out.place[:2] != (self._request.url.host, self._port):  # it goes to another provider than the client meant
            extensions.pop("sni_hostname", None)
        return self._kinds.Request(sent.method, sent.url, headers=headers, extensions=extensions, **given)

    @property
    def _port(self) -> int:
        url = self._request.url
        return url.port or (443 if url.scheme == "https" else 80)

    def make(self, answer: Answer, got: Got | None) -> Any:
        body = self._border.secrets.take_out(answer.body)
        headers = answer.headers if got is None else _without_length(answer.headers)
        extensions = {} if got is None else dict(got.response.extensions)
        return self._kinds.Response(
            answer.status, headers=headers, stream=self._kinds.Body(body), extensions=extensions
        )

    def _stream(self, got: Got, body: Any) -> Any:
        return self._kinds.Response(
            got.status, headers=got.headers, stream=body, extensions=dict(got.response.extensions)
        )


def _without_length(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in ("content-length", "transfer-encoding")]


class _AsyncWire(_Sending):
    async def send_plain(self, out: Outgoing) -> Any:
        return await self._send(self._made(out, is_plain=True))

    async def send(self, request: Outgoing) -> Got:
        response = await self._send(self._made(request, is_plain=False))
        return Got(response.status_code, list(response.headers.multi_items()), response)

    async def read(self, got: Got) -> bytes:
        try:
            return b"".join([piece async for piece in got.response.stream])
        finally:
            await got.response.stream.aclose()

    async def drop(self, got: Got) -> None:
        await got.response.stream.aclose()

    def pass_on(self, got: Got, call: ModelCall) -> Any:
        stream = got.response.stream
        return self._stream(got, self._kinds.AsyncStream(call, got, stream, stream.aclose))


class _SyncWire(_Sending):
    def send_plain(self, out: Outgoing) -> Any:
        return self._send(self._made(out, is_plain=True))

    def send(self, request: Outgoing) -> Got:
        response = self._send(self._made(request, is_plain=False))
        return Got(response.status_code, list(response.headers.multi_items()), response)

    def read(self, got: Got) -> bytes:
        try:
            return b"".join(got.response.stream)
        finally:
            got.response.stream.close()

    def drop(self, got: Got) -> None:
        got.response.stream.close()

    def pass_on(self, got: Got, hand: Hand) -> Any:
        stream = got.response.stream
        return self._stream(got, self._kinds.SyncStream(hand, got, iter(stream), stream.close))
