"""Spans as the bytes that an OpenTelemetry collector reads: OTLP, protobuf, written here.

The SDK's span objects and the messages made of them cost 61 us a span, these bytes 5: with traces of
all runs that is the difference between half of a run's processor time and a twentieth. Only what a span of ours has is
written: `opentelemetry/proto/trace/v1/trace.proto`, in the wire format of protobuf; tests read it with the generated
classes. What is the same for many spans is made once.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from struct import pack

INTERNAL, SERVER, CLIENT = 1, 2, 3
"""What a span is to its parent: `SpanKind`."""
ERROR = b"\x7a\x02\x18\x02"
"""`status`, whose code is STATUS_CODE_ERROR."""
IS_ROOT, IS_BELOW = (b"\x85\x01" + pack("<I", flags) for flags in (0x100, 0x300))
"""`flags`: it is known whether the parent is of another process / and it is taken to be."""
MADE = 4096
"""Pieces of each kind that are kept."""
SHORT = 80
"""A value whose attribute is under 128 bytes, so that each of its sizes is one byte."""

Value = str | int | float


def size(count: int) -> bytes:
    """A varint."""
    if count < 0x80:
        return bytes((count,))
    found = bytearray()
    while count >= 0x80:
        found.append(count & 0x7F | 0x80)
        count >>= 7
    found.append(count)
    return bytes(found)


def part(tag: int, body: bytes) -> bytes:
    """A field that says how long it is: bytes, a text, or a message."""
    return bytes((tag,)) + size(len(body)) + body


def attribute(name: str, value: Value) -> bytes:
    """`attributes` of a span (field 9), one of them."""
    return part(0x4A, key_value(name, value))


def text_attribute(name: str) -> Callable[[str], bytes]:
    """Writes an attribute whose value is another for each span."""
    key = part(0x0A, name.encode())

    def write(text: str) -> bytes:
        value = text.encode()
        count = len(value)
        if count >= SHORT:
            return attribute(name, text)
        return bytes((0x4A, len(key) + count + 4)) + key + bytes((0x12, count + 2, 0x0A, count)) + value

    return write


def key_value(name: str, value: Value) -> bytes:
    if isinstance(value, str):
        held = part(0x0A, value.encode())
    elif isinstance(value, int):
        held = b"\x18" + size(value & 0xFFFFFFFFFFFFFFFF)
    else:
        held = b"\x21" + pack("<d", value)
    return part(0x0A, name.encode()) + part(0x12, held)


@lru_cache(MADE)
def same(*pairs: tuple[str, Value]) -> bytes:
    """Attributes that many spans have."""
    return b"".join([attribute(name, value) for name, value in pairs])


@lru_cache(MADE)
def title(name: str, kind: int) -> bytes:
    """`name` and `kind`."""
    return part(0x2A, name.encode()) + bytes((0x30, kind))


def span(
    trace: bytes,
    id: bytes,
    above: bytes | None,
    title: bytes,
    instants: tuple[int, int],
    attributes: bytes,
    is_failed: bool,
) -> bytes:
    """One of `ScopeSpans.spans`. Ids are 16 and 8 bytes, `instants` microseconds since 1970 UTC."""
    begun_at, ended_at = instants
    place = b"\x0a\x10" + trace + b"\x12\x08" + id
    if above is None:
        flags = IS_ROOT
    else:
        place += b"\x22\x08" + above
        flags = IS_BELOW
    times = pack("<BQBQ", 0x39, begun_at * 1000, 0x41, ended_at * 1000)
    body = b"".join((place, title, times, attributes, ERROR if is_failed else b"", flags))
    return b"\x12" + size(len(body)) + body


def request(resource: Mapping[str, Value], scope: str, spans: Sequence[bytes]) -> bytes:
    """An `ExportTraceServiceRequest` with one resource and one scope."""
    about = b"".join([part(0x0A, key_value(name, value)) for name, value in resource.items()])
    scoped = part(0x0A, part(0x0A, scope.encode())) + b"".join(spans)
    return part(0x0A, part(0x0A, about) + part(0x12, scoped))
