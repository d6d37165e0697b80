"""The sessions this node used last, so that a turn does not read its whole past again.

A copy, never the truth: it is right because every write of a session goes through this node's verbs, which renew or
drop the copy after the commit; and a turn that saves its state names the version it read. Bounded in count and size.
"""

from collections import OrderedDict

from msgspec import Struct

from pilothouse.domain.session import Session, Turn

SESSIONS = 4096
BYTES = 256 * 1024
"""A session whose turns and state are larger than this is read anew each time."""

SessionName = tuple[str, str, str]
"""(tenant, agent, key)"""


class Remembered(Struct):
    session: Session
    turns: list[Turn]
    bytes: int


class SessionMemory:
    def __init__(self) -> None:
        self._kept: OrderedDict[SessionName, Remembered] = OrderedDict()

    def get(self, name: SessionName) -> tuple[Session, list[Turn]] | None:
        found = self._kept.get(name)
        if found is None:
            return None
        self._kept.move_to_end(name)
        return found.session, found.turns

    def put(self, name: SessionName, session: Session, turns: list[Turn]) -> None:
        size = len(session.state) + sum(_size(turn) for turn in turns)
        self._store(name, Remembered(session, turns, size))

    def add_turn(self, name: SessionName, session: Session, turn: Turn, limit: int) -> None:
        """After a turn is durable. `turns` is a new list: an attempt may still hold the old one."""
        found = self._kept.get(name)
        if found is None:
            return
        turns = [*found.turns, turn]
        size = found.bytes + _size(turn) + len(session.state) - len(found.session.state)
        if len(turns) > limit:
            size -= sum(_size(dropped) for dropped in turns[: len(turns) - limit])
            turns = turns[len(turns) - limit :]
        self._store(name, Remembered(session, turns, size))

    def forget(self, name: SessionName) -> None:
        self._kept.pop(name, None)

    def _store(self, name: SessionName, remembered: Remembered) -> None:
        self._kept.pop(name, None)
        if remembered.bytes <= BYTES:
            self._kept[name] = remembered
            if len(self._kept) > SESSIONS:
                self._kept.popitem(last=False)


def _size(turn: Turn) -> int:
    return len(turn.input) + len(turn.output or b"") + 64
