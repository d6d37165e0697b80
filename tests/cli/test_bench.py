"""`bench`: a real node under a short load, in each kind of work, and the plot of what came."""

import pytest

from pilothouse.cli.bench import plot, shown
from pilothouse.cli.exits import Exit
from pilothouse.client.spread import TimeSpread

LOAD = ("--seconds", "0.4", "--warm", "0", "--callers", "2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "work"), [("words", "run"), ("diary", "session"), ("words", "stream"), ("stepped", "background")]
)
def test_each_kind_of_work_is_done_and_counted(served, agent, work):
    found = served.json("bench", agent, "a b", "--work", work, *LOAD)
    assert found["failures"] == {}
    assert found["done"] > 0
    assert found["latency"]["count"] == found["done"] == sum(count for _, count in found["latency"]["buckets"])
    assert found["latency"]["min"] <= found["latency"]["p50"] <= found["latency"]["p99.9"] <= found["latency"]["max"]
    assert found["first"]["count"] == (found["done"] if work in ("stream", "background") else 0)
    assert (found["events"] > 0) is (work == "stream")


@pytest.mark.slow
def test_an_open_load_is_told_with_its_percentiles_and_a_plot(served):
    result = served("bench", "words", "hello", "--rate", "50", *LOAD)
    assert result.exit_code == Exit.DONE
    assert "50 a second" in result.stdout
    assert "p99.9" in result.stdout
    assert "100.00 %" in result.stdout


@pytest.mark.slow
def test_a_load_of_which_nothing_succeeds_leaves_with_a_failure(served):
    result = served("bench", "broken", "luck", *LOAD)
    assert result.exit_code == Exit.FAILED
    assert "failed run" in result.stdout
    assert served("bench", "nobody", *LOAD).exit_code == Exit.NOT_FOUND


def test_a_plot_has_a_bar_for_each_step_and_ends_with_everything():
    spread = TimeSpread()
    for micros in (900, 950, 1500, 4000, 45_000):
        spread.add(micros / 1e6)
    lines = plot(spread)
    assert [line.split("%")[0].split() for line in lines] == [
        ["<=", "1", "ms", "40.00"], ["<=", "2", "ms", "60.00"], ["<=", "5", "ms", "80.00"], ["<=", "10", "ms", "80.00"],
        ["<=", "20", "ms", "80.00"], ["<=", "50", "ms", "100.00"],
    ]  # fmt: skip
    assert lines[0].count("█") == 50
    assert "█" not in lines[3]


@pytest.mark.parametrize(("seconds", "text"), [(1.5, "1.5 s"), (0.01234, "12.3 ms"), (2e-5, "20 us"), (0, "0 us")])
def test_spans_are_shown_with_three_digits(seconds, text):
    assert shown(seconds) == text
