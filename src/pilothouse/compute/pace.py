"""How long a run of each agent holds its place, without asking a clock at each run.

By Little's law that is the places which are taken, on average, divided by the runs that leave a second. Both are looked
at once a second and smoothed over about a minute, so a run pays one addition for it.
"""

from collections.abc import Mapping

SMOOTHING = 1 / 60
LEAST_A_SECOND = 1e-4
"""Runs a second below which the quotient says nothing."""


class Pace:
    def __init__(self) -> None:
        self._taken: dict[str, float] = {}
        self._rate: dict[str, float] = {}
        self._left: dict[str, int] = {}
        self._at: float | None = None

    def look(self, at: float, running: Mapping[str, int], left: Mapping[str, int]) -> None:
        """`at` in seconds; `left`: how many runs have left their place so far."""
        span = None if self._at is None else at - self._at
        self._at = at
        if span is not None and span > 0:
            part = min(1.0, span * SMOOTHING)
            for agent, count in left.items():
                rate = (count - self._left.get(agent, 0)) / span
                self._rate[agent] = self._rate.get(agent, rate) * (1 - part) + rate * part
                taken = running.get(agent, 0)
                self._taken[agent] = self._taken.get(agent, taken) * (1 - part) + taken * part
        self._left = dict(left)

    def seconds(self) -> dict[str, float]:
        """For each agent of which enough runs have left."""
        return {agent: self._taken[agent] / rate for agent, rate in self._rate.items() if rate >= LEAST_A_SECOND}
