"""Plain callables as agents: async or sync, returning their output or yielding pieces of it.

The first parameter is the context when it is annotated `Context` or named `ctx`. One other parameter is the input
itself; several are the members of an input object; none means that there is no input. A sync function runs in a thread
and its context blocks. A generator emits what it yields, and its output is all of it: the joined text when every piece
is text, else the list.
"""

import dataclasses
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any

from pilothouse.domain.policy import Tool
from pilothouse.sdk.agent import first_paragraph
from pilothouse.sdk.context import BlockingContext, Context
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.function import hints_of, innermost, is_context
from pilothouse.sdk.schema import FREE, FREE_CODEC, Codec, MsgspecCodec, codec_for, params_codec

NOTHING = (None, type(None))
UNBOUNDED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class NoInput:
    """The codec of an agent that takes none: null, or an empty object."""

    schema = b'{"anyOf":[{"type":"null"},{"type":"object","maxProperties":0}]}'
    is_free = False
    is_text = False
    is_exact = True

    def __init__(self) -> None:
        self._empty = params_codec([])

    def read(self, raw: bytes) -> Any:
        if raw != b"null":
            self._empty.read(raw)

    def write(self, value: object) -> bytes:
        return b"null"


class FunctionBridge:
    """How a function is called with an input. Made once, when it is loaded. Raises `TypeError` when it cannot be."""

    keeps_trail = False

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.tools: dict[str, Tool] = {}
        shape = _shape(function)
        self._yields_async = inspect.isasyncgenfunction(shape)
        self._yields = inspect.isgeneratorfunction(shape)
        self._is_async = inspect.iscoroutinefunction(shape)
        parameters = list(inspect.signature(function).parameters.values())
        hints = _hints(function, parameters)
        self.takes_context = bool(parameters) and is_context(
            parameters[0].name, hints.get(parameters[0].name, parameters[0].annotation)
        )
        if self.takes_context:
            del parameters[0]
        self._names = tuple(one.name for one in parameters)
        self._only: inspect.Parameter | None = None
        self.input: Codec = self._input_codec(parameters, hints)
        self.wants_history = self.takes_context
        self.description = first_paragraph(function)
        self.output: Codec = _output_codec(hints.get("return", Any), self._yields or self._yields_async)

    def _input_codec(self, parameters: list[inspect.Parameter], hints: dict[str, Any]) -> Codec:
        for one in parameters:
            if one.kind in UNBOUNDED:
                raise TypeError(f"the parameter {one} takes anything; name the parameters that make up the input")
        if not parameters:
            return NoInput()
        if len(parameters) == 1:
            self._only = parameters[0]
            codec = _readable(f"the parameter {self._only.name!r}", hints.get(self._only.name, Any))
            if self._only.default is not inspect.Parameter.empty and not codec.is_free:
                codec.is_exact = False  # null stands for the default, whatever the schema says
            return codec
        missing = inspect.Parameter.empty
        fields = [
            (
                one.name,
                Any if hints.get(one.name, Any) in FREE else hints[one.name],
                dataclasses.MISSING if one.default is missing else one.default,
            )
            for one in parameters
        ]
        try:
            return params_codec(fields)
        except TypeError:
            for name, hint, _ in fields:
                _readable(f"the parameter {name!r}", hint)
            raise

    # --- calling ---

    async def run(self, attempt: Execution, value: Any) -> object:
        """The output for an input that `input` has read."""
        args, kwargs = self._arguments(attempt, value)
        if self._is_async:
            return await self._function(*args, **kwargs)
        if self._yields_async:
            return await self._drain(attempt, self._function(*args, **kwargs))
        call = partial(self._drain_blocking, attempt) if self._yields else self._function
        output = await attempt.in_agent_thread(call, args, kwargs)
        if inspect.isawaitable(output):
            return await output
        return await self._drain(attempt, output) if inspect.isasyncgen(output) else output

    def read(self, raw: bytes) -> Any:
        """The value of an input. Raises `InvalidInput`."""
        if raw == b"null" and self._only is not None and self._only.default is not inspect.Parameter.empty:
            return self._only.default
        return self.input.read(raw)

    def _arguments(self, attempt: Execution, value: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        first: tuple[Any, ...] = ()
        if self.takes_context:
            is_on_loop = self._is_async or self._yields_async
            first = (Context(attempt),) if is_on_loop else (BlockingContext(attempt),)
        if self._only is not None:
            if self._only.kind is inspect.Parameter.KEYWORD_ONLY:
                return first, {self._only.name: value}
            return (*first, value), {}
        return first, {name: getattr(value, name) for name in self._names}

    async def _drain(self, attempt: Execution, pieces: AsyncIterator[Any]) -> object:
        kept: list[Any] = []
        async with aclosing(typing.cast(typing.Any, pieces)):
            async for piece in pieces:
                kept.append(piece)
                await attempt.emit(piece)
        return joined(kept)

    def _drain_blocking(self, attempt: Execution, *args: Any, **kwargs: Any) -> object:
        kept: list[Any] = []
        context = BlockingContext(attempt)
        pieces: Iterator[Any] = self._function(*args, **kwargs)
        for piece in pieces:
            kept.append(piece)
            context.emit(piece)
        return joined(kept)


def joined(pieces: list[Any]) -> object:
    """Text when all pieces are text, else the list."""
    return "".join(pieces) if pieces and all(isinstance(piece, str) for piece in pieces) else pieces


def _shape(function: Any) -> Any:
    """What decides whether calling `function` gives a coroutine or a generator: the function itself, or behind a plain
    wrapper what it wraps."""
    while isinstance(function, partial):
        function = function.func
    if not (inspect.isroutine(function) or isinstance(function, type)):
        function = type(function).__call__
    return function if _gives_more_than_a_value(function) else inspect.unwrap(function)


def _gives_more_than_a_value(function: Any) -> bool:
    return (
        inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function)
        or inspect.isgeneratorfunction(function)
    )


def _hints(function: Any, parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """The annotations as types. That of the context may name what is imported for type checkers only."""
    try:
        return dict(hints_of(function))
    except NameError as error:
        if not parameters or not is_context(parameters[0].name, parameters[0].annotation):
            raise TypeError(f"an annotation cannot be resolved: {error}") from None
        plain = innermost(function)
        written = {name: hint for name, hint in plain.__annotations__.items() if name != parameters[0].name}
        holder = type("holder", (), {"__annotations__": written})
        try:
            hints = typing.get_type_hints(holder, globalns=plain.__globals__, include_extras=True)
        except NameError as other:
            raise TypeError(f"an annotation cannot be resolved: {other}") from None
        return {parameters[0].name: Context, **hints}


def _output_codec(hint: Any, is_generator: bool) -> Codec:
    if is_generator:
        pieces = typing.get_args(hint)
        if not pieces or pieces[0] in FREE:
            return FREE_CODEC
        hint = str if pieces[0] is str else list[pieces[0]]  # type: ignore[valid-type]
    if hint in NOTHING:
        return MsgspecCodec(type(None))
    return _readable("what it returns", hint)


def _readable(what: str, hint: Any) -> Codec:
    try:
        return codec_for(hint)
    except TypeError as error:
        raise TypeError(f"{what}: {error}") from None
