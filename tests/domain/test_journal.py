"""Replay: every step finds its own record whatever the order of the ends, and nothing else."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pilothouse.domain.journal import BEGUN, ENDED, Replay, StepRow, digest_arguments, signal_key

names = st.sampled_from(["read", "write", "ask"])


def ended(key: str, output: bytes = b"1", kind: str = "step") -> StepRow:
    return StepRow(key=key, kind=kind, name=key, phase=ENDED, status="succeeded", output=output)  # type: ignore[arg-type]


def begun(key: str) -> StepRow:
    return StepRow(key=key, kind="step", name=key, phase=BEGUN, status="started")


@given(st.lists(names, max_size=20), st.randoms())
def test_a_replay_asks_for_the_same_keys_whatever_the_order_of_the_ends(calls, chance):
    first = Replay([])
    keys = [first.key_for(name, digest_arguments(name.encode())) for name in calls]
    assert len(set(keys)) == len(keys)
    rows = [ended(key, str(nth).encode()) for nth, key in enumerate(keys)]
    chance.shuffle(rows)
    again = Replay(rows)
    for nth, name in enumerate(calls):
        row = again.ended(again.key_for(name, digest_arguments(name.encode())))
        assert row is not None
        assert row.output == str(nth).encode()
    assert again.unused == frozenset()


def test_an_early_signal_is_no_sign_of_other_code():
    replay = Replay([ended(signal_key("go", 1), kind="signal")])
    assert replay.unused == frozenset()
    assert replay.ended(signal_key("go", 1)) is not None


class Journal(RuleBasedStateMachine):
    """A replay beside a plain reading of the same rows: the first row of a key counts."""

    def __init__(self) -> None:
        super().__init__()
        self.replay = Replay([])
        self.ended: dict[str, bytes] = {}
        self.asked: set[str] = set()
        self.count = 0

    @rule(name=names)
    def begins(self, name: str) -> None:
        self.replay.learn(begun(name))
        assert self.replay.begun(name) is not None

    @rule(name=names)
    def ends(self, name: str) -> None:
        self.count += 1
        self.replay.learn(ended(name, str(self.count).encode()))
        self.ended.setdefault(name, str(self.count).encode())

    @rule(name=names)
    def asks(self, name: str) -> None:
        row = self.replay.ended(name)
        assert (None if row is None else row.output) == self.ended.get(name)
        if row is not None:
            self.asked.add(name)

    @invariant()
    def what_is_unused_is_what_ended_and_was_not_asked_for(self) -> None:
        assert self.replay.unused == set(self.ended) - self.asked


Journal.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestJournal = Journal.TestCase
