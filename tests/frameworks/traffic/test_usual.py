"""Anomalies on recorded traffic: few false alarms in 34 weeks, and what is put into it is found.

The calls that a bank in North America took in 2003, in slots of five minutes as ours are. It was open on weekdays from
7:00 to 21:05; nights, weekends and holidays are without calls. Excluded: drawn traffic
(`tests/domain/test_usual.py`), and how long and how dear (`test_lengths.py`).
"""

import copy
import json
import subprocess
from datetime import date, timedelta
from pathlib import Path

import pytest

from pilothouse.domain.usual import DAY, Slots
from tests.frameworks.stage import environment_of

OPENS = 84
"""The slot of 7:00."""
LEARNING = 8
"""Days: what is usual of a weekend is known after the first."""
CLOSED = {"2003-04-04", "2003-04-07", "2003-05-26", "2003-07-04", "2003-09-01", "2003-10-14"}
"""Weekdays of which nothing is recorded, three of them public holidays."""


@pytest.fixture(scope="module")
def traffic():
    """By day, all of them in order: 288 slots."""
    python = environment_of("traffic") / "bin" / "python"
    command = [str(python), "-W", "ignore", str(Path(__file__).with_name("calls.py"))]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 27_716
    first, last = (date.fromisoformat(rows[at][0]) for at in (0, -1))
    days = {str(first + timedelta(days=number)): [0.0] * DAY for number in range((last - first).days + 1)}
    for day, place, calls in rows:
        days[day][OPENS + place] = calls
    return days


def replay(slots, values):
    """The places of the slots at which an alarm was raised."""
    return [place for place, value in enumerate(values) if slots.add(value) and slots.is_far]


def test_few_alarms_are_raised_in_34_weeks_and_most_on_days_without_any_call(traffic):
    slots = Slots("runs")
    found = [(day, place) for day, values in traffic.items() for place in replay(slots, values)]
    settled = set(list(traffic)[LEARNING:])
    assert {day for day, _ in found if day in CLOSED} == CLOSED, "that a place is closed on a weekday is news"
    false = [one for one in found if one[0] in settled - CLOSED]
    assert len(false) <= 5, false


@pytest.mark.parametrize(("times", "share"), [(0.0, 1.0), (0.2, 0.9), (3.0, 0.9)], ids=["silence", "little", "flood"])
def test_what_is_put_into_it_is_told_while_it_lasts(traffic, times, share):
    """Twenty minutes of it, at three times of every second Wednesday from the third on."""
    slots, found, wednesdays = Slots("runs"), [], 0
    for number, (day, values) in enumerate(traffic.items()):
        if number >= 14 and date.fromisoformat(day).weekday() == 2:
            wednesdays += 1
            for place in (OPENS + 24, OPENS + 72, OPENS + 120) if wednesdays % 2 else ():
                altered = values[:place] + [value * times for value in values[place : place + 4]]
                found.append(any(at >= place for at in replay(copy.deepcopy(slots), altered)))
        replay(slots, values)
    assert len(found) >= 45
    assert sum(found) >= share * len(found), f"{sum(found)} of {len(found)}"
