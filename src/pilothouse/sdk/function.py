"""What can be known of a plain function before it is called: its name as a step, its parameters, what it returns.

Facts are kept per function and made when they are first asked for, because a step that runs a thousand times asks a
thousand times and a step of which only the name matters should not pay for its annotations.
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from pilothouse.sdk.agent import Definition
from pilothouse.sdk.context import BlockingContext, Context
from pilothouse.sdk.schema import FREE_CODEC, Codec, codec_for, result_codec

NAME_LIMIT = 128
CONTEXT_NAMES = frozenset({"Context", "BlockingContext", "pilothouse.Context", "pilothouse.BlockingContext"})
SCALARS: dict[Any, Any] = {"str": str, "int": int, "bool": bool, "None": type(None), None: type(None)}


class Facts:
    """What a step needs of its function. Holds nothing of the function itself, so that it does not keep it alive."""

    __slots__ = ("_codec", "is_async", "name", "parameters")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = step_name(getattr(function, "__name__", None) or type(function).__name__)
        self.parameters = parameter_names(function)
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004
        )
        self._codec: Codec | None = None

    def codec(self, function: Callable[..., Any]) -> Codec:
        """How the result becomes JSON and comes back."""
        if self._codec is None:
            self._codec = _result_codec(function)
        return self._codec

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by name, as the journal keeps them; what has no name is under `*`."""
        if not args:
            return kwargs
        named = dict(zip(self.parameters, args, strict=False))
        if len(args) > len(self.parameters):
            named["*"] = args[len(self.parameters) :]
        named.update(kwargs)
        return named


_functions: WeakKeyDictionary[Any, Facts] = WeakKeyDictionary()
_methods: WeakKeyDictionary[Any, Facts] = WeakKeyDictionary()


def facts_of(function: Callable[..., Any]) -> Facts:
    """The facts of a function, made once. Raises `TypeError` when it cannot be called."""
    if isinstance(function, MethodType):  # made anew at each access; what stays is the function behind it
        known, key = _methods, function.__func__
    else:
        known, key = _functions, function
    try:
        facts = known.get(key)
        if facts is None:
            facts = known[key] = _new_facts(function)
    except TypeError:
        return _new_facts(function)  # cannot be hashed or weakly referred to; or cannot be called
    return facts


def _new_facts(function: Any) -> Facts:
    if not callable(function):
        raise TypeError(f"a step is a function and its arguments; {type(function).__name__} is not callable")
    return Facts(function.function if isinstance(function, Definition) else function)


def step_name(name: str) -> str:
    """A name fit for a step key: one line, not empty, bounded."""
    name = "".join(char if char.isprintable() else "_" for char in name.replace("<lambda>", "lambda"))[:NAME_LIMIT]
    if not name:
        raise ValueError("a step needs a name")
    return name


def parameter_names(function: Any) -> tuple[str, ...]:
    """The names that positional arguments go to."""
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        return function.__code__.co_varnames[: function.__code__.co_argcount]
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    return tuple(one.name for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD))


def innermost(function: Any) -> Any:
    """The function that has the annotations: behind definitions, partials and the `__call__` of an object."""
    while True:
        if isinstance(function, Definition):
            function = function.function
        elif isinstance(function, partial):
            function = function.func
        elif inspect.isroutine(function) or isinstance(function, type):
            return function
        else:
            return type(function).__call__


def hints_of(function: Any) -> Mapping[str, Any]:
    """The annotations as types. Raises `NameError` when one names what is not there at run time."""
    return typing.get_type_hints(innermost(function), include_extras=True)


def _result_codec(function: Any) -> Codec:
    written = getattr(function, "__annotations__", {}).get("return", Any)
    if written is Any or written in (object, "Any", "object"):
        return FREE_CODEC if not isinstance(function, partial) else _resolved(function)
    if (written is None or isinstance(written, str)) and written in SCALARS:
        return codec_for(SCALARS[written])
    return _resolved(function)


def _resolved(function: Any) -> Codec:
    try:
        return result_codec(hints_of(function).get("return", Any))
    except Exception:  # names under TYPE_CHECKING, or anything a library does in its annotations
        return FREE_CODEC


def is_context(name: str, annotation: Any) -> bool:
    """Whether a first parameter wants the context."""
    if isinstance(annotation, str):
        return name == "ctx" or annotation.strip("\"'") in CONTEXT_NAMES
    return name == "ctx" or annotation in (Context, BlockingContext)


def takes_context(function: Any) -> bool:
    """Whether the first parameter of a function is the context."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    return bool(parameters) and is_context(parameters[0].name, parameters[0].annotation)
