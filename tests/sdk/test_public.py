"""What authors of agents may rely on: the exported names, and an import that costs and drags in little."""

import subprocess
import sys

import pytest

import pilothouse

NAMES = [
    "Answer",
    "BlockingContext",
    "CallFailed",
    "Context",
    "Decision",
    "HotStoreUnavailable",
    "JournalDiverged",
    "LimitReached",
    "NotKept",
    "NotUndone",
    "PilothouseError",
    "Retry",
    "ScratchRefused",
    "SignalTimeout",
    "StepFailed",
    "StepTimeout",
    "TooLarge",
    "UnknownOutcome",
    "agent",
    "idempotency_key",
    "now",
    "tool",
]
VERBS = [
    "call", "call_all", "call_tool", "emit", "now", "publish", "random", "review", "saga", "signal", "sleep", "step",
    "uuid",
]  # fmt: skip
FACTS = ["cancelled", "idempotency_key", "record_usage", "run", "scratch", "session"]


def test_exactly_the_promised_names_are_exported():
    assert sorted(pilothouse.__all__) == sorted(NAMES)
    assert all(hasattr(pilothouse, name) for name in NAMES)


@pytest.mark.parametrize("face", [pilothouse.Context, pilothouse.BlockingContext])
def test_both_contexts_have_the_same_verbs(face):
    public = [name for name in dir(face) if not name.startswith("_")]
    assert public == sorted(VERBS + FACTS)


@pytest.mark.slow
def test_the_import_needs_no_event_loop_and_no_server():
    code = (
        "import sys; before = set(sys.modules); import pilothouse;"
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    loaded = set(eval(told))
    assert {"pilothouse", "msgspec"} <= loaded
    assert not loaded & {"asyncio", "apsw", "sqlite3", "starlette", "uvloop", "pydantic", "click", "socket", "logging"}


def test_decorated_functions_stay_functions():
    @pilothouse.agent(mode="event", description="Adds.")
    def adds(a: int, b: int) -> int:
        return a + b

    @pilothouse.tool
    def doubles(a: int) -> int:
        """Doubles a number.

        More of it."""
        return a * 2

    assert [adds(1, 2), doubles(4)] == [3, 8]
    assert (adds.name, adds.mode, adds.description) == ("adds", "event", "Adds.")
    assert (doubles.name, doubles.risk, doubles.description) == ("doubles", "reversible", "Doubles a number.")


@pytest.mark.parametrize(
    "options",
    [{"mode": "sometimes"}, {"keep": 2.0}, {"keep": "never"}, {"timeout": 0}, {"timeout": float("inf")}],
    ids=str,
)
def test_a_wrong_option_is_an_error_where_it_is_written(options):
    with pytest.raises(ValueError):
        pilothouse.agent(**options)(lambda: None)


def test_a_key_is_told_only_inside_a_step():
    with pytest.raises(pilothouse.PilothouseError, match="does not run inside a step"):
        pilothouse.idempotency_key()
