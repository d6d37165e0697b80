"""What a JSON schema alone says of an input, for nodes that have no host to ask: gateways, and workers whose hosts are
all down.

Only a fault that the host would find too is told: agents whose hosts are more generous than their schema somewhere
(`Agent.exact_schema`) are never judged here, and what nobody can be sure of is left to the attempt. Faults are put into
the words of the host's own check. The library is loaded with the first input that needs it, since a node that never
does is to stay small. References to other documents are not followed.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from pilothouse.domain.agent import Agent

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

FAULTS_LIMIT = 100
VALIDATORS_LIMIT = 256
"""How many schemas are held ready; the one that was asked longest ago goes."""
MESSAGE_LIMIT = 500
JSON_NAMES = {"integer": "int", "number": "float", "string": "str", "boolean": "bool"}
"""The names of the host for what JSON schema calls otherwise."""

Faults = list[dict[str, str]]


class Schemas:
    """The input schemas of agents, each made ready once."""

    def __init__(self) -> None:
        self._ready: OrderedDict[bytes, Any] = OrderedDict()

    def faults(self, agent: Agent, input: bytes) -> Faults:
        """What is surely wrong with the input; empty when nothing is, or nothing can be said."""
        if not agent.exact_schema or agent.free_input:
            return []
        validator = self._validator(agent.input_schema)
        if validator is None:
            return []
        try:
            value = msgspec.json.decode(input)
            return _limited(validator.iter_errors(value))
        except (ValueError, RecursionError):
            return []  # no JSON, or text that cannot be text: the host says that better

    def _validator(self, schema: bytes) -> Any:
        if schema in self._ready:
            self._ready.move_to_end(schema)
            return self._ready[schema]
        self._ready[schema] = validator = _prepare(schema)
        if len(self._ready) > VALIDATORS_LIMIT:
            self._ready.popitem(last=False)
        return validator


def _prepare(schema: bytes) -> Any:
    """None: the schema is none, or asks for what is elsewhere."""
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(schema.decode(), validate_formats=False, retriever=_refuse, mask="the value")
    except ValueError:
        return None


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is not looked up")


def _limited(errors: Iterator["ValidationError"]) -> Faults:
    faults: Faults = []
    for error in errors:
        faults += _said(error)
        if len(faults) >= FAULTS_LIMIT:
            break
    return faults[:FAULTS_LIMIT]


def _said(error: "ValidationError") -> Iterator[dict[str, str]]:
    """One error as the host would say it: at the member that is missing or unknown, not at the object around it."""
    from jsonschema_rs import ValidationErrorKind as Kind

    place, kind = _path(error.instance_path), error.kind
    match kind:
        case Kind.Required():
            yield {"path": f"{place}.{kind.property}", "message": "Missing required field"}
        case Kind.AdditionalProperties():
            for name in kind.unexpected:
                yield {"path": f"{place}.{name}", "message": "Unknown field"}
        case Kind.Type():
            yield {"path": place, "message": _expected(kind.types, error.instance)}
        case Kind.AnyOf() if (types := _types(kind.context, error.instance_path)) is not None:
            yield {"path": place, "message": _expected(types, error.instance)}
        case Kind.AnyOf():
            closest = [branch for branch in kind.context if _types([branch], error.instance_path) is None]
            if len(closest) == 1:
                for one in closest[0]:
                    yield from _said(one)
            else:
                yield {"path": place, "message": f"Fits none of the {len(kind.context)} shapes that it may have"}
        case _:
            yield {"path": place, "message": error.message[:MESSAGE_LIMIT]}


def _path(parts: list[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _types(branches: list[list["ValidationError"]], place: list[str | int]) -> list[str] | None:
    """The types of these alternatives, when it is the type of the value itself that fits none of them."""
    from jsonschema_rs import ValidationErrorKind as Kind

    found: list[str] = []
    for branch in branches:
        for error in branch:
            if not isinstance(error.kind, Kind.Type) or error.instance_path != place:
                return None
            found += error.kind.types
    return found


def _expected(types: list[str], value: object) -> str:
    wanted = " | ".join(JSON_NAMES.get(one, one) for one in types)
    return f"Expected `{wanted}`, got `{_name(value)}`"


def _name(value: object) -> str:
    match value:
        case None:
            return "null"
        case dict():
            return "object"
        case list():
            return "array"
    return type(value).__name__
