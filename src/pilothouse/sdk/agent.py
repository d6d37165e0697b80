"""`@agent` and `@tool`: what a function says of itself. Both stay plain functions for whoever calls them.

Nothing here runs anything: a definition holds the function and its options, checked at once, so that a wrong option
is an error at the line that has it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypeVar, get_args, overload

from pilothouse.domain.decision import Decision
from pilothouse.domain.retry import Retry
from pilothouse.domain.run import Mode

P = ParamSpec("P")
R = TypeVar("R")

Risk = Literal["read", "reversible", "irreversible", "consequential"]
Keep = float | bool | Literal["errors"]


class Definition(Generic[P, R]):
    """A function with options. Calling it calls the function."""

    def __init__(self, function: Callable[P, R], name: str | None, description: str | None) -> None:
        if not callable(function):
            raise TypeError(f"{type(function).__name__} is not callable")
        functools.update_wrapper(self, function)
        self.function = function
        for option in (name, description):
            if option is not None and not isinstance(option, str):
                raise TypeError(f"name and description are text, not {option!r}")
        self.name: str = name if name is not None else getattr(function, "__name__", type(function).__name__)
        self.description = description if description is not None else first_paragraph(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)


class AgentDefinition(Definition[P, R]):
    def __init__(
        self,
        function: Callable[P, R],
        *,
        mode: Mode = "stateless",
        name: str | None = None,
        retry: Retry | None = None,
        keep: Keep | None = None,
        timeout: float | None = None,
        description: str | None = None,
        decision: Decision | None = None,
    ) -> None:
        super().__init__(function, name, description)
        if decision is not None and not isinstance(decision, Decision):
            raise TypeError(f'decision is {decision!r}; write Decision(outcome="granted", groups=("sex",))')
        self.decision = decision
        if mode not in get_args(Mode):
            raise ValueError(f"mode is {mode!r}; it is one of {', '.join(get_args(Mode))}")
        self.mode: Mode = mode
        self.retry = checked_retry(retry)
        self.keep = None if keep is None else checked_keep(keep)
        self.timeout = checked_timeout(timeout)


TOOLS: dict[str, ToolDefinition[Any, Any]] = {}
"""The tools of this process by their names: what a framework calls is known by that. The last definition counts."""


class ToolDefinition(Definition[P, R]):
    def __init__(
        self,
        function: Callable[P, R],
        *,
        risk: Risk = "reversible",
        once: bool = False,
        name: str | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        description: str | None = None,
        labels: Sequence[str] = (),
        needs: Sequence[str] = (),
    ) -> None:
        super().__init__(function, name, description)
        if isinstance(labels, str) or not all(labels):
            raise TypeError(f'labels is {labels!r}; write labels=("retrieved",)')
        self.labels = tuple(labels)
        """Where its results come from and how sensitive they are: policies see it (`retrieved`, `sensitive`, ...)."""
        if isinstance(needs, str) or not all(needs):
            raise TypeError(f'needs is {needs!r}; write needs=("finance",)')
        self.needs = tuple(needs)
        """Roles that the agent and whoever it acts for must both hold, or the node refuses the call."""
        if risk not in get_args(Risk):
            raise ValueError(f"risk is {risk!r}; it is one of {', '.join(get_args(Risk))}")
        self.risk: Risk = risk
        self.once = once
        self.retry = checked_retry(retry)
        self.timeout = checked_timeout(timeout)
        TOOLS[self.name] = self


@overload
def agent(function: Callable[P, R], /) -> AgentDefinition[P, R]: ...
@overload
def agent(
    *,
    mode: Mode = ...,
    name: str | None = ...,
    retry: Retry | None = ...,
    keep: Keep | None = ...,
    timeout: float | None = ...,
    description: str | None = ...,
    decision: Decision | None = ...,
) -> Callable[[Callable[P, R]], AgentDefinition[P, R]]: ...
def agent(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Makes an agent of a function: async or not, returning its output or yielding pieces of it.

    The first parameter is the context when it is annotated `Context` or named `ctx`; the others are the input.
    """
    if function is None:
        return functools.partial(AgentDefinition, **options)
    return AgentDefinition(function, **options)


@overload
def tool(function: Callable[P, R], /) -> ToolDefinition[P, R]: ...
@overload
def tool(
    *,
    risk: Risk = ...,
    once: bool = ...,
    name: str | None = ...,
    retry: Retry | None = ...,
    timeout: float | None = ...,
    description: str | None = ...,
    labels: Sequence[str] = ...,
    needs: Sequence[str] = ...,
) -> Callable[[Callable[P, R]], ToolDefinition[P, R]]: ...
def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Makes a tool of a function, for `ctx.call_tool`. With `once` it is never silently repeated."""
    if function is None:
        return functools.partial(ToolDefinition, **options)
    return ToolDefinition(function, **options)


def first_paragraph(function: object) -> str:
    return " ".join((getattr(function, "__doc__", None) or "").strip().split("\n\n")[0].split())


def checked_keep(keep: object) -> float | str:
    """The share of stateless runs that is kept, or "errors"."""
    if isinstance(keep, bool):
        return 1.0 if keep else 0.0
    if keep == "errors" or (isinstance(keep, int | float) and 0.0 <= keep <= 1.0):
        return keep if isinstance(keep, str) else float(keep)
    raise ValueError(f'keep is {keep!r}; it is true, false, "errors" or a share from 0.0 to 1.0')


def checked_timeout(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not 0 < timeout < float("inf"):
        raise ValueError(f"timeout is {timeout!r}; it is a number of seconds over 0")
    return float(timeout)


def checked_retry(retry: Retry | None) -> Retry | None:
    if retry is not None and not isinstance(retry, Retry):
        raise TypeError(f"retry is {retry!r}; write Retry(attempts=3)")
    if retry is not None and not all(isinstance(name, str) for name in retry.on):
        raise TypeError('Retry.on has names of exception types, e.g. on=("TimeoutError",)')
    return retry
