"""urllib3, and what sits on it: requests, botocore, and the clients that use those.

The pool's `urlopen` is where every request of all of them goes through. It calls itself for its own retries; those are
part of the call that is under way. A streamed answer is handed on chunk by chunk, as `HTTPResponse.stream` promises.
"""

import io
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from pilothouse.sdk.egress.border import Border, border_here
from pilothouse.sdk.egress.driving import Got, Hand, Passing, drive_blocking
from pilothouse.sdk.egress.exchange import Answer, Outgoing

PIECE = 64 * 1024
_is_inside: ContextVar[bool] = ContextVar("pilothouse_urllib3", default=False)


def patch(library: Any) -> None:
    """Puts the border into `HTTPConnectionPool.urlopen`. A second call does nothing."""
    pool_type = library.HTTPConnectionPool
    if hasattr(pool_type, "pilothouse_border"):
        return
    kinds = _Kinds(library)
    original = pool_type.urlopen

    def urlopen(
        pool: Any, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **rest: Any
    ) -> Any:
        border, attempt = border_here()
        if border is None or _is_inside.get():
            return original(pool, method, url, body, headers, *args, **rest)
        given = pool.headers if headers is None else headers
        known = body.encode() if isinstance(body, str) else bytes(body) if isinstance(body, bytes | bytearray) else None
        out = Outgoing(method, _whole_url(pool, url), [(_text(name), _text(one)) for name, one in given.items()], known)
        border.check_host(None if attempt is None else attempt.agent, out.place[0], out.place[1])
        token = _is_inside.set(True)
        try:
            origin = out.url.removesuffix(url)
            wire = _Wire(kinds, border, original, pool, (body, headers), args, rest, origin, out.place[:2])
            call = None if attempt is None else border.model_call(attempt, attempt.agent, out)
            if call is None:
                return wire.send_plain(out)
            is_on_loop = threading.get_ident() == attempt.surroundings.thread
            return drive_blocking(Hand(call, is_on_loop), wire)
        finally:
            _is_inside.reset(token)

    pool_type.urlopen = urlopen
    pool_type.pilothouse_border = True


def _text(value: Any) -> str:
    """botocore has headers of bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _whole_url(pool: Any, url: str) -> str:
    if "://" in url:
        return url
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    port = pool.port or (443 if pool.scheme == "https" else 80)
    return f"{pool.scheme}://{host}:{port}{url}"


class _Kinds:
    def __init__(self, library: Any) -> None:
        self.HeaderDict = library.HTTPHeaderDict if hasattr(library, "HTTPHeaderDict") else dict
        self.Response = library.HTTPResponse
        self.failures: tuple[type[BaseException], ...] = (library.exceptions.HTTPError,)

        class Live(library.HTTPResponse):  # type: ignore[misc]
            """An answer that is still coming."""

            def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
                yield from self._fp.pieces()

            def supports_chunked_reads(self) -> bool:
                return False

        self.Live = Live
        self._library = library
        self._pools: dict[tuple[str, str], Any] = {}

    def pool_of(self, pool: Any, url: str) -> tuple[Any, str]:
        """The connections to another place, trusting whom those of `pool` trust; and the url as seen from there."""
        parts = self._library.util.parse_url(url)
        trusted = {
            name: getattr(pool, name) for name in ("ca_certs", "ca_cert_dir", "cert_reqs") if getattr(pool, name, None)
        }
        key = (f"{parts.scheme}://{parts.netloc}", repr(sorted(trusted.items())))
        found = self._pools.get(key)
        if found is None:
            options = trusted if parts.scheme == "https" else {}
            found = self._pools[key] = self._library.connection_from_url(key[0], **options)
        return found, parts.request_uri


class _Body(io.RawIOBase):
    """The pieces of a stream as a file, for those who read it so."""

    def __init__(self, passing: Passing) -> None:
        self._passing = passing
        self._source = iter(passing)
        self._rest = b""

    def pieces(self) -> Iterator[bytes]:
        rest, self._rest = self._rest, b""
        if rest:
            yield rest
        yield from self._source
        self.close()

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(self.pieces())
        if not self._rest:
            self._rest = next(self._source, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._passing.close()


class _Recorded(io.BytesIO):
    """A body that is known already. It closes itself at its end, as that of a connection does: readers wait for it."""

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        if self.tell() == len(self.getbuffer()):
            self.close()
        return piece


class _Wire:
    def __init__(
        self,
        kinds: _Kinds,
        border: Border,
        send: Any,
        pool: Any,
        given: Any,
        args: Any,
        rest: Any,
        origin: str,
        place: tuple[str, int],
    ) -> None:
        self.failures = kinds.failures
        self._kinds, self._border, self._send, self._pool = kinds, border, send, pool
        self._given, self._args, self._rest, self._origin, self._place = given, args, rest, origin, place
        self._preloads = rest.get("preload_content", True)
        self._decodes = rest.get("decode_content", True)

    def send_plain(self, out: Outgoing) -> Any:
        sent = self._border.secrets.put_in(out)
        body, headers = self._given
        if sent is not out:
            body, headers = body if out.body is None else sent.body, self._kinds.HeaderDict(sent.headers)
        return self._send(
            self._pool, sent.method, sent.url.removeprefix(self._origin), body, headers, *self._args, **self._rest
        )

    def send(self, request: Outgoing) -> Got:
        sent = self._border.secrets.put_in(request)
        headers = self._kinds.HeaderDict(
            [(name, value) for name, value in sent.headers if name.lower() != "accept-encoding"]
        )
        headers["accept-encoding"] = "identity"
        rest = {**self._rest, "preload_content": False, "decode_content": False}
        pool, url = self._pool, sent.url.removeprefix(self._origin)
        if request.place[:2] != self._place:  # it goes to another provider than the client meant
            pool, url = self._kinds.pool_of(self._pool, sent.url)
            rest["assert_same_host"] = False
        response = self._send(pool, sent.method, url, sent.body, headers, *self._args, **rest)
        return Got(response.status, list(response.headers.items()), response)

    def read(self, got: Got) -> bytes:
        try:
            body: bytes = got.response.read(decode_content=False)
            return body
        finally:
            got.response.release_conn()

    def drop(self, got: Got) -> None:
        got.response.close()
        got.response.release_conn()

    def pass_on(self, got: Got, hand: Hand) -> Any:
        inner = got.response

        def close() -> None:
            inner.close()
            inner.release_conn()

        passing = Passing(hand, got, inner.stream(PIECE, decode_content=False), close)
        return self._made(self._kinds.Live, _Body(passing), got.status, got.headers, inner.reason)

    def make(self, answer: Answer, got: Got | None) -> Any:
        body = self._border.secrets.take_out(answer.body)
        headers = [
            (name, value)
            for name, value in answer.headers
            if name.lower() not in ("content-length", "transfer-encoding")
        ]
        reason = got.response.reason if got is not None else None
        return self._made(self._kinds.Response, _Recorded(body), answer.status, headers, reason)

    def _made(self, kind: Any, body: Any, status: int, headers: Any, reason: str | None) -> Any:
        return kind(
            body=body, headers=self._kinds.HeaderDict(headers), status=status, version=11, reason=reason,
            preload_content=self._preloads, decode_content=self._decodes,
        )  # fmt: skip
