"""One request while it is answered, and what all requests of a node share.

A `Call` is made for every request, so it keeps to what each needs: the headers as a dict, an id, and `reply`. It is
also the only place that tells whose request it is: `tenant_of` and `principal_of`.
"""

import itertools
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pilothouse.communication.http.deadline import Patience, Patiences
from pilothouse.communication.http.exchange import Exchange, header_line
from pilothouse.communication.http.header import REQUEST_ID, TRACEPARENT, Neighbours
from pilothouse.communication.http.options import HttpOptions
from pilothouse.communication.triggers.registry import Sources
from pilothouse.domain.principal import LOCAL
from pilothouse.domain.share import Shares
from pilothouse.engine.world import World
from pilothouse.errors import BadCursor, Forbidden
from pilothouse.ports.door import Door
from pilothouse.ports.meter import MetricsPage
from pilothouse.ports.page import Pages
from pilothouse.wire.node import SettingView

Headers = Sequence[tuple[bytes, bytes]]

JSON = b"application/json"
NO_STORE = b"no-store"

CURSOR = re.compile(r"[A-Za-z0-9_.=:-]{1,512}\Z")

_PREFIX = f"req_{secrets.token_hex(5)}".encode()
_COUNT = itertools.count(1)
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True, eq=False)
class Front:
    """What all requests share."""

    world: World
    options: HttpOptions
    meter: MetricsPage
    neighbours: Neighbours
    door: Door
    document: Callable[[], bytes]
    """Makes the OpenAPI document."""
    pages: Pages | None = None
    settings: Sequence[SettingView] = ()
    started_at: int = 0
    """Microseconds since 1970 UTC."""
    sources: Sources = field(default_factory=Sources)
    patiences: Patiences = field(default_factory=Patiences)
    shares: Shares = field(default_factory=lambda: Shares(1.0))
    """Whose the requests are that are answered now."""
    streams: int = 0
    held_bytes: int = 0


class Call:
    __slots__ = (
        "began_at", "exchange", "front", "has_unread", "headers", "held_bytes", "patience", "principal", "request_id",
        "route", "status", "tenant", "traceparent",
    )  # fmt: skip

    def __init__(self, front: Front, exchange: Exchange, patience: Patience, began_at: float) -> None:
        self.front = front
        self.exchange = exchange
        self.patience = patience
        self.began_at = began_at
        """On the clock of the loop."""
        headers: dict[bytes, bytes] = dict(exchange.headers)
        self.headers = headers
        self.principal = LOCAL
        """Who asks; set at the door, before any handler."""
        self.tenant: str | None = None
        """Among whose requests it is counted."""
        self.route = "other"
        self.status = 0
        """Of the answer; 0 until it begins."""
        self.has_unread = False
        """The client goes on sending a body that nobody wants."""
        self.held_bytes = 0
        given = headers.get(b"x-request-id")
        if given is not None and REQUEST_ID.match(given):
            self.request_id = given
        else:
            self.request_id = b"%b%08x" % (_PREFIX, next(_COUNT))
        trace = headers.get(b"traceparent")
        self.traceparent = trace if trace is not None and TRACEPARENT.match(trace) else None

    def head(self, media: bytes | None, more: Headers, cache: bytes = NO_STORE) -> bytes:
        """The lines that every answer has, and what is given."""
        lines = b"cache-control: %b\r\nx-request-id: %b\r\n" % (cache, self.request_id)
        if media is not None:
            lines = b"content-type: %b\r\n%b" % (media, lines)
        if self.traceparent is not None:
            lines = b"%btraceparent: %b\r\n" % (lines, self.traceparent)
        if more:
            lines += b"".join([header_line(name, value) for name, value in more])
        return lines

    def begin(self, status: int, media: bytes, more: Headers = (), length: int | None = None) -> None:
        """Sends the head of an answer that follows in parts."""
        self.status = status
        self.exchange.begin(status, self.head(media, more), length)

    def reply(self, status: int, body: bytes, more: Headers = (), media: bytes = JSON) -> None:
        """The whole answer. It waits for nothing."""
        self.status = status
        self.exchange.answer(status, self.head(media, more), body)

    def reply_page(self, status: int, body: bytes, more: Headers, media: bytes | None, cache: bytes) -> None:
        """Like `reply`, for what a browser may keep; without `media` for a 304."""
        self.status = status
        self.exchange.answer(status, self.head(media, more, cache), body)

    async def answer(self, status: int, body: bytes, more: Headers = (), media: bytes = JSON) -> None:
        self.reply(status, body, more, media)

    async def show(self, view: Any, status: int = 200, more: Headers = ()) -> None:
        self.reply(status, _encode(view), more)

    async def answer_empty(self, status: int, more: Headers = ()) -> None:
        """204 and 304: no body, and no word about its type."""
        self.status = status
        self.exchange.answer(status, self.head(None, more), b"")


def tenant_of(call: Call) -> str:
    """Whose request this is, as its key says."""
    return call.principal.tenant


def principal_of(call: Call) -> str:
    """Who asks, for the records of decisions."""
    return call.principal.name


def demand(call: Call, scope: str) -> None:
    """Raises `Forbidden` when the key of the request does not have the scope."""
    if not call.principal.may(scope):
        raise Forbidden(reason=f"its key does not have the scope {scope}", hint=f"Use a key with the scope {scope}.")


def check_cursor(cursor: str | None) -> None:
    """A cursor that no list gives out never reaches the records. Raises `BadCursor`."""
    if cursor is not None and not CURSOR.match(cursor):
        raise BadCursor()
