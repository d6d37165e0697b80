"""Agents that a test has at hand as objects, put where a host finds them: hosts load `module:object`.

A node under test has a shelf of its own here. The name of an agent on it follows from its code, so that the same code
is the same release after a restart, and other code is another one.
"""

import hashlib
import inspect
from itertools import count
from types import SimpleNamespace
from typing import Any

_numbers = count(1)


class Shelf(SimpleNamespace):
    """`put` agents on it, and `clear` it in the end."""

    def __init__(self) -> None:
        super().__init__()
        self._name = f"shelf_{next(_numbers)}"
        globals()[self._name] = self

    def put(self, name: str, agent: Any) -> str:
        """The target under which the agent is found. A text is a target already."""
        if isinstance(agent, str):
            return agent
        place = f"{name.replace('.', '_').replace('-', '_')}_{digest(agent)}"
        setattr(self, place, agent)
        return f"{__name__}:{self._name}.{place}"

    def clear(self) -> None:
        """Takes the shelf away. A second call does nothing."""
        globals().pop(self._name, None)


def digest(agent: Any) -> str:
    """Eight hex digits over the code of an agent."""
    function = inspect.unwrap(getattr(agent, "function", agent))
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        text = repr(getattr(function, "__code__", type(function)))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
