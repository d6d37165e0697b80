"""The hot paths do not get dearer unnoticed: calls, statements and bytes of one unit, held against `counts.json`.

Counts and not times, so that a busy machine changes nothing. Red means that a unit costs a tenth more than when the
figures were taken: find out what was added (`python -m benchmarks.counts` prints them all), and take it out again where
it is off or unused. What is worth its price is paid by `make counts`, which renews the figures, in the same commit.
"""

import msgspec
import pytest

from benchmarks.counts import BASELINE, WORKS, count_all, grown

ALLOWED = 0.1


@pytest.fixture(scope="module")
def before() -> dict[str, dict[str, float]]:
    return msgspec.json.decode(BASELINE.read_bytes(), type=dict[str, dict[str, float]])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_unit_of_work_costs_a_tenth_more_than_it_did(before):
    assert grown(before, count_all(), ALLOWED) == []


def test_every_unit_has_its_figures(before):
    assert set(before) == {work.unit for work in WORKS}
    assert all(set(figures) == {"calls", "statements", "link"} for figures in before.values())


def test_what_grew_is_told_and_what_shrank_is_not(before):
    planted = {unit: dict(figures) for unit, figures in before.items()}
    assert grown(before, planted, ALLOWED) == []
    planted["step"]["calls"] *= 1.11
    planted["session turn"]["statements"] *= 0.5
    del planted["stateless run"]["link"]
    told = grown(before, planted, ALLOWED)
    assert [one.split(":")[0] for one in told] == ["stateless run", "step"]
    assert "grew from" in told[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_call_that_is_planted_on_the_hot_path_is_seen(before, monkeypatch):
    """Sixteen calls more for a stateless run, where it passes through our code."""
    from pilothouse.communication.http import header

    check = header.Neighbours.check
    is_loopback = header.Neighbours._is_known

    def dearer(self, headers):
        for _ in range(16):
            is_loopback(self, b"localhost")
        check(self, headers)

    monkeypatch.setattr(header.Neighbours, "check", dearer)
    told = grown({"stateless run": before["stateless run"]}, count_all(), 0.1)
    assert any("stateless run: calls grew" in one for one in told)
