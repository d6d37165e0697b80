"""What a graph takes and gives, read from the types of its state: field by field, since a state may hold what has no
JSON beside what has, and any part of it may be the input.

Messages are read in all the forms that the framework reads. A field that no schema can describe is any JSON.
"""

import typing
from typing import Any

import msgspec
import typing_extensions
from langchain_core.messages import convert_to_messages
from msgspec import Raw

from pilothouse.errors import InvalidInput
from pilothouse.sdk.schema import FREE_CODEC, MSGSPEC_FAULTS, Codec, FreeCodec, codec_for, faults_of

MESSAGES = "messages"
WRAPPERS = (
    typing.Annotated,
    typing.Required,
    typing.NotRequired,
    typing_extensions.Required,
    typing_extensions.NotRequired,
)
_members = msgspec.json.Decoder(dict[str, Raw]).decode


class Described(FreeCodec):
    """JSON with a schema that says more than the codec checks."""

    is_free = False
    is_text = False
    is_exact = False

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = msgspec.json.encode(schema)


class StateCodec(Described):
    """The input of a graph whose state has these fields. A state with messages takes a text as well, as one of the
    user. Fields that are not sent stay absent; one that the state does not have is a fault."""

    def __init__(self, state: Any) -> None:
        self._fields = fields_of(state)
        self.takes_messages = MESSAGES in self._fields
        schema = schema_of(self._fields)
        if self.takes_messages:
            schema = {"anyOf": [{"type": "string"}, schema], "$defs": schema.pop("$defs")}
        super().__init__(schema)

    def read(self, raw: bytes) -> Any:
        if self.takes_messages and raw[:1] == b'"':
            return {MESSAGES: convert_to_messages([{"role": "user", "content": super().read(raw)}])}
        try:
            members = _members(raw)
        except MSGSPEC_FAULTS as error:
            raise InvalidInput(faults=faults_of(error)) from None
        value: dict[str, Any] = {}
        faults: list[dict[str, str]] = []
        for name, member in members.items():
            codec = self._fields.get(name)
            if codec is None:
                faults.append({"path": f"$.{name}", "message": "The state of the graph has no such field"})
                continue
            try:
                value[name] = read_messages(bytes(member)) if name == MESSAGES else codec.read(bytes(member))
            except InvalidInput as error:
                faults += [{**fault, "path": f"$.{name}{fault['path'][1:]}"} for fault in error.faults]
        if faults:
            raise InvalidInput(faults=faults)
        return value


def read_messages(raw: bytes) -> Any:
    value = FREE_CODEC.read(raw)
    try:
        return convert_to_messages(value if isinstance(value, list) else [value])
    except Exception as error:
        raise InvalidInput(faults=[{"path": "$", "message": str(error).splitlines()[0]}]) from None


def fields_of(state: Any) -> dict[str, Codec]:
    """The fields of a state that is a TypedDict. Raises `TypeError` for any other."""
    if not (typing.is_typeddict(state) or typing_extensions.is_typeddict(state)):
        raise TypeError(f"{state} is no TypedDict")
    return {name: _codec(hint) for name, hint in typing.get_type_hints(state, include_extras=True).items()}


def _codec(hint: Any) -> Codec:
    while typing.get_origin(hint) in WRAPPERS:
        hint = typing.get_args(hint)[0]
    try:
        return codec_for(hint)
    except Exception:  # what a library annotates may be nothing that can be described
        return FREE_CODEC


def schema_of(fields: dict[str, Codec]) -> dict[str, Any]:
    """The schema of an object with these fields, none of which is required."""
    properties, definitions = {}, {}
    for name, codec in fields.items():
        schema = msgspec.json.decode(codec.schema)
        definitions.update(schema.pop("$defs", {}))
        properties[name] = schema
    return {"type": "object", "properties": properties, "$defs": definitions}
