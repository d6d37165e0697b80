"""How long and how dear, on recorded traffic: no false alarm in eight weeks, and what becomes slow or dear is told.

The flights out of New York in 2013: how long each took, its delay at the start included, and how far it went, as what
it cost. There are four in five minutes, too few to say anything, so six weeks are laid over each other, week by week
across the year: 302,284 flights in eight weeks, 29 in a slot by day, too few at night. Excluded: how many runs
(`test_usual.py`). Laying weeks over each other evens out what befell one of them, so what is shown is that days,
weekends and heavy tails raise no alarm; storms are rarer here than in life.
"""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pilothouse.domain.usual import DAY, Slots, share_of
from tests.frameworks.stage import environment_of

WEEKS = 8
LEARNING = 14
"""Days before something is put in."""
PLACES = (100, 150, 200)
"""Slots of a day: 8:20, 12:30, 16:40."""
LASTS = 4
"""Slots: twenty minutes."""


@pytest.fixture(scope="module")
def traffic():
    """By quantity: the slots of eight weeks, what a flight took or cost on average."""
    python = environment_of("traffic") / "bin" / "python"
    command = [str(python), "-W", "ignore", str(Path(__file__).with_name("flights.py"))]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout.splitlines()
    assert len(lines) == 302_284
    runs, seconds, cost = ([0.0] * (WEEKS * 7 * DAY) for _ in range(3))
    for line in lines:
        week, slot, minutes, miles = json.loads(line)
        at = week % WEEKS * 7 * DAY + slot
        runs[at] += 1
        seconds[at] += minutes * 60
        cost[at] += miles
    return {
        name: [share_of(amount, count) for amount, count in zip(amounts, runs, strict=True)]
        for name, amounts in (("seconds", seconds), ("cost", cost))
    }


@pytest.mark.parametrize("quantity", ["seconds", "cost"])
def test_eight_weeks_raise_no_alarm_and_what_is_put_into_them_is_told_while_it_lasts(traffic, quantity):
    slots, alarms = Slots(quantity), 0
    told = {2.0: [], 3.0: [], 4.0: []}
    values = traffic[quantity]
    for at, value in enumerate(values):
        if at >= LEARNING * DAY and at % DAY in PLACES and at // DAY % 2 == 0:
            for times, found in told.items():
                tried = copy.deepcopy(slots)
                found.append(any(tried.add(one * times) and tried.is_far for one in values[at : at + LASTS]))
        alarms += slots.add(value) and slots.is_far
    shares = {times: sum(found) / len(found) for times, found in told.items()}
    sys.stdout.write(f"{quantity}: {alarms} false alarms in {len(values) // DAY} days; told of {shares}\n")
    assert alarms == 0
    assert len(told[2.0]) == 63
    assert shares[2.0] >= 0.7
    assert min(shares[3.0], shares[4.0]) >= 0.95
