"""What the settings tell a framework, `[agents.NAME.options]`: what its own `run` takes beside the input.

An object says what an agent is, and the call says how far one run may go; here nobody writes that call, so its
arguments come from here. Each bridge takes the options that it knows; what is left over is a mistake that is told with
all that would work, when the agent is loaded and not in the middle of a run.
"""

import importlib
from collections.abc import Mapping
from typing import Any


class Options:
    """The options of one agent. Whatever is wrong with them raises `ValueError`."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._left = dict(given)
        self._known: list[str] = []

    def number(self, name: str) -> int | None:
        """A whole number from 1."""
        value = self._take(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"options.{name} is {value!r}; it is a whole number from 1")
        return value

    def table(self, name: str) -> dict[str, Any] | None:
        value = self._take(name)
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"options.{name} is {value!r}; it is a table")
        return value

    def found(self, name: str, kind: type) -> Any:
        """An object of the user's, named as a target is: `module:object`. None: it was not named."""
        value = self._take(name)
        if value is None:
            return None
        module, colon, path = str(value).partition(":")
        try:
            if not colon:
                raise ValueError("it is not of the form module:object")
            found: Any = importlib.import_module(module)
            for part in path.split("."):
                found = getattr(found, part)
        except Exception as error:
            raise ValueError(f"options.{name} names {value!r}, which is not there: {error}") from error
        if not isinstance(found, kind):
            raise ValueError(f"options.{name} names {value!r}, a {type(found).__name__}; it is a {kind.__name__}")
        return found

    def _take(self, name: str) -> Any:
        self._known.append(name)
        return self._left.pop(name, None)

    def all_taken(self, framework: str) -> None:
        """Called last: nothing may be left."""
        if self._left:
            known = f"it takes {', '.join(self._known)}" if self._known else "it takes none"
            raise ValueError(f"{framework} has no options.{next(iter(self._left))}; {known}")
