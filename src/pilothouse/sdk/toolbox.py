"""What a host tells of its tools: name, risk, and the schema of their arguments, for whoever writes policies.

Of a tool speak, each with more weight than the one before: the tool as its framework describes it, `@tool` under the
same name, the framework's own metadata, and the settings. A tool whose annotations cannot be read is described without
arguments: policies then see its name and risk only.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec

from pilothouse.domain.policy import Tool
from pilothouse.sdk.agent import TOOLS, Risk
from pilothouse.sdk.function import hints_of, is_context, step_name
from pilothouse.sdk.schema import params_codec
from pilothouse.wire.host import ToolWords

TOOLS_LIMIT = 1000
SCHEMA_LIMIT = 64 * 1024
"""Bytes of the schema of one tool; of a larger one the arguments are not described."""


def describe_tools(own: Mapping[str, Tool]) -> bytes:
    """JSON of the tools that this process knows, by name. `own`: what `known_tools` gave for one agent."""
    found = {name: _declared(name) for name in TOOLS} | dict(own)
    return msgspec.json.encode([found[name] for name in sorted(found)[:TOOLS_LIMIT]])


def known_tools(found: Mapping[str, Tool], words: Mapping[str, ToolWords]) -> dict[str, Tool]:
    """The tools of one agent, with what the settings say of them; a tool that nobody has found is known by that."""
    known = dict(found)
    for said, one in words.items():
        name = step_name(said)
        tool = known.get(name) or (_declared(name) if name in TOOLS else Tool(name))
        changed = {field: value for field, value in msgspec.structs.asdict(one).items() if value is not None}
        known[name] = msgspec.structs.replace(tool, **changed)
    return known


def tool_of(name: str, schema: Any, metadata: Any = None) -> Tool:
    """A tool of a framework. `schema`: the JSON schema of its arguments; `metadata`: where its author may have written
    `risk`, `labels` and `once`. Raises `ValueError` for a risk that is none."""
    name = step_name(name)
    said = metadata if isinstance(metadata, Mapping) else {}
    declared = _declared(name) if name in TOOLS else Tool(name)
    risk = said.get("risk", declared.risk)
    if risk not in get_args(Risk):
        raise ValueError(f"the risk of the tool {name!r} is {risk!r}; it is one of {', '.join(get_args(Risk))}")
    labels = said.get("labels", declared.labels)
    once = bool(said.get("once", declared.once))
    labels = (labels,) if isinstance(labels, str) else tuple(labels)
    return msgspec.structs.replace(declared, risk=risk, once=once, schema=_encoded(schema), labels=labels)


def _encoded(schema: Any) -> bytes:
    try:
        raw = msgspec.json.encode(schema) if isinstance(schema, dict) else b"{}"
    except (TypeError, ValueError):
        return b"{}"
    return raw if len(raw) <= SCHEMA_LIMIT else b"{}"


def _declared(name: str) -> Tool:
    one = TOOLS[name]
    return Tool(name, one.risk, one.once, schema_of(one.function), one.labels, one.needs)


def schema_of(function: Callable[..., Any]) -> bytes:
    """The JSON schema of the arguments of a function; `{}` when it does not say enough of them."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
        hints = hints_of(function)
        if parameters and is_context(parameters[0].name, parameters[0].annotation):
            del parameters[0]
        named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        fields = [(one.name, hints.get(one.name, Any), _default(one)) for one in named]
        schema = params_codec(fields).schema
        return schema if isinstance(msgspec.json.decode(schema), dict) else b"{}"
    except Exception:  # whatever a library does in its annotations
        return b"{}"


def _default(parameter: inspect.Parameter) -> Any:
    return dataclasses.MISSING if parameter.default is parameter.empty else parameter.default
