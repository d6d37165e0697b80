"""What the headers of a request say: preferences, versions, traces, and whether a browser page is behind it.

All of it is read without a library, on values that are nearly always absent. Where a standard says that a header which
cannot be understood is ignored (Prefer, traceparent), it is; where ignoring would change what a write does (If-Match,
Last-Event-ID), it is refused.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from msgspec import Struct

from pilothouse.errors import Forbidden, MalformedRequest

TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
SECONDS = re.compile(rb"[0-9]{1,9}(\.[0-9]{1,6})?\Z")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}\Z")
IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}\Z")
ENTITY_TAG = re.compile(r'\s*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')
HOSTS_KEPT = 1024
WAIT_LIMIT = 300.0
"""Seconds that `?wait=` may ask for, and to which `Prefer: wait=` is cut."""


class Preference(Struct, frozen=True):
    """`respond_async`, and `wait` in seconds; what was understood and is applied is what `applied` says."""

    respond_async: bool = False
    wait: float | None = None

    @property
    def asks(self) -> bool:
        return self.respond_async or self.wait is not None

    @property
    def applied(self) -> bytes:
        parts = [b"respond-async"] if self.respond_async else []
        if self.wait is not None:
            parts.append(f"wait={self.wait:g}".encode())
        return b", ".join(parts)


NO_PREFERENCE = Preference()


def read_prefer(value: bytes | None) -> Preference:
    """RFC 7240. The first of a repeated preference counts; what is not understood is ignored."""
    if value is None:
        return NO_PREFERENCE
    respond_async, wait = False, None
    for one in value.lower().split(b","):
        name, _, given = one.partition(b";")[0].partition(b"=")
        given = given.strip().strip(b'"')
        match name.strip():
            case b"respond-async":
                respond_async = True
            case b"wait" if wait is None and SECONDS.match(given):
                wait = min(float(given), WAIT_LIMIT)
            case _:
                pass
    return Preference(respond_async, wait)


def wants_stream(accept: bytes | None) -> bool:
    """Whether `Accept` names server-sent events, and does not refuse them with a weight of 0."""
    if accept is None or b"text/event-stream" not in accept:
        return False
    for one in accept.lower().split(b","):
        media, *parameters = (part.strip() for part in one.split(b";"))
        if media == b"text/event-stream":
            return not any(re.fullmatch(rb"q=0(\.0*)?", part) for part in parameters)
    return False


def read_tags(value: bytes | None) -> list[str] | None:
    """The entity tags of If-Match or If-None-Match; None: there is no condition, or `*`."""
    if value is None or value.strip() == b"*":
        return None
    text = value.decode("latin-1")
    tags, at = [], 0
    while True:
        found = ENTITY_TAG.match(text, at)
        if found is None:
            raise MalformedRequest(reason='an entity tag is written in quotes: "3"')
        # A weak tag never matches a strong comparison (RFC 9110, 13.1.1); no version is written like this.
        tags.append(found[1] if not found[0].lstrip().startswith("W/") else "weak")
        at = found.end()
        if at == len(text):
            return tags
        if text[at] != ",":
            raise MalformedRequest(reason="entity tags are separated by commas")
        at += 1


def read_position(value: bytes) -> int:
    """Last-Event-ID: the number of the last event a client has seen."""
    if not value.isdigit() or len(value) > 18:
        raise MalformedRequest(reason="Last-Event-ID is the number that stood behind `id:`")
    return int(value)


class Neighbours:
    """Which programs may speak to a node that has no keys: those that call it by a name of this machine.

    A page of a stranger's site can make a browser send requests here, and by pointing its own name at 127.0.0.1 even
    read the answers (DNS rebinding). Both show in headers that a page cannot forge: Host, Origin, Sec-Fetch-Site.
    Verdicts are kept for the names seen, up to a bound.
    """

    def __init__(self, hosts: frozenset[str]) -> None:
        self._hosts = hosts
        self._verdicts: dict[bytes, bool] = {}

    def check(self, headers: dict[bytes, bytes]) -> None:
        """Raises `Forbidden`, or `MalformedRequest` without a Host."""
        host = headers.get(b"host")
        if host is None:
            raise MalformedRequest(reason="the header Host is missing")
        if not self._is_known(host):
            raise Forbidden(reason=f"the name {host.decode('latin-1')!r} is not one of this machine")
        origin = headers.get(b"origin")
        if origin is not None and not self._is_known(origin):
            raise Forbidden(reason=f"it comes from a page of {origin.decode('latin-1')!r}")
        if headers.get(b"sec-fetch-site") == b"cross-site":
            raise Forbidden(reason="it comes from a page of another site")

    def _is_known(self, value: bytes) -> bool:
        verdict = self._verdicts.get(value)
        if verdict is None:
            if len(self._verdicts) >= HOSTS_KEPT:
                self._verdicts.clear()
            verdict = self._verdicts[value] = self._judge(value.decode("latin-1"))
        return verdict

    def _judge(self, value: str) -> bool:
        try:
            parts = urlsplit(value if "://" in value else f"//{value}")
            name, _ = parts.hostname or "", parts.port
        except ValueError:
            return False
        if parts.username is not None or parts.path or parts.query or parts.fragment:
            return False
        name = name.rstrip(".")
        if name in self._hosts or name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False
