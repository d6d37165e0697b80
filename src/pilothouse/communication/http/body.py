"""Reading bodies: never more than the limits, and nothing that is not honest JSON.

`msgspec` leaves payloads (`input`, `metadata`) unparsed, which is what makes them cheap, and then does not see broken
UTF-8 in them; it keeps the last of a repeated field; and it stops at the first fault. So the text is checked as a whole
before, repeated fields are found after, and when something does not fit the body is looked at once more, field by
field, to tell every fault. NaN and Infinity are no JSON and are refused by the parser itself, also inside payloads.
"""

import asyncio
import difflib
import hashlib
import json
import re
from itertools import accumulate
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

from pilothouse.communication.http.call import Call
from pilothouse.communication.http.deadline import Within
from pilothouse.communication.http.problem import ClientGone, MediaTypeRefused, RequestTimeout
from pilothouse.errors import InvalidInput, MalformedRequest, Overloaded, TooLarge

LARGE = 64 * 1024
"""Bodies over this are counted against what all bodies together may hold."""
DISCARD_BYTES = 128 * 1024 * 1024
DISCARD_SECONDS = 2.0

NO_ROOM = 20
"""Bytes that two fields with names of five letters or more need beside their values."""

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_KEYS = re.compile(rb'"([a-z_]+)"[ \t\r\n]*:')

Kind = TypeVar("Kind", bound=Struct)


# --- from the wire --------------------------------------------------------------------------------------------------


def take_body(call: Call) -> bytes | None:
    """The whole body, when all of it is here. Raises `TooLarge` and `Overloaded`."""
    whole = call.exchange.take_body()
    if whole is not None:
        _measure(call, len(whole))
    return whole


async def read_body(call: Call) -> bytes:
    """The whole body. Raises `TooLarge` as early as it is known, `RequestTimeout`, `ClientGone`, or `Overloaded` when
    all bodies together are too much."""
    front = call.front
    limit = front.options.body_bytes
    length = call.headers.get(b"content-length")
    if length is not None and (len(length) > 18 or int(length) > limit):
        call.has_unread = True
        raise TooLarge(what="The body of the request", limit=limit)
    whole = take_body(call)
    if whole is not None:
        return whole
    parts: list[bytes] = []
    size = 0
    until = call.began_at + front.options.body_within
    while True:
        try:
            with Within(call.patience, until):
                message = await call.exchange.receive()
        except TimeoutError:
            call.has_unread = True
            raise RequestTimeout(what="body", seconds=front.options.body_within) from None
        if message["type"] != "http.request":
            raise ClientGone()
        part: bytes = message.get("body", b"")
        size += len(part)
        call.has_unread = bool(message.get("more_body"))
        _measure(call, size)
        call.has_unread = False
        if not message.get("more_body"):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)
        until = asyncio.get_running_loop().time() + front.options.body_within


def _measure(call: Call, size: int) -> None:
    limit = call.front.options.body_bytes
    if size > limit:
        raise TooLarge(what="The body of the request", limit=limit)
    if size > LARGE:
        hold(call, size)


def hold(call: Call, size: int) -> None:
    """Counts the bytes of a large body until its call has ended."""
    front = call.front
    front.held_bytes += size - call.held_bytes
    call.held_bytes = size
    if front.held_bytes > front.options.bodies_bytes:
        raise Overloaded()


async def discard_rest(call: Call) -> None:
    """Takes in what a client goes on sending after it was refused, for a while: closing at once would reset the
    connection and could cost the client the refusal."""
    if b"expect" in call.headers:
        return  # it waits for a word to go on, and gets the refusal instead
    size = 0
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            while size < DISCARD_BYTES:
                message = await call.exchange.receive()
                size += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


CURL_MEDIA = b"application/x-www-form-urlencoded"
"""What `curl -d` says of any body when it is not told. No page of another site can use it: see `header.Neighbours`."""


def check_media(headers: dict[bytes, bytes], *expected: bytes) -> None:
    """Raises `MediaTypeRefused` unless the body says it is JSON, or says nothing."""
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding != b"identity":
        raise MediaTypeRefused(media=encoding.decode("latin-1"), expected=expected[0].decode())
    given = headers.get(b"content-type")
    if given is None or given in expected or given == CURL_MEDIA:
        return
    media, *parameters = (one.strip() for one in given.lower().split(b";"))
    charsets = [one for one in parameters if one.startswith(b"charset=")]
    is_utf8 = all(one[8:].strip(b'"') in (b"utf-8", b"utf8", b"us-ascii") for one in charsets)
    if media not in expected or not is_utf8:
        raise MediaTypeRefused(media=given.decode("latin-1"), expected=expected[0].decode())


# --- as text --------------------------------------------------------------------------------------------------------


def check_text(body: bytes, depth: int) -> None:
    """Raises `MalformedRequest` unless the body is UTF-8 and nests at most `depth` deep."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise MalformedRequest(reason=f"byte {error.start} is not UTF-8") from None
    if len(body) > 2 * depth and nests_deeper(body, depth):
        raise MalformedRequest(reason=f"it nests deeper than {depth} levels")


def nests_deeper(body: bytes, depth: int) -> bool:
    if body.count(b"[") + body.count(b"{") <= depth:
        return False
    steps = _STRINGS.sub(b"", body).translate(_STEPS, _NOT_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) > depth


def digest_request(path: str, body: bytes) -> bytes:
    """What an Idempotency-Key stands for: the same path and the same JSON, however it is spaced and ordered."""
    try:
        canonical = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    except msgspec.DecodeError as error:
        raise InvalidInput(faults=[fault_of(error)]) from None
    return hashlib.blake2b(path.encode() + b"\n" + canonical, digest_size=16).digest()


# --- as a type ------------------------------------------------------------------------------------------------------


class BodyReader(Generic[Kind]):
    """Decodes one kind of body and tells everything that does not fit."""

    def __init__(self, kind: type[Kind]) -> None:
        self._kind = kind
        self._decode = msgspec.json.Decoder(kind).decode
        self._fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        self._payloads = [name for name, field in self._fields.items() if _is_payload(field.type)]
        self._objects = [name for name, field in self._fields.items() if is_object(field.type)]

    def read(self, body: bytes, depth: int) -> Kind:
        """Raises `MalformedRequest` when it is not JSON, `InvalidInput` with every fault when it does not fit."""
        check_text(body, depth)
        try:
            found = self._decode(body)
        except msgspec.ValidationError as error:
            raise InvalidInput(faults=self._find_faults(body) or [fault_of(error)]) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedRequest(reason=_reason(body, error)) from None
        for name in self._objects:
            if not bytes(getattr(found, name)).startswith(b"{"):
                raise InvalidInput(faults=self._find_faults(body))
        self._refuse_repeated(body, found)
        return found

    def _refuse_repeated(self, body: bytes, found: Kind) -> None:
        """Quick looks that may be wrong in one direction only, then an exact one. Most bodies are one payload and have
        no room for a second field beside it."""
        rest = body
        for name in self._payloads:
            payload = getattr(found, name)
            if len(body) - len(payload) < NO_ROOM:
                return
            if len(payload) > 256:
                rest = rest.replace(payload, b"", 1)
        keys = _KEYS.findall(rest)
        if len(keys) == len(set(keys)) and b"\\u00" not in rest:
            return
        refuse_repeated(body)

    def _find_faults(self, body: bytes) -> list[dict[str, str]]:
        try:
            members = msgspec.json.decode(body, type=dict[str, Raw])
        except msgspec.DecodeError as error:
            return [fault_of(error)]
        faults = []
        for name, payload in members.items():
            field = self._fields.get(name)
            if field is None:
                faults.append({"path": f"$.{name}", "message": unknown_field(name, self._fields)})
                continue
            if name in self._objects and not bytes(payload).startswith(b"{"):
                faults.append({"path": f"$.{name}", "message": "expected `object`"})
                continue
            try:
                msgspec.json.decode(bytes(payload), type=field.type)
            except msgspec.DecodeError as error:
                faults.append(fault_of(error, f"$.{name}", field.type))
        for name, field in self._fields.items():
            if field.required and name not in members:
                faults.append({"path": f"$.{name}", "message": "is missing"})
        return faults


def check_document(body: bytes, depth: int) -> None:
    """Raises unless the body is one JSON object, every value of which can be held."""
    check_text(body, depth)
    try:
        found = msgspec.json.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput(faults=[fault_of(error)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedRequest(reason=_reason(body, error)) from None
    if not isinstance(found, dict):
        raise InvalidInput(faults=[{"path": "$", "message": "expected `object`"}])
    refuse_repeated(body)


def check_payload(payload: bytes) -> None:
    """Raises `InvalidInput` when a payload has a number that is JSON and yet nothing that can be held, such as 1e999.
    The text was checked before."""
    try:
        msgspec.json.decode(payload)
    except msgspec.DecodeError as error:
        raise InvalidInput(faults=[fault_of(error, "$.input")]) from None


def refuse_repeated(body: bytes) -> None:
    """Raises `MalformedRequest` when the outermost object has a field twice. The body is known to be JSON."""
    outermost: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        outermost[:] = [name for name, _ in pairs]

    json.loads(body, object_pairs_hook=look)
    if len(outermost) > len(set(outermost)):
        repeated = next(name for name in outermost if outermost.count(name) > 1)
        raise MalformedRequest(reason=f"the field `{repeated[:64]}` is there more than once")


def _is_payload(kind: Any) -> bool:
    return get_origin(kind) is Annotated and get_args(kind)[0] is Raw


def is_object(kind: Any) -> bool:
    """Whether a payload has to be an object, which is only written in its schema."""
    return _is_payload(kind) and get_args(kind)[1].extra_json_schema.get("type") == "object"


def fault_of(error: Exception, root: str = "$", kind: Any = None) -> dict[str, str]:
    """What `msgspec` says about a value of this kind, as path and message."""
    text, _, place = str(error).partition(" - at `")
    message = text[:1].lower() + text[1:]
    if message.startswith("invalid enum value"):
        message = f"expected one of {', '.join(f'`{one}`' for one in _choices(kind))}"
    return {"path": root + place.rstrip("`")[1:], "message": message}


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(one) for one in get_args(kind)]
    return [choice for one in get_args(kind) for choice in _choices(one)]


def unknown_field(name: str, known: Any) -> str:
    nearest = difflib.get_close_matches(name, list(known), 1, 0.7)
    if nearest:
        return f"there is no field `{name[:64]}`; is `{nearest[0]}` meant?"
    return f"there is no field `{name[:64]}`, only {', '.join(f'`{one}`' for one in known) or 'none'}"


def _reason(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "the body is empty"
    if isinstance(error, RecursionError):
        return "it nests too deep"
    text = str(error)
    return "it is no JSON: " + (text[:1].lower() + text[1:]).removeprefix("JSON is malformed: ").removeprefix(
        "jSON is malformed: "
    )
