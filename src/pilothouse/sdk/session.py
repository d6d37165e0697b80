"""The session as an agent sees it: past turns, and a dict that is saved with the turn.

The state is decoded when it is first looked at and compared at the end of the turn, so a turn that leaves it alone
says nothing of it. A run without a session key has the same object with nothing in it, and its state is not saved.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, overload

from msgspec import Raw

from pilothouse.domain.session import Trail, Turn
from pilothouse.errors import InvalidOutput, TooLarge
from pilothouse.sdk.schema import NotJson, read_json, write_json
from pilothouse.wire.frames import read_history

STATE_LIMIT = 16 * 1024 * 1024
TRAILS_LIMIT = 5000
WHOLE_FROM = 64 * 1024
"""Bytes of trails below which nobody gains by a whole one."""


class PastTurn:
    """One past turn. `input` and `output` are decoded when they are looked at."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self.number = turn.number
        self.run = turn.run
        self.status = turn.status

    @cached_property
    def input(self) -> Any:
        return read_json(self._turn.input)

    @cached_property
    def output(self) -> Any:
        return None if self._turn.output is None else read_json(self._turn.output)

    def __repr__(self) -> str:
        return f"PastTurn(number={self.number}, run={self.run!r}, status={self.status!r})"


class History(Sequence[PastTurn]):
    """Past turns, made when they are looked at: most turns look at a few of many."""

    def __init__(self, turns: list[Turn]) -> None:
        self._turns = turns
        self._made: dict[int, PastTurn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    @overload
    def __getitem__(self, index: int) -> PastTurn: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[PastTurn, ...]: ...

    def __getitem__(self, index: int | slice) -> PastTurn | tuple[PastTurn, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self._turns))))
        number = range(len(self._turns))[index]
        turn = self._made.get(number)
        if turn is None:
            turn = self._made[number] = PastTurn(self._turns[number])
        return turn

    def __repr__(self) -> str:
        return f"<{len(self)} turns>"


class SessionMemory:
    """`key` is the caller's; None when the run belongs to no session."""

    def __init__(self, key: str | None, history: Raw, state: bytes, trails: Sequence[Trail] = ()) -> None:
        self.key = key
        self._turns = history
        self._trails = trails
        self.trail: Trail | None = None
        self._raw = state
        self._before: bytes | None = None
        self._state: Any = None

    @cached_property
    def history(self) -> "History":
        """Past turns, the oldest first."""
        return History(read_history(self._turns))

    @property
    def state(self) -> dict[str, Any]:
        """A JSON object. Change it in place or set another; it is saved when the turn succeeds."""
        if self._before is None:
            self._state = read_json(self._raw)
            self._before = write_json(self._state)
        return self._state  # type: ignore[no-any-return]

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        if self._before is None:
            self._before = write_json(read_json(self._raw))
        self._state = state

    @cached_property
    def trails(self) -> list[Any]:
        """For bridges: what the agent's framework has kept of the turns before, from the last whole one on."""
        return [read_json(trail.content) for trail in self._trails]

    def keep_trail(self, value: Any) -> None:
        """For bridges: what this turn adds to the trails, saved with the turn. It should be what is new only. When
        there are many, or they have grown to twice what they come to, `wants_whole` tells, and `keep_whole` begins
        anew. A run without a session keeps none."""
        self._keep(value, False)

    def keep_whole(self, value: Any) -> None:
        """The same with everything in it: later turns are given this, and what follows it."""
        self._keep(value, True)

    def _keep(self, value: Any, is_whole: bool) -> None:
        if self.key is None:
            return
        content = write_json(value)
        if len(content) > STATE_LIMIT:
            raise TooLarge(what="What the framework keeps of this turn", limit=STATE_LIMIT)
        self.trail = Trail(content, is_whole)

    def wants_whole(self, size: int) -> bool:
        """Whether a whole trail of `size` bytes is due: so seldom that all of them together cost what the others do."""
        if len(self._trails) >= TRAILS_LIMIT:
            return True
        since = sum(len(trail.content) for trail in self._trails if not trail.is_whole)
        return since > max(size, WHOLE_FROM)

    def changed(self) -> bytes | None:
        """The state as JSON if this turn changed it. Raises `InvalidOutput` when it is no JSON object."""
        if self._before is None or self.key is None:
            return None
        if not isinstance(self._state, dict):
            raise InvalidOutput(text=f"session.state is a {type(self._state).__name__}, not a dict")
        try:
            after = write_json(self._state)
        except NotJson as error:
            raise InvalidOutput(text=f"session.state: {error}") from None
        if len(after) > STATE_LIMIT:
            raise InvalidOutput(text=f"session.state is larger than {STATE_LIMIT} bytes")
        return None if after == self._before else after
