"""Annotations as JSON: the schema that callers see, the strict reading of an input, the checked writing of an output.

A codec is made once, when an agent is loaded, and is immutable. Three kinds: anything (no annotation), what msgspec
knows, and what only pydantic knows; pydantic is used when the user's code has imported it and never imported here.
JSON that is not JSON (NaN, broken UTF-8, a half value) is a fault of the input like any other.
"""

import dataclasses
import enum
import os
import re
import sys
import typing
from collections.abc import Iterator
from math import isfinite
from typing import Any, Protocol

import msgspec
import msgspec.inspect
from msgspec import Raw

from pilothouse.errors import InvalidInput, InvalidOutput

FAULTS_LIMIT = 100
PLACE = re.compile(r"(.*) - at `(.*)`\Z", re.DOTALL)

FREE: tuple[Any, ...] = (Any, object)
EXACT: tuple[Any, ...] = (str, int, bool, type(None))
"""Written without a second look when the value is exactly of the annotated type. A float may be NaN: not here."""
OPEN: dict[Any, type] = {dict: dict, dict[str, Any]: dict, list: list, list[Any]: list}


class NotJson(TypeError):
    """A value that JSON cannot hold. The text says which."""


class Codec(Protocol):
    """One annotation. `schema` is JSON; `is_free` tells that any JSON fits, `is_text` that any string does, `is_exact`
    that `read` refuses whatever does not fit the schema."""

    schema: bytes
    is_free: bool
    is_text: bool
    is_exact: bool

    def read(self, raw: bytes) -> Any:
        """The value of the JSON `raw`. Raises `InvalidInput` with the faults."""
        ...

    def write(self, value: object) -> bytes:
        """The JSON of a value that fits. Raises `InvalidOutput`."""
        ...


def _more_types(value: object) -> object:
    """What msgspec does not write by itself: derived kinds of text and numbers, pydantic models, paths."""
    for plain in (str, int, float):
        if isinstance(value, plain):
            return plain(value)
    dump = getattr(type(value), "model_dump", None)
    if dump is not None:
        return dump(value, mode="json", by_alias=True)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise NotJson(f"{type_name(type(value))} cannot be written as JSON")


def _read_more(kind: Any, value: Any) -> Any:
    if _is_path(kind) and isinstance(value, str):
        return kind(value)
    if isinstance(value, kind):
        return value
    raise msgspec.ValidationError(f"Expected `{type_name(kind)}`, got `{type(value).__name__}`")


def _schema_of_more(kind: Any) -> dict[str, Any]:
    if kind is object:
        return {"description": "any JSON"}
    if _is_path(kind):
        return {"type": "string"}
    raise TypeError(f"{kind!r} has no JSON Schema")  # as msgspec itself says it


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and kind.__module__.partition(".")[0] == "pathlib"


_encode = msgspec.json.Encoder(enc_hook=_more_types).encode
_encode_in_order = msgspec.json.Encoder(enc_hook=_more_types, order="deterministic").encode
_decode = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def type_name(kind: type) -> str:
    """`module.Name`, or the bare name of what is built in."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def write_json(value: object, *, in_order: bool = False) -> bytes:
    """Any JSON-like value as JSON. `in_order`: keys and sets are sorted, so that equal values give equal bytes in every
    process. Raises `NotJson`."""
    if type(value) is float and not isfinite(value):
        raise NotJson(f"{value} is no number that JSON has")
    try:
        return _encode_in_order(value) if in_order else _encode(value)
    except NotJson:
        raise
    except RecursionError:
        raise NotJson(f"{type_name(type(value))} is nested too deeply, or contains itself") from None
    except Exception as error:  # the code of a type that is written may raise anything
        raise NotJson(f"{type_name(type(value))} cannot be written as JSON: {error}") from None


def read_json(raw: bytes) -> Any:
    """The value of well-formed JSON. Raises what msgspec raises."""
    return _decode(raw)


def shown_as_json(value: Any) -> Any:
    """The value as JSON has it if it can hold it, else its text: for what people read and no program goes on with."""
    try:
        return read_json(write_json(value))
    except NotJson:
        if isinstance(value, dict):
            return {str(name): shown_as_json(one) for name, one in value.items()}
        return [shown_as_json(one) for one in value] if isinstance(value, list | tuple) else repr(value)


def in_order(raw: bytes) -> bytes:
    """The same JSON with sorted keys, for a digest."""
    return _encode_in_order(_decode(raw))


def faults_of(error: Exception) -> list[dict[str, str]]:
    """An error of msgspec as the one fault that it tells of."""
    match error:
        case UnicodeDecodeError():
            return [{"path": "$", "message": "Not UTF-8"}]
        case RecursionError():
            return [{"path": "$", "message": "Nested too deeply"}]
    place = PLACE.match(str(error))
    path, message = (place[2], place[1]) if place else ("$", str(error))
    return [{"path": path, "message": message}]


MSGSPEC_FAULTS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class FreeCodec:
    """No annotation: any JSON in, anything that JSON can hold out."""

    schema = b"{}"
    is_free = True
    is_text = True
    is_exact = True

    def read(self, raw: bytes) -> Any:
        try:
            return _decode(raw)
        except MSGSPEC_FAULTS as error:
            raise InvalidInput(faults=faults_of(error)) from None

    def write(self, value: object) -> bytes:
        try:
            return write_json(value)
        except NotJson as error:
            raise InvalidOutput(text=str(error)) from None


class MsgspecCodec:
    """An annotation that msgspec knows: scalars, containers, dataclasses, Structs, TypedDicts, unions of them.

    A dataclass as the outermost type refuses unknown names, as its constructor does; a Struct says itself what it does.
    """

    is_free = False

    def __init__(self, annotation: Any) -> None:
        schema = msgspec.json.schema(annotation, schema_hook=_schema_of_more)
        self._decode = msgspec.json.Decoder(annotation, dec_hook=_read_more).decode
        self._annotation = annotation
        self.is_text = annotation is str or (_is_union(annotation) and str in typing.get_args(annotation))
        self.is_exact = _is_exact(annotation)
        self._exact = annotation if annotation in EXACT else None
        self._open = OPEN.get(annotation)
        self._names: frozenset[str] | None = None
        if dataclasses.is_dataclass(annotation):
            self._names = frozenset(field.name for field in dataclasses.fields(annotation))
            for definition in schema.get("$defs", {}).values():
                if definition.get("title") == getattr(annotation, "__name__", ""):
                    definition["additionalProperties"] = False
        self.schema = msgspec.json.encode(schema)

    def read(self, raw: bytes) -> Any:
        try:
            value = self._decode(raw)
        except MSGSPEC_FAULTS as error:
            raise InvalidInput(faults=self._all_faults(raw) or faults_of(error)) from None
        if self._names is not None and not self._names.issuperset(_decode_object(raw)):
            raise InvalidInput(faults=self._all_faults(raw))
        return value

    def write(self, value: object) -> bytes:
        try:
            encoded = write_json(value)
            if type(value) is self._exact or (self._open is not None and isinstance(value, self._open)):
                return encoded
            self._decode(encoded)
        except NotJson as error:
            raise InvalidOutput(text=str(error)) from None
        except MSGSPEC_FAULTS as error:
            raise InvalidOutput(text=str(error)) from None
        return encoded

    def _all_faults(self, raw: bytes) -> list[dict[str, str]]:
        """msgspec stops at the first fault; here each field of the outermost object is read by itself."""
        fields = _fields_of(self._annotation)
        if fields is None:
            return []
        try:
            members = _decode_object(raw)
        except MSGSPEC_FAULTS:
            return []
        faults: list[dict[str, str]] = []
        known = set()
        for name, kind, required in fields:
            known.add(name)
            if name not in members:
                if required:
                    faults.append({"path": f"$.{name}", "message": "Missing required field"})
                continue
            try:
                msgspec.json.decode(members[name], type=kind, dec_hook=_read_more)
            except MSGSPEC_FAULTS as error:
                faults += [{**fault, "path": f"$.{name}{fault['path'][1:]}"} for fault in faults_of(error)]
        if self._names is not None or _forbids_unknown(self._annotation):
            faults += [{"path": f"$.{name}", "message": "Unknown field"} for name in members if name not in known]
        return faults[:FAULTS_LIMIT]


SAYS_NOTHING = {"title", "description", "examples", "default", "deprecated"}


def _is_exact(annotation: Any) -> bool:
    """Whether msgspec is nowhere more generous than the schema that it makes. It reads decimals from numbers and sets
    from lists with a repeated member, an enum may know more names than it lists, of patterns and multiples others have
    other notions, and an author may add to a schema what nobody checks."""
    found = msgspec.inspect.type_info(annotation)
    seen: set[int] = set()
    left: list[Any] = [found]
    while left:
        one = left.pop()
        if isinstance(one, tuple):
            left += one
        if not isinstance(one, msgspec.Struct) or id(one) in seen:
            continue
        seen.add(id(one))
        match one:
            case msgspec.inspect.DecimalType() | msgspec.inspect.SetType() | msgspec.inspect.FrozenSetType():
                return False
            case msgspec.inspect.EnumType(cls) if cls._missing_.__func__ is not enum.Enum._missing_.__func__:  # type: ignore[attr-defined]
                return False
            case msgspec.inspect.Metadata(extra_json_schema=added) if not SAYS_NOTHING.issuperset(added or ()):
                return False
        if getattr(one, "pattern", None) is not None or getattr(one, "multiple_of", None) is not None:
            return False
        left += [getattr(one, name) for name in one.__struct_fields__]
    return True


def _forbids_unknown(annotation: Any) -> bool:
    config = getattr(annotation, "__struct_config__", None)
    return config is not None and bool(config.forbid_unknown_fields)


def _fields_of(annotation: Any) -> list[tuple[str, Any, bool]] | None:
    """(name, type, required) of the fields of an object type, or None."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        if annotation.__struct_config__.array_like or annotation.__struct_config__.tag is not None:
            return None
        return [(field.encode_name, field.type, field.required) for field in msgspec.structs.fields(annotation)]
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        hints = typing.get_type_hints(annotation, include_extras=True)
        missing = dataclasses.MISSING
        return [
            (field.name, hints[field.name], field.default is missing and field.default_factory is missing)
            for field in dataclasses.fields(annotation)
            if field.init
        ]
    if typing.is_typeddict(annotation):
        hints = typing.get_type_hints(annotation)
        return [(name, kind, name in annotation.__required_keys__) for name, kind in hints.items()]
    return None


class PydanticCodec:
    """An annotation that only pydantic knows. Its models say themselves how strict they are."""

    is_free = False
    is_text = False
    is_exact = False

    def __init__(self, annotation: Any, pydantic: Any) -> None:
        self._adapter = pydantic.TypeAdapter(annotation)
        self._fault = pydantic.ValidationError
        self.schema = msgspec.json.encode(self._adapter.json_schema())

    def read(self, raw: bytes) -> Any:
        try:
            _decode(raw)  # pydantic takes NaN and Infinity
            return self._adapter.validate_json(raw)
        except MSGSPEC_FAULTS as error:
            raise InvalidInput(faults=faults_of(error)) from None
        except self._fault as error:
            raise InvalidInput(faults=list(_pydantic_faults(error))) from None

    def write(self, value: object) -> bytes:
        try:
            encoded: bytes = self._adapter.dump_json(value, by_alias=True, warnings="error")
        except ValueError:
            try:
                encoded = write_json(value)
                self._adapter.validate_json(encoded)
            except (NotJson, ValueError) as error:
                raise InvalidOutput(text=str(error)) from None
        return encoded


def _pydantic_faults(error: Any) -> Iterator[dict[str, str]]:
    for one in error.errors(include_url=False, include_context=False, include_input=False)[:FAULTS_LIMIT]:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"])
        yield {"path": f"${path}", "message": one["msg"]}


FREE_CODEC = FreeCodec()


def codec_for(annotation: Any) -> Codec:
    """The codec of an annotation. Raises `TypeError` when neither msgspec nor a loaded pydantic knows the type."""
    if annotation in FREE or isinstance(annotation, typing.TypeVar):
        return FREE_CODEC
    try:
        return MsgspecCodec(annotation)
    except TypeError as error:
        pydantic = sys.modules.get("pydantic")
        if pydantic is not None:
            try:
                return PydanticCodec(annotation, pydantic)
            except pydantic.errors.PydanticUserError:
                pass
        shown = annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
        raise TypeError(f"{shown} is no type that JSON can be read as ({str(error).splitlines()[-1]})") from None


def result_codec(annotation: Any) -> Codec:
    """The codec for what a step returns: as `codec_for`, but of a union only what can be read again counts, and a type
    that cannot be read at all is as good as none. Libraries annotate loosely, e.g. `Reply | Stream[Reply]`."""
    try:
        return codec_for(annotation)
    except TypeError:
        members = [member for member in typing.get_args(annotation) if _is_readable(member)]
    if not members or not _is_union(annotation):
        return FREE_CODEC
    return result_codec(typing.Union[tuple(members)])  # noqa: UP007


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, type(int | str))


def _is_readable(annotation: Any) -> bool:
    try:
        codec_for(annotation)
    except TypeError:
        return False
    return True


def params_codec(fields: list[tuple[str, Any, Any]]) -> Codec:
    """The codec of an object with these (name, type, default or `MISSING`); what it reads has them as attributes. An
    unknown name is a fault, as it is in a Python call."""
    shape = dataclasses.make_dataclass(
        "Input",
        [(name, kind, _default_field(default)) for name, kind, default in fields],
        kw_only=True,
        namespace={"__pydantic_config__": {"extra": "forbid"}},
    )
    return codec_for(shape)


def _default_field(default: Any) -> Any:
    if default is dataclasses.MISSING:
        return dataclasses.field()
    return dataclasses.field(default_factory=lambda: default)
