"""The remembered past of a session, where other nodes write as well: it counts when nothing was added since."""

from pilothouse.domain.session import Session, Turn
from pilothouse.engine.session_memory import SessionMemory

NAME = ("acme", "desk", "chat")


def session(turns, created_at=1):
    return Session(tenant="acme", agent="desk", key="chat", turns=turns, version=turns, created_at=created_at)


def turn(number):
    return Turn(number, f"run_{number}", b"1", b"2", "succeeded", 1)


def test_what_is_remembered_counts_when_the_row_says_that_nothing_was_added():
    memory = SessionMemory(is_shared=True)
    memory.put(NAME, session(1), [turn(1)], [])
    assert memory.recall(NAME, session(1)) == ([turn(1)], [])
    assert memory.recall(NAME, session(2)) is None
    assert memory.recall(NAME, session(1, created_at=9)) is None
    assert memory.recall(("acme", "desk", "other"), session(1)) is None


def test_without_a_look_at_the_row_only_a_node_that_is_alone_may_use_it():
    for is_shared in (True, False):
        memory = SessionMemory(is_shared=is_shared)
        memory.put(NAME, session(1), [turn(1)], [])
        assert (memory.get(NAME) is None) == is_shared
