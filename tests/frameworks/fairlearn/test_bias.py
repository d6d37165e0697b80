"""The figures of a bias audit are those of fairlearn, to 1e-9, over generated data.

fairlearn counts a rate over nothing as 0, which makes a group without positives look wronged; here such a rate is left
out. So the data has labels of both kinds in each group, and a test beside shows the difference.
"""

import json
import math
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.domain.bias import Case, figures_of
from tests.frameworks.stage import environment_of

NAMES = (
    "demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference", "equalized_odds_ratio",
)  # fmt: skip


class Oracle:
    def __init__(self, process):
        self._process = process

    def ask(self, rows):
        asked = {
            "groups": [group for group, _, _ in rows],
            "selected": [int(selected) for _, selected, _ in rows],
            "labels": [int(label) for _, _, label in rows],
        }
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="module")
def oracle():
    python = environment_of("fairlearn") / "bin" / "python"
    command = [str(python), "-W", "ignore", str(Path(__file__).with_name("oracle.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield Oracle(process)
        process.stdin.close()
        assert process.wait(60) == 0


@st.composite
def decisions(draw):
    """Two to five groups, each with labels of both kinds and at least one decision that favours somebody."""
    rows = []
    for group in draw(st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=5, unique=True)):
        rows += [(group, draw(st.booleans()), label) for label in (True, False)]
        more = st.tuples(st.just(group), st.booleans(), st.booleans())
        rows += draw(st.lists(more, max_size=30))
    if not any(selected for _, selected, _ in rows):
        rows.append((rows[0][0], True, True))
    return rows


def ours(rows):
    cases = [Case({"group": group}, selected, label) for group, selected, label in rows]
    (one,) = figures_of(cases, ["group"], minimum=1).attributes
    return one


def same(left, right):
    """fairlearn says nan when one of two ratios is of nothing to nothing; here the other one counts."""
    if math.isnan(right):
        return left is None or 0.0 <= left <= 1.0
    return left is not None and math.isclose(left, right, rel_tol=0, abs_tol=1e-9)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(decisions())
def test_every_figure_is_that_of_fairlearn(oracle, rows):
    said, one = oracle.ask(rows), ours(rows)
    assert {group.group: pytest.approx(group.rate, abs=1e-9) for group in one.groups} == said["rates"]
    assert {name: (getattr(one, name), said[name]) for name in NAMES if not same(getattr(one, name), said[name])} == {}


def test_a_rate_over_nothing_is_left_out_and_not_counted_as_nothing(oracle):
    rows = [("a", True, True), ("a", False, False), ("b", True, True), ("b", True, False), ("c", False, False)]
    assert oracle.ask(rows)["equalized_odds_difference"] == 1.0
    assert ours(rows).equalized_odds_difference == 1.0  # of the false positives of a and b
    assert ours([row for row in rows if row[0] != "b"]).equalized_odds_difference is None


def test_a_figure_that_is_off_is_seen(oracle):
    """The comparison itself is shown to fail."""
    rows = [("a", True, True), ("a", False, False), ("b", False, True), ("b", False, False)]
    said = oracle.ask(rows)
    assert not same(ours(rows).demographic_parity_difference + 1e-8, said["demographic_parity_difference"])
