"""What a provider says a call has used, read from its answer: whole or streamed, in the shape of each API.

Numbers are read where they are known to stand and nowhere else; an answer without them has none. Streams repeat their
usage as it grows, so the largest of each counts. Anthropic and Bedrock Converse count cached tokens beside the input,
the others within it; here `input` always holds them.
"""

import base64
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from pilothouse.domain.price import Tokens
from pilothouse.sdk.egress.exchange import AWS_FRAME, frames_at

_decode = msgspec.json.Decoder().decode
INPUT = ("prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens", "inputTokenCount")
OUTPUT = ("completion_tokens", "output_tokens", "candidatesTokenCount", "outputTokens", "outputTokenCount")
BESIDE = ("cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount")
BESIDE_WRITTEN = ("cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount")
MARKS = (b'"usage', b"nvocationMetrics", b"usageMetadata")


def read_tokens(body: bytes, content_type: str, encoding: str = "") -> Tokens | None:
    """None: the answer does not say."""
    found = Tokens()
    seen = False
    for raw in _documents(_plain(body, encoding), content_type):
        try:
            document = _decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        for one in document if isinstance(document, list) else (document,):
            usage = _usage_in(one)
            if usage is not None:
                seen = True
                said = _count(usage)
                found = Tokens(*(max(a, b) for a, b in zip(_fields(found), _fields(said), strict=True)))
    return found if seen else None


def _fields(tokens: Tokens) -> tuple[int, int, int, int]:
    return tokens.input, tokens.output, tokens.cache_read, tokens.cache_write


def _plain(body: bytes, encoding: str) -> bytes:
    """Clients are asked to ask for no encoding; who sends one in spite of it is read when the library can."""
    if encoding in ("gzip", "deflate"):
        try:
            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body)
        except zlib.error:
            return b""
    return body


def _documents(body: bytes, content_type: str) -> Iterator[bytes]:
    """The JSON documents of an answer that may hold a usage."""
    if "eventstream" in content_type:
        yield from _frames(body)
    elif "event-stream" in content_type or body[:6] in (b"event:", b"data: ") or body[:5] == b"data:":
        for line in body.splitlines():
            if line.startswith(b"data:") and any(mark in line for mark in MARKS):
                yield line[5:]
    else:
        yield body


def _frames(body: bytes) -> Iterator[bytes]:
    """The payloads of an AWS event stream. Those of InvokeModel carry the model's own JSON as base64."""
    for at in frames_at(body):
        total, headers = AWS_FRAME.unpack_from(body, at)
        payload = body[at + 12 + headers : at + total - 4]
        if payload.startswith(b'{"bytes"'):
            try:
                payload = base64.b64decode(_decode(payload)["bytes"])
            except (msgspec.MsgspecError, ValueError, KeyError):
                continue
        if any(mark in payload for mark in MARKS):
            yield payload


def _usage_in(document: Any) -> dict[str, Any] | None:
    if not isinstance(document, dict):
        return None
    for name in ("response", "message"):
        inner = document.get(name)
        if isinstance(inner, dict) and isinstance(inner.get("usage"), dict):
            document = inner
    for name in ("usage", "usageMetadata", "amazon-bedrock-invocationMetrics"):
        if isinstance(document.get(name), dict):
            found: dict[str, Any] = document[name]
            return found
    return None


def _count(usage: dict[str, Any]) -> Tokens:
    beside, written = _first(usage, BESIDE), _first(usage, BESIDE_WRITTEN)
    inside = max(_within(usage, "prompt_tokens_details"), _within(usage, "input_tokens_details"))
    inside = max(inside, _whole(usage.get("cachedContentTokenCount")))
    output = _first(usage, OUTPUT) + _whole(usage.get("thoughtsTokenCount"))
    given = _first(usage, INPUT) + _whole(usage.get("toolUsePromptTokenCount"))
    return Tokens(given + beside + written, output, beside or inside, written)


def _within(usage: dict[str, Any], name: str) -> int:
    details = usage.get(name)
    return _whole(details.get("cached_tokens")) if isinstance(details, dict) else 0


def _first(usage: dict[str, Any], names: tuple[str, ...]) -> int:
    return next((_whole(usage[name]) for name in names if usage.get(name) is not None), 0)


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and value > 0 else 0
