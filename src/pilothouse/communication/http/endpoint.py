"""The typed-route layer: a table of endpoints that is both served and described.

A handler says what it takes by the names and types of its parameters: `body` and `query` are structs, `document` is a
JSON object as bytes, `raw` the body as it came, every other name is a placeholder of the path. From the same table come
the router, the checks of a request and the OpenAPI document, so that what is documented is what is checked.

Paths are matched as they were sent and decoded afterwards, segment by segment: a session key may hold any character,
a slash too, when the client encodes it.
"""

import inspect
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Struct
from starlette.routing import Route, Router

from pilothouse.communication.http.body import (
    BodyReader,
    check_document,
    check_media,
    fault_of,
    read_body,
    unknown_field,
)
from pilothouse.communication.http.call import JSON, Call, demand
from pilothouse.communication.http.problem import MethodNotAllowed, RouteNotFound
from pilothouse.errors import InvalidInput, MalformedRequest, PilothouseError

Handler = Callable[..., Awaitable[None]]
Scope = MutableMapping[str, Any]
CALL = "pilothouse.call"
MERGE_PATCH = b"application/merge-patch+json"
FIELDS_LIMIT = 50
"""Parameters of one query."""


SCOPES = {
    "runs": {"GET": "runs:read", "other": "runs:write"},
    "sessions": {"GET": "runs:read", "other": "runs:write"},
    "agents": {"GET": "runs:read", "other": "runs:write"},
    "reviews": {"GET": "reviews:read", "other": "reviews:decide"},
    "overrides": {"GET": "reviews:read", "other": "reviews:decide"},
    "sampling": {"GET": "reviews:read", "other": "policy:write"},
    "bias": {"GET": "bias:audit", "other": "bias:audit"},
    "examples": {"GET": "examples:read", "other": "examples:write"},
    "subjects": {"GET": "subjects:erase", "other": "subjects:erase"},
    "holds": {"GET": "runs:read", "other": "holds:write"},
    "policies": {"GET": "audit:read", "other": "policy:write"},
    "audit": {"GET": "audit:read"},
    "deliveries": {"GET": "runs:read", "other": "runs:write"},
    "sources": {"GET": "runs:read", "other": "runs:write"},
    "schedules": {"GET": "runs:read", "other": "runs:write"},
    "keys": {"GET": "keys:write", "other": "keys:write"},
}


@dataclass(frozen=True, slots=True)
class Header:
    """A header that an endpoint looks at, for the document."""

    name: str
    text: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is no refusal. `kind` None: there is no body, or one that `media` says enough about."""

    text: str
    kind: Any = None
    media: str | None = "application/json"
    headers: tuple[Header, ...] = ()


@dataclass(slots=True, eq=False)
class Endpoint:
    """One method of one path. `problems` are the errors a caller should expect beside those of every endpoint."""

    method: str
    path: str
    handler: Handler
    summary: str
    replies: dict[int, Reply]
    problems: tuple[type[PilothouseError], ...] = ()
    headers: tuple[Header, ...] = ()
    tag: str = "runs"
    is_body_optional: bool = False
    body: type[Struct] | None = None
    query: type[Struct] | None = None
    takes_document: bool = False
    takes_raw: bool = False
    scope: str | None = None
    """What the key of a caller must have; without it what `SCOPES` says of the tag."""
    _reader: "BodyReader[Any] | None" = None

    def __post_init__(self) -> None:
        parameters = inspect.get_annotations(self.handler, eval_str=True)
        self.body, self.query = parameters.get("body"), parameters.get("query")
        self.takes_document, self.takes_raw = "document" in parameters, "raw" in parameters
        if self.scope is None:
            self.scope = SCOPES.get(self.tag, {}).get("GET" if self.method == "GET" else "other")
        self._reader = None if self.body is None else BodyReader(self.body)

    async def serve(self, call: Call, places: dict[str, str]) -> None:
        """Checks what came and calls the handler."""
        if self.scope is not None:
            demand(call, self.scope)
        given: dict[str, Any] = dict(places)
        query = call.exchange.query_string
        if self.query is not None:
            given["query"] = read_query(query, self.query)
        elif query:
            read_query(query, NoQuery)
        if self._reader is not None:
            raw = await self._read(call)
            given["body"] = self._reader.read(raw, call.front.options.depth)
            if self.takes_raw:
                given["raw"] = raw
        elif self.takes_document:
            check_media(call.headers, MERGE_PATCH, JSON)
            given["document"] = await read_body(call)
            check_document(given["document"], call.front.options.depth)
        await self.handler(call, **given)

    async def _read(self, call: Call) -> bytes:
        raw = await read_body(call)
        if not raw and self.is_body_optional:
            return b"{}"
        check_media(call.headers, JSON)
        return raw


class NoQuery(Struct, forbid_unknown_fields=True):
    """An endpoint without parameters."""


def read_query(text: bytes, kind: type[Struct]) -> Any:
    """The parameters of a query as a struct. Raises `InvalidInput` with every fault, unknown names included."""
    if not text:
        return msgspec.convert({}, kind)
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_LIMIT)
    except ValueError as error:
        reason = "its query is not UTF-8" if isinstance(error, UnicodeError) else "its query has too many parameters"
        raise MalformedRequest(reason=reason) from None
    fields = _fields_of(kind)
    values: dict[str, Any] = {}
    faults = []
    for name, value in pairs:
        one = fields.get(name)
        if one is None:
            faults.append({"path": f"query.{name[:64]}", "message": unknown_field(name, fields)})
        elif get_origin(one.type) is list:
            values.setdefault(name, []).extend(value.split(","))
        elif name in values:
            faults.append({"path": f"query.{name}", "message": "is there more than once"})
        else:
            values[name] = value
    for name, value in values.items():
        try:
            values[name] = msgspec.convert(value, _without_none(fields[name].type), strict=False)
        except msgspec.ValidationError as error:
            faults.append(fault_of(error, f"query.{name}", fields[name].type))
    if faults:
        raise InvalidInput("The query does not fit.", faults=faults)
    return kind(**values)


@cache
def _fields_of(kind: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {one.encode_name: one for one in msgspec.structs.fields(kind)}


def _without_none(kind: Any) -> Any:
    """A parameter that is there is not null, whatever it is spelt like."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    (rest,) = [one for one in get_args(kind) if one is not type(None)]
    return rest


class PathRoute:
    """All methods of one path."""

    def __init__(self, path: str, endpoints: Sequence[Endpoint]) -> None:
        self._path = path
        self._by_method = {one.method: one for one in endpoints}
        if "GET" in self._by_method:
            self._by_method["HEAD"] = self._by_method["GET"]
        self._allowed = ", ".join(sorted({*self._by_method, "OPTIONS"}))

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        call: Call = scope[CALL]
        call.route = self._path
        endpoint = self._by_method.get(scope["method"])
        if endpoint is not None:
            await endpoint.serve(call, _decode_places(scope["path_params"]))
        elif scope["method"] == "OPTIONS":
            await call.answer_empty(204, [(b"allow", self._allowed.encode())])
        else:
            raise MethodNotAllowed(path=_shown(call), method=scope["method"], allowed=self._allowed)


def _decode_places(places: dict[str, str]) -> dict[str, str]:
    try:
        return {name: unquote(value, errors="strict") if "%" in value else value for name, value in places.items()}
    except UnicodeDecodeError:
        raise MalformedRequest(reason="its path is not UTF-8") from None


def _shown(call: Call) -> str:
    path = call.exchange.path
    return path if len(path) <= 200 else f"{path[:200]}..."


async def _route_not_found(scope: Scope, receive: Any, send: Any) -> None:
    raise RouteNotFound(path=_shown(scope[CALL]))


def make_router(endpoints: Sequence[Endpoint]) -> Callable[[Call], Awaitable[None]]:
    """What serves a call by the table. Raises `RouteNotFound` and `MethodNotAllowed`."""
    paths: dict[str, list[Endpoint]] = {}
    for one in endpoints:
        paths.setdefault(one.path, []).append(one)
    routes = [Route(path, PathRoute(path, found)) for path, found in paths.items()]
    router = Router(routes, redirect_slashes=False, default=_route_not_found)

    async def serve(call: Call) -> None:
        exchange = call.exchange
        scope = {**exchange.scope, "path": exchange.raw_path.decode("latin-1"), CALL: call}
        await router(scope, exchange.receive, exchange.send)

    return serve
