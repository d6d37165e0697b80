"""The way to an OpenTelemetry collector: one thread that encodes what waits and posts it.

Whoever hands something over appends it and goes on; encoding and sending are this thread's. Of more than can be sent
the newest are dropped, and each that was not sent is counted. What a collector refuses for now is tried again until its
time is over, and then given up. Headers and certificates come from the variables that OpenTelemetry names.
"""

import gzip
import ssl
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException, HTTPMessage
from typing import IO, Generic, TypeVar
from urllib.error import HTTPError
from urllib.parse import unquote

from msgspec import Struct

QUEUE = 8192
"""Facts that wait to be sent, or are being sent."""
BATCH = 2048
"""Of one request: some 700 KB."""
EVERY = 5.0
"""Seconds that the first of a batch waits for others."""
AT_ONCE, PAUSE = 32, 0.0002
"""After so many the thread sleeps for so long: the loop would have to wait 5 ms for one that only computes."""
TRY_AGAIN = frozenset({429, 502, 503, 504})
FIRST_PAUSE = 0.5
"""Seconds; each pause after it is twice as long."""
ANSWER_LIMIT = 65536


class Place(Struct, frozen=True):
    """A collector: where it is and what it wants to see. `attributes` say who sends."""

    url: str
    headers: Mapping[str, str]
    attributes: Mapping[str, str]
    is_packed: bool = False
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None


def place_of(endpoint: str, service: str, environ: Mapping[str, str]) -> Place:
    """`endpoint` is the address without /v1/traces; the rest is as OpenTelemetry's variables have it: see
    https://opentelemetry.io/docs/specs/otel/protocol/exporter/."""

    def read(name: str) -> str | None:
        return environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or environ.get(f"OTEL_EXPORTER_OTLP_{name}")

    return Place(
        f"{endpoint.rstrip('/')}/v1/traces",
        pairs_in(read("HEADERS")),
        {**pairs_in(environ.get("OTEL_RESOURCE_ATTRIBUTES")), "service.name": service},
        read("COMPRESSION") == "gzip",
        read("CERTIFICATE"),
        read("CLIENT_CERTIFICATE"),
        read("CLIENT_KEY"),
    )


def pairs_in(text: str | None) -> dict[str, str]:
    """`a=b,c=d`, percent-encoded; what is no pair is left out."""
    found = {}
    for one in (text or "").split(","):
        name, equals, value = one.partition("=")
        if equals and name.strip():
            found[unquote(name.strip())] = unquote(value.strip())
    return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, and count as sent."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


Fact = TypeVar("Fact")


class Collector(Generic[Fact]):
    """`hand` from one thread. `encode` makes one span of a fact and `close` a request of spans, both on the thread of
    the sender. `within`: seconds for one request with its tries. Raises `OSError` for a certificate that cannot be
    read."""

    def __init__(
        self, place: Place, encode: Callable[[Fact], bytes], close: Callable[[Sequence[bytes]], bytes], within: float
    ) -> None:
        self._place, self._encode, self._close, self._within = place, encode, close, within
        self._opener = _opener(place)
        self._waiting: deque[Fact] = deque()
        self._handed = 0
        self.sent = self.failed = self.dropped = 0
        self._bell, self._is_given_up, self._settled = threading.Event(), threading.Event(), threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._work, name="spans", daemon=True)
        self._thread.start()

    def has_place(self) -> bool:
        """Whether one more may wait; counts the one that may not."""
        if self._handed - self.sent - self.failed < QUEUE:
            return True
        self.dropped += 1
        return False

    def hand(self, fact: Fact) -> None:
        """Once there was place for it."""
        self._handed += 1
        self._waiting.append(fact)
        if len(self._waiting) >= BATCH and not self._bell.is_set():
            self._bell.set()

    def flush(self, within: float = 60.0) -> bool:
        """Whether all that was handed over is sent, or has failed, by then."""
        self._bell.set()
        with self._settled:
            return self._settled.wait_for(lambda: self.sent + self.failed >= self._handed, within)

    def stop(self, within: float) -> None:
        """Sends what waits. What is not sent by then is given up, but for the request under way."""
        self._is_stopping = True
        self._bell.set()
        self._thread.join(within)
        self._is_given_up.set()
        self._thread.join()

    # --- the thread -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        is_last = False
        while not is_last:
            self._bell.wait(EVERY)
            self._bell.clear()
            is_last = self._is_stopping
            while self._waiting:
                self._send([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))])

    def _send(self, facts: Sequence[Fact]) -> None:
        """Counts each as sent or failed, whatever happens."""
        sent = 0
        try:
            if not self._is_given_up.is_set() and (spans := self._encoded(facts)) and self._post(self._close(spans)):
                sent = len(spans)
        finally:
            with self._settled:
                self.sent += sent
                self.failed += len(facts) - sent
                self._settled.notify_all()

    def _encoded(self, facts: Sequence[Fact]) -> list[bytes]:
        """Without what cannot be written, as a text that is no Unicode."""
        found: list[bytes] = []
        for number, fact in enumerate(facts, 1):
            with suppress(ValueError, OverflowError):
                found.append(self._encode(fact))
            if number % AT_ONCE == 0:
                time.sleep(PAUSE)
        return found

    def _post(self, body: bytes) -> bool:
        place = self._place
        headers = {"Content-Type": "application/x-protobuf", "User-Agent": "pilothouse", **place.headers}
        if place.is_packed:
            body, headers["Content-Encoding"] = gzip.compress(body, 6), "gzip"
        give_up_at, pause = time.monotonic() + self._within, FIRST_PAUSE
        while (left := give_up_at - time.monotonic()) > 0:
            try:
                request = urllib.request.Request(place.url, body, headers, method="POST")
                with self._opener.open(request, timeout=left) as answer:
                    answer.read(ANSWER_LIMIT)
                return True
            except HTTPError as refused:
                with refused:
                    if refused.code not in TRY_AGAIN:
                        return False
                    pause = max(pause, _seconds(refused.headers.get("Retry-After")))
            except (OSError, HTTPException):
                pass  # it is not there; so it was for the whole time, or it comes back
            if time.monotonic() + pause >= give_up_at or self._is_given_up.wait(pause):
                break
            pause *= 2
        return False


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isdecimal() else 0.0


def _opener(place: Place) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if place.url.startswith("https:"):
        context = ssl.create_default_context(cafile=place.certificate)
        if place.client_certificate is not None:
            context.load_cert_chain(place.client_certificate, place.client_key)
        handlers.append(urllib.request.HTTPSHandler(context=context))
    return urllib.request.build_opener(*handlers)
