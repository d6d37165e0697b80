"""A request on its way out and an answer on its way in, as no client library has them.

The adapters of client libraries translate to and from these; rules, records and secrets know nothing else. An answer
is kept in the journal as the JSON that `dump` makes: its text when it is text, so that people can read it.
"""

import base64
import binascii
import struct
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from pilothouse.domain.provider import Shape

Headers = list[tuple[str, str]]
KEPT_HEADERS = ("content-type", "content-encoding", "x-request-id", "request-id", "x-should-retry")
KEPT_PREFIXES = ("x-amzn-", "openai-", "anthropic-")


class Outgoing(Struct):
    """`body` None: it is not known, because the client streams it."""

    method: str
    url: str
    headers: Headers
    body: bytes | None

    @property
    def place(self) -> tuple[str, int, str]:
        """(host in lower case, port, path without the query)."""
        parts = urlsplit(self.url)
        return (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80), parts.path

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


class Answer(Struct):
    """What came, or what is given instead."""

    status: int
    headers: Headers
    body: bytes


class _Kept(Struct, omit_defaults=True):
    status: int
    headers: dict[str, str]
    text: str | None = None
    base64: str | None = None
    by: str = ""
    """Who answered, when it was not the first that was asked."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Kept).decode


def dump(answer: Answer, by: str = "") -> bytes:
    """The answer as JSON for a row: status, the headers that say something of the answer itself, and the body."""
    kept = _Kept(answer.status, kept_headers(answer.headers), by=by)
    try:
        kept.text = answer.body.decode()
    except UnicodeDecodeError:
        kept.base64 = base64.b64encode(answer.body).decode()
    return _encode(kept)


def load(raw: bytes) -> Answer:
    """The answer that a row holds. A text that a person wrote in its place (a fork with another output) is taken as
    the body. Raises `ValueError` for what is no answer at all."""
    try:
        kept = _decode(raw)
        body = (kept.text or "").encode() if kept.base64 is None else base64.b64decode(kept.base64)
    except (msgspec.MsgspecError, binascii.Error) as error:
        raise ValueError("what is kept of this model call is no answer of a provider") from error
    return Answer(kept.status, list(kept.headers.items()), body)


def kept_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    found = {name.lower(): value for name, value in headers}
    return {name: value for name, value in found.items() if name in KEPT_HEADERS or name.startswith(KEPT_PREFIXES)}


EXPECTED: dict[Shape, tuple[str, ...]] = {
    "chat": ("choices",),
    "completions": ("choices",),
    "responses": ("output", "status"),
    "embeddings": ("data",),
    "messages": ("content",),
    "generate": ("candidates", "promptFeedback", "usageMetadata", "predictions", "totalTokens"),
    "converse": ("output",),
}
"""Members of which a whole answer of a shape has at least one."""
_members = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw]).decode


def is_sound(answer: Answer, shape: Shape) -> bool:
    """Whether a whole answer is JSON, and of the kind that its shape promises. What a client cannot read is as good as
    no answer: it is asked for again, and never kept."""
    if any(name.lower() == "content-encoding" and value != "identity" for name, value in answer.headers):
        return True
    try:
        found = _members(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    expected = EXPECTED.get(shape)
    if isinstance(found, list):
        return shape in ("generate", "invoke")
    return expected is None or any(name in found for name in expected)


def is_sound_stream(body: bytes, content_type: str) -> bool:
    """Whether what came as a stream is one: events with JSON in them, frames that fit, or JSON."""
    try:
        if "eventstream" in content_type:
            return bool(body) and sum(AWS_FRAME.unpack_from(body, at)[0] for at in frames_at(body)) == len(body)
        if "event-stream" in content_type:
            pieces = (line[5:].strip() for line in body.splitlines() if line.startswith(b"data:"))
            said = next((piece for piece in pieces if piece and piece != b"[DONE]"), b"")
        else:
            said = body.strip()
        msgspec.json.decode(said.splitlines()[0] if "ndjson" in content_type else said, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError):
        return False
    return True


AWS_FRAME = struct.Struct(">II")


def frames_at(body: bytes) -> Iterator[int]:
    """Where the whole messages of an AWS event stream begin: each has its length, that of its headers, a checksum of
    both, headers, a payload and a checksum of all."""
    at = 0
    while at + 16 <= len(body):
        total, headers = AWS_FRAME.unpack_from(body, at)
        if total < 16 or headers > total - 16 or at + total > len(body):
            return
        yield at
        at += total


def is_streamed(headers: Headers) -> bool:
    return any(name.lower() == "content-type" and "event" in value and "stream" in value for name, value in headers)


def problem(status: int, code: str, message: str, retry_after: float | None = None) -> Answer:
    """An answer of the border itself, in the shape in which providers tell errors, so that each client raises its own
    error for it and none tries again what was tried already."""
    said = {"message": message, "type": code, "code": code}
    headers: Headers = [("content-type", "application/json"), ("x-should-retry", "false")]
    if retry_after is not None:
        headers.append(("retry-after", f"{max(1, round(retry_after))}"))
    return Answer(status, headers, _encode({"type": "error", "error": said, "message": message}))
