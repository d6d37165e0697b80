"""What a bridge is: how an object that a user already has becomes an agent.

One file per kind of object; only that file knows its framework, and it is imported when such an object was found, never
to find out. A bridge is made once, when its object is loaded, of the object and of the options that the settings give
for its framework. It leaves the object as it is: what a run needs of its own goes into a copy, or into what the
framework takes for one call.
"""

from typing import Any, Protocol

from pilothouse.domain.policy import Tool
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.schema import Codec


class Bridge(Protocol):
    """Made of the object and `BridgeOptions`. Raises `TypeError` or `ValueError`, with the reason, when that cannot be
    an agent."""

    @property
    def input(self) -> Codec: ...

    @property
    def output(self) -> Codec: ...

    @property
    def description(self) -> str:
        """One paragraph for people; may be empty."""
        ...

    @property
    def wants_history(self) -> bool:
        """Whether a turn is to be given the turns before it."""
        ...

    @property
    def keeps_trail(self) -> bool:
        """Whether the framework has a history of its own, kept as the trails of a session (see `SessionMemory`)."""
        ...

    @property
    def tools(self) -> dict[str, Tool]:
        """What is known of the tools that it may call, by the names of their steps; `describe` adds to it."""
        ...

    def read(self, raw: bytes) -> Any:
        """The value of an input. Raises `InvalidInput`."""
        ...

    async def run(self, attempt: Execution, value: Any) -> object:
        """One attempt: the output for a value that `read` gave."""
        ...
