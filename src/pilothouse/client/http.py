"""One request and its answer: when it may be sent again, how long that goes on, and what a failure is called.

A request is repeated only when that cannot do anything twice: it reads, or it carries an Idempotency-Key, or it says so
itself. A node that restarts is away for seconds, so a repeat waits a little longer each time and within a limit.
"""

import ipaddress
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
import msgspec

from pilothouse.client.refusal import ApiError, Unreachable, refusal, strange_answer

T = TypeVar("T")

CONNECT_WITHIN = 5.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
BUSY = (429, 503)
LOST = (httpx2.TransportError,)
STREAM_SILENCE = 90.0
"""Seconds without even a heartbeat after which a stream counts as cut."""
ERROR_LIMIT = 1024 * 1024


class Pauses:
    """How long to wait before each further try, until the time is over. `seconds` may come from a Retry-After."""

    def __init__(self, within: float) -> None:
        self._until = time.monotonic() + within
        self._pause = FIRST_PAUSE

    def wait(self, seconds: float | None = None) -> bool:
        """Sleeps, and tells whether another try is due. False at once when its time would be over."""
        pause = self._pause if seconds is None else seconds
        if time.monotonic() + pause > self._until:
            return False
        time.sleep(pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return True


class Wire:
    """The connection to one node. Not for use by several threads at once."""

    def __init__(self, url: str, answer_within: float, retry_within: float, key: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.retry_within = retry_within
        self._answer_within = answer_within
        try:
            parsed = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise Unreachable(f"{url!r} is not an address: {error}.", _ADDRESS_HINT) from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise Unreachable(f"{url!r} is not an address of a node.", _ADDRESS_HINT)
        # A proxy of the environment is meant for the way out, never for this machine itself.
        self._http = httpx2.Client(
            base_url=self.url,
            timeout=self._timeout(None),
            trust_env=not _is_loopback(parsed.host),
            headers={} if key is None else {"Authorization": f"Bearer {key}"},
        )

    def close(self) -> None:
        self._http.close()

    def call(
        self,
        kind: type[T],
        method: str,
        path: str,
        *,
        body: object = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        repeatable: bool = False,
        within: float | None = None,
    ) -> T:
        """The JSON of an answer as `kind`. Raises ApiError."""

        def send() -> httpx2.Response:
            return self._http.request(
                method,
                path,
                content=None if body is None else msgspec.json.encode(body),
                params={name: value for name, value in (params or {}).items() if value is not None},
                headers=_headers(headers, body),
                timeout=self._timeout(within),
            )

        response = self._send(send, repeatable or method == "GET")
        if response.status_code == 204 or kind is type(None):
            return None  # type: ignore[return-value]  # asked for as type(None)
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise strange_answer(self.url) from None

    def _send(self, send: Callable[[], httpx2.Response], repeatable: bool) -> httpx2.Response:
        pauses = Pauses(self.retry_within)
        while True:
            try:
                response = send()
            except LOST as error:
                if not repeatable or isinstance(error, httpx2.ReadTimeout) or not pauses.wait():
                    raise self.lost(error) from None
                continue
            if response.status_code < 400:
                return response
            refused = self.refused(response)
            if not repeatable or refused.status not in BUSY or not pauses.wait(refused.retry_after):
                raise refused

    @contextmanager
    def stream(
        self, method: str, path: str, *, body: object = None, headers: dict[str, str]
    ) -> Iterator[httpx2.Response]:
        """An open answer. Raises ApiError for a refusal, and httpx2.TransportError when the connection is cut."""
        with self._http.stream(
            method,
            path,
            content=None if body is None else msgspec.json.encode(body),
            headers=_headers(headers, body) | {"Accept": "text/event-stream"},
            timeout=self._timeout(STREAM_SILENCE),
        ) as response:
            if response.status_code >= 400:
                response.read()
                raise self.refused(response)
            yield response

    def refused(self, response: httpx2.Response) -> ApiError:
        return refusal(
            response.status_code,
            response.headers.get("content-type", ""),
            response.content[:ERROR_LIMIT],
            self.url,
            response.headers.get("retry-after"),
        )

    def lost(self, error: Exception, run: str | None = None) -> Unreachable:
        """What a failed connection means to a person."""
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            return Unreachable(
                f"No node answers at {self.url}.",
                "Start one with `pilothouse serve` or `pilothouse dev`, or name its address with --url.",
                run,
            )
        if isinstance(error, httpx2.TimeoutException):
            return Unreachable(f"{self.url} did not answer in time.", "Look at the node, then try again.", run)
        return Unreachable(
            f"The connection to {self.url} was cut before the answer was complete.",
            "The node may have taken the request: look with `pilothouse runs` before you send it again.",
            run,
        )

    def _timeout(self, within: float | None) -> httpx2.Timeout:
        return httpx2.Timeout(within if within is not None else self._answer_within, connect=CONNECT_WITHIN)


_ADDRESS_HINT = "An address looks like http://127.0.0.1:8700."


def _headers(headers: dict[str, str] | None, body: object) -> dict[str, str]:
    return (headers or {}) | ({} if body is None else {"Content-Type": "application/json"})


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
