"""What a host tells of its tools: name, risk, and the schema of their arguments, for whoever writes policies.

A tool whose annotations cannot be read is described without arguments: policies then see its name and risk only.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from pilothouse.domain.policy import Tool
from pilothouse.sdk.agent import TOOLS
from pilothouse.sdk.function import hints_of, is_context
from pilothouse.sdk.schema import params_codec

TOOLS_LIMIT = 1000


def describe_tools() -> bytes:
    """JSON of the tools that this process knows, by name."""
    found = sorted(TOOLS.items())[:TOOLS_LIMIT]
    return msgspec.json.encode([
        Tool(name, one.risk, one.once, schema_of(one.function), one.labels, one.needs) for name, one in found
    ])  # fmt: skip


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
