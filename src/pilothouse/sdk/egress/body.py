"""What the body of a model request says that the border must know: the model, whether to stream, how much to answer.

Only these members are read; messages, tools and images stay bytes. A body that is not what its address promises (a
chat of people at `/messages`) makes the request a call like any other.
"""

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct

from pilothouse.domain.provider import ModelRequest

BYTES_A_TOKEN = 4
"""For estimates only."""
LONG = re.compile(rb"[A-Za-z0-9+/=]{2000,}")
IMAGE_TOKENS = 1000
UNBOUNDED_OUTPUT = 256
"""Tokens that an answer is estimated at when the request names no bound."""


ABSENT = Raw(b"")


class _Body(Struct):
    model: Any = None
    stream: Any = None
    messages: Raw = ABSENT
    input: Raw = ABSENT
    prompt: Raw = ABSENT
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    generationConfig: Any = None
    inferenceConfig: Any = None


_decode = msgspec.json.Decoder(_Body).decode


class BodyFacts(Struct):
    model: str
    is_stream: bool
    input_tokens: int
    output_tokens: int


def read_body(body: bytes, seen: ModelRequest) -> BodyFacts | None:
    """None: it is no model call."""
    try:
        said = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if any(not getattr(said, name) for name in seen.needs):
        return None
    model = seen.model or said.model
    if not isinstance(model, str) or not model:
        return None
    is_stream = said.stream is True if seen.is_stream is None else seen.is_stream
    bound = said.max_completion_tokens or said.max_output_tokens or said.max_tokens
    bound = bound or _inner(said.generationConfig, "maxOutputTokens") or _inner(said.inferenceConfig, "maxTokens")
    if seen.shape == "embeddings":
        bound = 0
    elif not isinstance(bound, int) or bound <= 0:
        bound = UNBOUNDED_OUTPUT
    return BodyFacts(model, is_stream, estimate_tokens(body), bound)


def estimate_tokens(body: bytes) -> int:
    """About how many tokens a request is: long runs of base64 are images or files, and count as one each."""
    if len(body) < 20_000:
        return len(body) // BYTES_A_TOKEN + 1
    plain, images = LONG.subn(b"", body)
    return len(plain) // BYTES_A_TOKEN + images * IMAGE_TOKENS + 1


def _inner(said: Any, name: str) -> Any:
    return said.get(name) if isinstance(said, dict) else None


def with_model(body: bytes, model: str) -> bytes:
    """The same request for another model."""
    said = msgspec.json.decode(body)
    said["model"] = model
    return msgspec.json.encode(said)
