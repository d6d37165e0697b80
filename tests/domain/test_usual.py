"""Anomalies: few false alarms over weeks of traffic with a day's rhythm, and what is really far is told soon.

The traffic is drawn: Poisson arrivals whose rate follows the time of day, durations and costs with a heavy tail.
"""

import random
from math import exp, isnan, nan, pi, sin, sqrt

import pytest

from pilothouse.domain.usual import DAY, DAYS, IN_A_ROW, RECENT, Slots, share_of


class Traffic:
    """A week or more of slots. `rate`: runs in a slot at noon, on average."""

    def __init__(self, seed, rate=40.0):
        self._random = random.Random(seed)
        self._rate = rate
        self._at = 0
        self.slots = {name: Slots(name) for name in ("runs", "seconds", "cost")}
        self.changes = []

    def go_on(self, slots, times=1.0, slower=1.0, dearer=1.0):
        for _ in range(slots):
            wave = 1 + 0.8 * sin(2 * pi * self._at / DAY) + self._random.gauss(0, 0.03)
            runs = self._poisson(max(0.0, self._rate * wave * times))
            seconds = sum(self._random.lognormvariate(1, 0.8) for _ in range(runs)) * slower
            cost = sum(self._random.lognormvariate(-4, 0.6) for _ in range(runs)) * dearer
            told = {"runs": float(runs), "seconds": share_of(seconds, runs), "cost": share_of(cost, runs)}
            for name, value in told.items():
                if self.slots[name].add(value):
                    self.changes.append((self._at, name, self.slots[name].is_far))
            self._at += 1

    def far(self):
        return {name for name, slots in self.slots.items() if slots.is_far}

    def _poisson(self, mean):
        if mean > 30:
            return max(0, round(self._random.gauss(mean, sqrt(mean))))
        limit, count, product = exp(-mean), 0, self._random.random()
        while product > limit:
            count, product = count + 1, product * self._random.random()
        return count


@pytest.mark.slow
@pytest.mark.parametrize("rate", [2.0, 40.0, 400.0])
def test_nine_days_of_ordinary_traffic_tell_nobody_anything(rate):
    traffic = Traffic(seed=3, rate=rate)
    traffic.go_on(9 * DAY)
    assert traffic.changes == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"times": 0.0}, {"runs"}),
        ({"times": 3.0}, {"runs"}),
        ({"slower": 3.0}, {"seconds"}),
        ({"dearer": 4.0}, {"cost"}),
    ],
    ids=["silence", "flood", "slow", "dear"],
)
def test_what_is_far_from_usual_is_told_within_minutes_and_resolved_after_it(change, found):
    traffic = Traffic(seed=7)
    traffic.go_on(4 * DAY + DAY // 8)
    assert traffic.far() == set()
    traffic.go_on(IN_A_ROW + 1, **change)
    assert traffic.far() == found
    traffic.go_on(IN_A_ROW + 1)
    assert traffic.far() == set()


def test_faster_and_cheaper_runs_are_nothing_to_tell():
    traffic = Traffic(seed=1)
    traffic.go_on(4 * DAY)
    traffic.go_on(6, slower=0.1, dearer=0.1)
    assert traffic.far() == set()


def test_a_single_odd_slot_tells_nobody():
    slots = Slots("runs")
    for _ in range(RECENT * 2):
        slots.add(20.0)
    assert [slots.add(value) for value in (500.0, 20.0, 20.0, 500.0, 20.0)] == [False] * 5


def test_before_three_hours_nothing_is_usual():
    slots = Slots("runs")
    for number in range(RECENT):
        assert not slots.add(1000.0 if number > RECENT // 2 else 1.0)
        assert slots.usual is None


def test_weekends_are_quiet_after_five_busy_days_and_that_is_usual_from_the_second_week_on():
    slots = Slots("runs")
    far = set()
    for day in range(21):
        for _ in range(DAY):
            slots.add(0.0 if day % 7 >= 5 else 40.0)
            if slots.is_far:
                far.add(day)
    assert far <= {5, 6, 7}, "the first weekend is news; the next ones are not"
    for _ in range(IN_A_ROW):
        slots.add(0.0)
    assert slots.is_far, "a Monday without runs is"


def test_a_slot_with_few_runs_says_nothing_of_what_a_run_took():
    assert isnan(share_of(100.0, 3))
    slots = Slots("seconds")
    for _ in range(RECENT * 2):
        slots.add(1.0)
    assert [slots.add(nan) for _ in range(5)] == [False] * 5


def test_what_is_remembered_is_bounded():
    slots = Slots("runs")
    for _ in range(3 * DAYS * DAY):
        slots.add(1.0)
    assert len(slots._values) <= DAYS * DAY + 2
