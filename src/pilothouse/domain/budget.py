"""Hard caps: what a run, a session, an agent or a tenant may use before it is stopped, and when a call is one too many.

Before a call, what it may use is reserved; afterwards what it did use is settled and the reservation goes. A call is
refused when it would bring what is settled over the cap. When only the reservations of other calls stand in the way, it
waits until they are settled: an estimate that was too high must not end a run. What is known beforehand (calls, steps)
is no estimate, so a cap of 10 calls is 10 calls, however many are made at once.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Scope = Literal["run", "session", "agent", "tenant"]
Period = Literal["day", "month", "total"]
Verdict = Literal["go", "wait", "over"]
SCOPES: tuple[Scope, ...] = ("run", "session", "agent", "tenant")


class Amounts(Struct, array_like=True):
    tokens: int = 0
    cost_usd: float = 0.0
    model_calls: int = 0
    tool_calls: int = 0
    steps: int = 0
    wall_seconds: float = 0.0

    def add(self, other: "Amounts") -> None:
        for name in AMOUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def take(self, other: "Amounts") -> None:
        for name in AMOUNTS:
            setattr(self, name, getattr(self, name) - getattr(other, name))

    @property
    def is_nothing(self) -> bool:
        return not any(getattr(self, name) for name in AMOUNTS)


AMOUNTS = Amounts.__struct_fields__
NOTHING: Mapping[str, int] = {}
EXACT = frozenset({"model_calls", "tool_calls", "steps"})


class Budget(Struct, frozen=True):
    """Caps of one scope; None: no cap. `period`: what a session, an agent or a tenant used counts for the day or the
    month (UTC), or for ever; a run is one period. `on_hit`: the run fails, or a person is asked."""

    scope: Scope
    tokens: int | None = None
    cost_usd: float | None = None
    model_calls: int | None = None
    tool_calls: int | None = None
    steps: int | None = None
    wall_seconds: float | None = None
    period: Period = "total"
    on_hit: Literal["fail", "review"] = "fail"

    @property
    def caps(self) -> dict[str, float]:
        return {name: cap for name in AMOUNTS if (cap := getattr(self, name)) is not None}


class Hit(Struct, frozen=True):
    """Which cap stands in the way: `amount` of `scope`, its `cap` and what was `spent` of it."""

    scope: Scope
    amount: str
    cap: float
    spent: float


def judge(
    budget: Budget,
    spent: Amounts,
    reserved: Amounts,
    in_flight: int,
    wish: Amounts,
    raised: Mapping[str, int] = NOTHING,
) -> tuple[Verdict, Hit | None]:
    """Whether a call that will use `wish` may begin. `in_flight`: how many calls have reserved. `raised`: how
    often a person has granted a cap once more, by its name (`run.tokens`)."""
    verdict: Verdict = "go"
    found: Hit | None = None
    for name, once in budget.caps.items():
        cap = once * (1 + raised.get(f"{budget.scope}.{name}", 0))
        used, held, wanted = getattr(spent, name), getattr(reserved, name), getattr(wish, name)
        if not wanted and used < cap:
            continue
        hit = Hit(budget.scope, name, cap, used)
        if used >= cap or used + wanted > cap or (name in EXACT and used + held + wanted > cap):
            return "over", hit
        if in_flight and used + held + wanted > cap:
            verdict, found = "wait", hit
    return verdict, found


def period_key(period: Period, day: str) -> str:
    """What names the period: `day` is the day of today in UTC, as in 2026-11-28."""
    return {"day": day, "month": day[:7], "total": ""}[period]
