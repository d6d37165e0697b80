"""Says in words what a setting may be, and shows what it is without giving a secret away.

The words are made from the type of the field, so that a message and the check cannot disagree.
"""

import json
from typing import Any
from urllib.parse import urlsplit

from msgspec import inspect

MASK = "***"
SHOWN_LIMIT = 80
MAGNITUDES = {
    "ge": "at least {}",
    "gt": "over {}",
    "le": "at most {}",
    "lt": "under {}",
    "min_length": "at least {} characters long",
    "max_length": "at most {} characters long",
}


def expectation(kind: object) -> str:
    """What fits the type, for the end of a sentence."""
    return _describe(inspect.type_info(kind))


def _describe(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _describe(kind.type)
        case inspect.UnionType():
            return _join([_describe(one) for one in kind.types if not isinstance(one, inspect.NoneType)])
        case inspect.LiteralType():
            return _join([json.dumps(value) for value in kind.values])
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number" + _bounds(kind)
        case inspect.FloatType():
            return "a number" + _bounds(kind)
        case inspect.StrType():
            return "a text" + ("" if kind.min_length == 1 else _bounds(kind))
        case inspect.VarTupleType():
            return f"an array, each {_describe(kind.item_type)}"
        case inspect.AnyType():
            return "any value"
        case inspect.DictType():
            return f"a table, each {_describe(kind.value_type)}"
        case inspect.StructType():
            return "a table of " + ", ".join(field.name for field in kind.fields)
    return "something else"


def _bounds(kind: inspect.Type) -> str:
    limits: dict[str, Any] = {name: getattr(kind, name, None) for name in MAGNITUDES}
    bounds = {name: limit for name, limit in limits.items() if limit is not None}
    if bounds.keys() == {"ge", "le"}:
        return f" from {_number(bounds['ge'])} to {_number(bounds['le'])}"
    said = [MAGNITUDES[name].format(_number(limit)) for name, limit in bounds.items()]
    return f" {' and '.join(said)}" if said else ""


def _number(limit: object) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def shown_value(value: object, kind: object) -> str:
    """The value as a person may see it: JSON, cut when it is long, secrets masked."""
    return shorten(json.dumps(mask(value, kind), ensure_ascii=False, default=str))


def shorten(text: str) -> str:
    return text if len(text) <= SHOWN_LIMIT else f"{text[: SHOWN_LIMIT - 1]}…"


def mask(value: object, kind: object) -> object:
    """The value with what its field declares secret replaced: all of it, or the password of a url."""
    if value is None:
        return None
    match secrecy(kind):
        case None:
            return value
        case "password":
            return mask_password(str(value))
    return MASK


def secrecy(kind: object) -> object:
    return _secrecy(inspect.type_info(kind))


def _secrecy(found: inspect.Type) -> object:
    match found:
        case inspect.Metadata():
            return (found.extra or {}).get("secret")
        case inspect.UnionType():
            return next((secret for one in found.types if (secret := _secrecy(one)) is not None), None)
        case inspect.DictType():
            return _secrecy(found.value_type)
    return None


def mask_password(url: str) -> str:
    """The url without its password. What cannot be read as a url, and has the sign of one, is hidden whole."""
    if "@" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    user, _, place = parts.netloc.rpartition("@")
    if not place or "@" in url.removeprefix(f"{parts.scheme}://{parts.netloc}"):
        return MASK
    name, colon, _ = user.partition(":")
    return parts._replace(netloc=f"{name}{colon and ':' + MASK}@{place}").geturl()
