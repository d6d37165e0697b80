"""The rules of the domain, with plain values.

Excluded: how the records enforce them (`tests/conformance`) and how an attempt uses them (`tests/sdk`, `tests/engine`).
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain import ids
from pilothouse.domain.event import Segment, events_of, line
from pilothouse.domain.journal import BEGUN, ENDED, Replay, StepRow, digest_arguments, signal_key, step_key
from pilothouse.domain.lease import TERM, is_expired, lease_until
from pilothouse.domain.retry import Retry
from pilothouse.domain.run import LIVE, TERMINAL, TRANSITIONS, may_become
from pilothouse.domain.session import decide_turn


def test_ends_are_absorbing_and_every_state_is_reachable() -> None:
    assert set(TRANSITIONS) == LIVE | TERMINAL
    assert all(not may_become(end, after) for end in TERMINAL for after in TRANSITIONS)
    reachable, frontier = {"queued"}, ["queued"]
    while frontier:
        for after in TRANSITIONS[frontier.pop()] - reachable:
            reachable.add(after)
            frontier.append(after)
    assert reachable == set(TRANSITIONS)


@pytest.mark.parametrize(
    ("on_busy", "is_busy", "verdict"),
    [
        ("enqueue", False, "go"),
        ("reject", False, "go"),
        ("enqueue", True, "wait"),
        ("reject", True, "refuse"),
        ("interrupt", True, "interrupt"),
        ("rollback", True, "rollback"),
    ],
)
def test_what_a_second_turn_does(on_busy, is_busy, verdict) -> None:
    assert decide_turn(on_busy, is_busy) == verdict


@given(st.integers(1, 20), st.floats(0, 1, exclude_max=True))
def test_delays_grow_up_to_their_limit_and_end(attempts, draw) -> None:
    retry = Retry(attempts=attempts, delay=0.5, factor=2.0, max_delay=8.0, jitter=0.5)
    delays = [retry.delay_before(tries, draw) for tries in range(1, attempts + 1)]
    assert delays[-1] is None
    assert all(0.25 <= delay <= 8.0 for delay in delays[:-1])
    assert delays[:-1] == sorted(delays[:-1])


def test_only_named_errors_are_retried() -> None:
    assert Retry(on=("TimeoutError",)).covers(("TimeoutError", "OSError"))
    assert not Retry(on=("TimeoutError",)).covers(("ValueError",))
    assert Retry().covers(("ValueError",))


def test_a_retry_without_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="attempts"):
        Retry(attempts=0)
    with pytest.raises(ValueError, match="jitter"):
        Retry(jitter=2.0)


def row(key: str, phase: int = ENDED, kind: str = "step") -> StepRow:
    return StepRow(key, kind, key, phase, "succeeded" if phase == ENDED else "started", output=b"1")  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=12), st.data())
def test_steps_find_their_own_record_whatever_the_order_of_their_ends(asked, data) -> None:
    first = Replay([])
    keys = [first.key_for(name, "00") for name in asked]
    assert len(set(keys)) == len(keys)
    ended = data.draw(st.permutations(keys))
    again = Replay([row(key) for key in ended])
    for name in asked:
        found = again.ended(again.key_for(name, "00"))
        assert found is not None
    assert not again.unused


def test_a_step_that_only_began_has_no_end() -> None:
    replay = Replay([row("a-1", BEGUN)])
    assert replay.ended("a-1") is None
    assert replay.begun("a-1") is not None
    replay.learn(row("a-1"))
    assert replay.ended("a-1") is not None


def test_the_first_end_of_a_step_counts() -> None:
    replay = Replay([row("a-1")])
    late = row("a-1")
    late.output = b"2"
    replay.learn(late)
    assert replay.ended("a-1").output == b"1"


def test_keys_tell_name_arguments_and_occurrence() -> None:
    assert step_key("find", digest_arguments(b"[1]"), 2).startswith("find-")
    assert digest_arguments(b"[1]") != digest_arguments(b"[2]")
    assert signal_key("go", 3) == "signal.go-3"


def test_a_segment_gives_each_event_its_number() -> None:
    data = line("run.started", b"{}") + line("output.delta", b'{"delta":"x y"}') + line("run.succeeded", b"{}")
    segment = Segment("run_1", 4, 3, 0, data)
    assert list(events_of(segment, after=4)) == [(5, "output.delta", b'{"delta":"x y"}'), (6, "run.succeeded", b"{}")]
    assert segment.last == 6
    assert segment.is_terminal
    assert not Segment("run_1", 4, 1, 0, line("run.started", b"{}")).is_terminal


def test_ids_sort_by_time_and_children_are_the_same_each_time() -> None:
    assert ids.run_id(1, 2**64 - 1) < ids.run_id(2, 0)
    assert ids.RUN_ID.match(ids.run_id(1, 2))
    assert (
        ids.child_run_id("run_1", "call-1")
        == ids.child_run_id("run_1", "call-1")
        != ids.child_run_id("run_1", "call-2")
    )
    assert ids.valid_session_key("a/b ü")
    assert not ids.valid_session_key("a\nb")
    assert not ids.valid_session_key("")


def test_a_lease_ends_after_its_term() -> None:
    assert not is_expired(lease_until(0), TERM)
    assert is_expired(lease_until(0), TERM + 1)
    assert is_expired(None, 0)
