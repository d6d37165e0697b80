"""What a bridge is: how an object that a user already has becomes an agent.

One file per kind of object; only that file knows its framework, and it is imported when such an object was found, never
to find out. A bridge is made once, when its object is loaded. It leaves the object as it is: what a run needs of its
own goes into a copy, or into what the framework takes for one call.
"""

from typing import Any, Protocol

from pilothouse.sdk.execution import Execution
from pilothouse.sdk.schema import Codec


class Bridge(Protocol):
    """Made of the object. Raises `TypeError` or `ValueError`, with the reason, when that cannot be an agent."""

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

    def read(self, raw: bytes) -> Any:
        """The value of an input. Raises `InvalidInput`."""
        ...

    async def run(self, attempt: Execution, value: Any) -> object:
        """One attempt: the output for a value that `read` gave."""
        ...
