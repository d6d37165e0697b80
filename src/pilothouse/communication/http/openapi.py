"""The OpenAPI 3.1 document, made from the table of endpoints.

Schemas come from the very structs that decode and encode, so the document cannot promise what is not checked. Problems
are listed by status with the codes that go with it; `x-problems` explains every code there is, for the page at /docs.
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, get_args

import msgspec
from msgspec import Struct

from pilothouse.communication.http.call import JSON
from pilothouse.communication.http.endpoint import MERGE_PATCH, Endpoint, Header, Reply
from pilothouse.communication.http.problem import (
    PROBLEM_JSON,
    STATUS,
    ClientGone,
    MediaTypeRefused,
    RequestTimeout,
    explained,
    title_of,
)
from pilothouse.domain.event import EVENT_TYPES
from pilothouse.errors import (
    Draining,
    Forbidden,
    InvalidInput,
    MalformedRequest,
    Overloaded,
    PilothouseError,
    RecordsUnavailable,
    TenantOverloaded,
    TooLarge,
    Unauthenticated,
)
from pilothouse.wire.problem import Problem
from pilothouse.wire.run import RUN_ID_PATTERN

PLACES: dict[str, tuple[str, dict[str, Any]]] = {
    "agent": ("The name of an agent.", {"type": "string", "minLength": 1, "maxLength": 63}),
    "run": ("The id of a run.", {"type": "string", "pattern": RUN_ID_PATTERN}),
    "key": (
        "The key of a session, percent-encoded: any printable characters.",
        {"type": "string", "minLength": 1, "maxLength": 256},
    ),
    "source": ("The name of a source.", {"type": "string", "minLength": 1, "maxLength": 63}),
    "schedule": ("The name of a schedule.", {"type": "string", "minLength": 1, "maxLength": 63}),
    "delivery": ("The id of a delivery.", {"type": "string", "minLength": 1, "maxLength": 128}),
    "review": ("The id of a review.", {"type": "string", "minLength": 1, "maxLength": 128}),
    "id": ("The id of a key: what stands between its underscores.", {"type": "string", "pattern": "^[0-9a-f]{16}$"}),
    "audit": ("The id of a bias audit.", {"type": "string", "minLength": 1, "maxLength": 128}),
    "subject": ("The subject, percent-encoded.", {"type": "string", "minLength": 1, "maxLength": 256}),
    "dataset": ("The name of a dataset.", {"type": "string", "pattern": "^[a-z0-9][a-z0-9_.-]{0,63}$"}),
    "number": ("The number of a version, or `last`.", {"type": "string", "pattern": "^([0-9]{1,9}|last)$"}),
    "evaluation": ("The id of an evaluation.", {"type": "string", "minLength": 1, "maxLength": 128}),
    "finding": ("The id of a finding.", {"type": "string", "minLength": 1, "maxLength": 128}),
    "hold": ("The id of a hold.", {"type": "string", "minLength": 1, "maxLength": 128}),
    "link": ("A signed link to a review.", {"type": "string", "minLength": 1, "maxLength": 1024}),
    "delegation": ("The id of a delegation.", {"type": "string", "minLength": 1}),
    "name": ("The name of a signal.", {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$"}),
}
SECURITY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, `phk_...`. Without any keys a node listens on loopback only and asks for none.",
}
ALWAYS = (
    MalformedRequest,
    Unauthenticated,
    Forbidden,
    InvalidInput,
    TenantOverloaded,
    Overloaded,
    Draining,
    RecordsUnavailable,
    PilothouseError,
)
WITH_BODY = (ClientGone, RequestTimeout, TooLarge, MediaTypeRefused)
RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}}}
EVENT_STREAM_SCHEMA = {
    "type": "object",
    "description": "One event of the stream; `data` is the JSON of an EventView without its `type`.",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"enum": [*sorted(EVENT_TYPES), "reconnect"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}


def make_document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    schemas = _Schemas(_kinds_in(endpoints))
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pilothouse",
            "version": version("pilothouse"),
            "description": "Runs agents: started by a request, by a turn of a session or in the background; "
            "durable, streamed, reviewable.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": {"key": SECURITY}},
        "security": [{}, {"key": []}],
        "x-problems": [_explain(kind) for kind in sorted(explained(), key=lambda kind: kind.code)],
    }


def _kinds_in(endpoints: Iterable[Endpoint]) -> list[Any]:
    found: list[Any] = [Problem]
    for one in endpoints:
        found += [kind for kind in (one.body, one.query) if kind is not None]
        for reply in one.replies.values():
            if reply.kind is not None and not isinstance(reply.kind, dict):
                found += get_args(reply.kind) or [reply.kind]
    return list(dict.fromkeys(found))


class _Schemas:
    """The schema of each kind, and the components they refer to."""

    def __init__(self, kinds: list[Any]) -> None:
        template = "#/components/schemas/{name}"
        found, self.components = msgspec.json.schema_components(kinds, ref_template=template)
        self._by_kind: dict[Any, dict[str, Any]] = dict(zip(kinds, found, strict=True))
        self._taken: dict[Any, dict[str, Any]] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        if isinstance(kind, dict):
            return dict(kind)
        if choices := get_args(kind):
            return {"anyOf": [self._by_kind[one] for one in choices]}
        return self._by_kind[kind]

    def take(self, kind: type[Struct]) -> dict[str, Any]:
        """The properties of a kind that is not shown as a component: a query."""
        if kind not in self._taken:
            self._taken[kind] = self.components.pop(kind.__name__)["properties"]
        return self._taken[kind]


def _operation(one: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": one.handler.__name__,
        "summary": one.summary,
        "tags": [one.tag],
        "parameters": _parameters(one, schemas),
        "responses": _responses(one, schemas),
    }
    text = inspect.getdoc(one.handler)
    if text:
        operation["description"] = text
    if one.body is not None:
        content = {JSON.decode(): {"schema": schemas.of(one.body)}}
        operation["requestBody"] = {"required": not one.is_body_optional, "content": content}
    elif one.takes_document:
        content = {media.decode(): {"schema": {"type": "object"}} for media in (MERGE_PATCH, JSON)}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(one: Endpoint, schemas: _Schemas) -> list[dict[str, Any]]:
    found = []
    for name in re.findall(r"{(\w+)}", one.path):
        text, schema = PLACES[name]
        found.append({"name": name, "in": "path", "required": True, "description": text, "schema": schema})
    if one.query is not None:
        for name, schema in schemas.take(one.query).items():
            parameter = {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
            if schema.get("type") == "array":
                parameter |= {"style": "form", "explode": True}
            found.append(parameter)
    return found + [_header_parameter(header) for header in one.headers]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is left out is not null: there is no way to write null in a query."""
    kinds = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if not kinds:
        return schema
    rest = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return kinds[0] | rest if len(kinds) == 1 else {"anyOf": kinds, **rest}


def _header_parameter(header: Header) -> dict[str, Any]:
    return {
        "name": header.name,
        "in": "header",
        "required": False,
        "description": header.text,
        "schema": header.schema,
    }


def _responses(one: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    found = {str(status): _reply(reply, schemas) for status, reply in one.replies.items()}
    has_body = one.body is not None or one.takes_document
    by_status: dict[int, list[type[PilothouseError]]] = {}
    for kind in (*one.problems, *ALWAYS, *(WITH_BODY if has_body else ())):
        by_status.setdefault(STATUS[kind.code], []).append(kind)
    for status, refusals in sorted(by_status.items()):
        found[str(status)] = _refusal(status, list(dict.fromkeys(refusals)), schemas)
    return found


def _reply(reply: Reply, schemas: _Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {"description": reply.text}
    if reply.headers:
        found["headers"] = {one.name: {"description": one.text, "schema": one.schema} for one in reply.headers}
    for media in (reply.media or "").split(", "):
        schema: dict[str, Any]
        if media == "text/event-stream":
            schema = reply.kind if isinstance(reply.kind, dict) else EVENT_STREAM_SCHEMA
        elif reply.kind is not None:
            schema = schemas.of(reply.kind)
        elif media.startswith("text/"):
            schema = {"type": "string"}
        else:
            continue
        found.setdefault("content", {})[media] = {"schema": schema}
    return found


def _refusal(status: int, kinds: list[type[PilothouseError]], schemas: _Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": ", ".join(f"`{kind.code}`" for kind in kinds),
        "content": {PROBLEM_JSON.decode(): {"schema": schemas.of(Problem)}},
    }
    if status in (429, 503):
        found["headers"] = RETRY_AFTER
    return found


def _explain(kind: type[PilothouseError]) -> dict[str, Any]:
    text = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return {
        "code": kind.code,
        "status": STATUS[kind.code],
        "title": title_of(kind),
        "text": text,
        "hint": kind.hint_text.replace("{{", "{").replace("}}", "}"),
    }
