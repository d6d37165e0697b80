"""Payloads as they travel: JSON that is passed on as the bytes that came, with what the schema says about it.

A payload is never parsed and printed again on its way through the node, so a caller gets back the very text an agent
returned. The annotations are only seen by the OpenAPI document.
"""

from typing import Annotated, Any

from msgspec import Meta, Raw

AnyJson = Annotated[Raw, Meta(extra_json_schema={"description": "Any JSON value."})]
JsonObject = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
ErrorJson = Annotated[
    Raw,
    Meta(
        extra_json_schema={
            "type": "object",
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "hint": {"type": "string"}},
            "required": ["code", "message", "hint"],
        }
    ),
]
Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

NULL = Raw(b"null")
EMPTY_OBJECT = Raw(b"{}")


def null() -> Raw:
    """A default for a field of a request. A plain default would have to be printed into the schema."""
    return NULL


def empty_object() -> Raw:
    return EMPTY_OBJECT


def raw_if(payload: bytes | None) -> Any:
    """JSON bytes as a value inside something that is encoded; None stays null."""
    return None if payload is None else Raw(payload)
