"""The sessions this node used last, so that a turn does not read its whole past again.

A copy, never the truth: it is right because every write of a session goes through this node's verbs, which renew or
drop the copy after the commit; and a turn that saves its state names the version it read. Where other nodes write the
same records the copy is a hint: it counts when the row of the session, which is read, says so. Bounded in
count and size.
"""

from collections import OrderedDict

from msgspec import Struct

from pilothouse.domain.session import Session, Trail, Turn

SESSIONS = 4096
BYTES = 256 * 1024
"""A session whose turns and state are larger than this is read anew each time."""

SessionName = tuple[str, str, str]
"""(tenant, agent, key)"""


class Remembered(Struct):
    session: Session
    turns: list[Turn]
    trails: list[Trail]
    bytes: int


class SessionMemory:
    def __init__(self, *, is_shared: bool = False) -> None:
        """`is_shared`: other nodes write the same records."""
        self.is_shared = is_shared
        self._kept: OrderedDict[SessionName, Remembered] = OrderedDict()

    def get(self, name: SessionName) -> tuple[Session, list[Turn], list[Trail]] | None:
        found = self._kept.get(name)
        if found is None or self.is_shared:
            return None
        self._kept.move_to_end(name)
        return found.session, found.turns, found.trails

    def recall(self, name: SessionName, session: Session) -> tuple[list[Turn], list[Trail]] | None:
        """The turns and trails of a session that was just read, when what is remembered is as old as it."""
        found = self._kept.get(name)
        if found is None or _age(found.session) != _age(session):
            return None
        self._kept.move_to_end(name)
        return found.turns, found.trails

    def put(self, name: SessionName, session: Session, turns: list[Turn], trails: list[Trail]) -> None:
        size = len(session.state) + sum(_size(turn) for turn in turns) + sum(len(trail.content) for trail in trails)
        self._store(name, Remembered(session, turns, trails, size))

    def add_turn(self, name: SessionName, session: Session, turn: Turn, trail: Trail | None, limit: int) -> None:
        """After a turn is durable. `turns` is a new list, as is `trails`: an attempt may still hold the old one."""
        found = self._kept.get(name)
        if found is None:
            return
        turns = [*found.turns, turn]
        size = found.bytes + _size(turn) + len(session.state) - len(found.session.state)
        if len(turns) > limit:
            size -= sum(_size(dropped) for dropped in turns[: len(turns) - limit])
            turns = turns[len(turns) - limit :]
        trails = found.trails
        if trail is not None:
            size += len(trail.content)
            if trail.is_whole:
                size -= sum(len(dropped.content) for dropped in trails)
                trails = []
            trails = [*trails, trail]
        self._store(name, Remembered(session, turns, trails, size))

    def forget(self, name: SessionName) -> None:
        self._kept.pop(name, None)

    def _store(self, name: SessionName, remembered: Remembered) -> None:
        self._kept.pop(name, None)
        if remembered.bytes <= BYTES:
            self._kept[name] = remembered
            if len(self._kept) > SESSIONS:
                self._kept.popitem(last=False)


def _age(session: Session) -> tuple[int, int, int]:
    """Another one after each turn, and of a session that was dropped and began anew. The history of one that was
    only edited is as before."""
    return session.created_at, session.turns, session.version


def _size(turn: Turn) -> int:
    return len(turn.input) + len(turn.output or b"") + 64
