"""What tools of frameworks return, as JSON, and back: plain values as they are, models and dataclasses with their type.

A framework goes on with what a tool returned by its type, on a replay as the first time. So a pydantic model or a
dataclass is kept with the name of its type, and made again from it; anything else that JSON cannot hold is kept as its
text, which is what a model would be shown of it. Types are found among what is imported, never imported for a name.
"""

import dataclasses
import sys
from typing import Any

TYPE, VALUE = "$type", "$value"


def dump_tagged(value: Any) -> Any:
    """The value as `load_tagged` reads it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [dump_tagged(one) for one in value]
    if isinstance(value, dict):
        kept = {str(name): dump_tagged(one) for name, one in value.items()}
        return {TYPE: "dict", VALUE: kept} if TYPE in kept else kept
    kind = type(value)
    if _adapter(kind) is not None:
        try:
            plain = _adapter(kind).dump_python(value, mode="json", warnings=False)
        except Exception:  # a member that pydantic does not know
            return str(value)
        return {TYPE: f"{kind.__module__}:{kind.__qualname__}", VALUE: plain}
    return str(value)


def load_tagged(value: Any) -> Any:
    if isinstance(value, list):
        return [load_tagged(one) for one in value]
    if not isinstance(value, dict):
        return value
    name = value.get(TYPE)
    if name is None:
        return {key: load_tagged(one) for key, one in value.items()}
    if name == "dict":
        return {key: load_tagged(one) for key, one in value[VALUE].items()}
    module, _, path = name.partition(":")
    kind: Any = sys.modules.get(module)
    for part in path.split("."):
        kind = getattr(kind, part, None)
    adapter = _adapter(kind) if isinstance(kind, type) else None
    return value[VALUE] if adapter is None else adapter.validate_python(value[VALUE])


def _adapter(kind: type) -> Any:
    """pydantic's own reading and writing of a type, when it is one that pydantic can make again."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is None or not (dataclasses.is_dataclass(kind) or issubclass(kind, pydantic.BaseModel)):
        return None
    try:
        return pydantic.TypeAdapter(kind)
    except pydantic.errors.PydanticUserError:
        return None
