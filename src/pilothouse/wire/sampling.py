"""Sampling as JSON: the plan of an agent, known cases, and how reviewers judged them.

What is seeded is answered by nobody: 204, and no word of which review it is.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.domain.bias import wilson
from pilothouse.domain.sampling import Plan, ReviewerFigures, WhenFull
from pilothouse.wire.instant import stamp
from pilothouse.wire.payload import AnyJson, Instant

Path = Annotated[str, Meta(min_length=1, max_length=200)]


class PlanRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """`rate`: the share of runs that are looked at. `strata`: dotted paths below `input`, `output` and `metadata`; of
    each combination of their values `minimum` runs are looked at in each period. More open reviews than `capacity`:
    the rate is halved (`lower`), or the agent is paused (`hold`). `role`: who decides."""

    rate: Annotated[float, Meta(ge=0, le=1)]
    strata: Annotated[list[Path], Meta(max_length=5)] = []
    minimum: Annotated[int, Meta(ge=0, le=1000)] = 0
    period_seconds: Annotated[float, Meta(ge=60, le=366 * 86_400)] = 86_400.0
    capacity: Annotated[int, Meta(ge=1, le=10_000)] = 200
    when_full: WhenFull = "lower"
    role: Annotated[str, Meta(max_length=64)] = ""

    def plan(self, agent: str) -> Plan:
        return Plan(
            agent=agent,
            rate=self.rate,
            rate_now=self.rate,
            strata=tuple(self.strata),
            minimum=self.minimum,
            period_seconds=self.period_seconds,
            capacity=self.capacity,
            when_full=self.when_full,
            role=self.role,
        )


class PlanView(Struct, kw_only=True):
    """`rate_now` is the rate in use: lower than `rate` while the queue is full."""

    agent: str
    rate: float
    rate_now: float
    strata: list[str]
    minimum: int
    period_seconds: float
    capacity: int
    when_full: WhenFull
    role: str
    set_by: str
    set_at: Instant


class SeedRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A case whose answer is known. `right`: whether the output is right, so that a reviewer should approve it."""

    input: AnyJson
    output: AnyJson
    right: bool


class ReviewerView(Struct, kw_only=True):
    """How a reviewer judged known cases. `agreement`: the share judged rightly. `automation_bias`: of the wrong ones,
    the share that was approved, with its 95 % interval (Wilson); null before there is one."""

    reviewer: str
    decided: int
    agreed: int
    agreement: float
    wrong_seen: int
    wrong_approved: int
    automation_bias: float | None
    automation_bias_low: float
    automation_bias_high: float


class ReviewerPage(Struct):
    """By name."""

    items: list[ReviewerView]
    next_cursor: str | None


def plan_view(plan: Plan) -> PlanView:
    return PlanView(
        agent=plan.agent,
        rate=plan.rate,
        rate_now=plan.rate_now,
        strata=list(plan.strata),
        minimum=plan.minimum,
        period_seconds=plan.period_seconds,
        capacity=plan.capacity,
        when_full=plan.when_full,
        role=plan.role,
        set_by=plan.set_by,
        set_at=stamp(plan.set_at),
    )


def reviewer_view(one: ReviewerFigures) -> ReviewerView:
    interval = wilson(one.wrong_approved, one.wrong_seen)
    return ReviewerView(
        reviewer=one.reviewer,
        decided=one.decided,
        agreed=one.agreed,
        agreement=one.agreed / one.decided,
        wrong_seen=one.wrong_seen,
        wrong_approved=one.wrong_approved,
        automation_bias=one.wrong_approved / one.wrong_seen if one.wrong_seen else None,
        automation_bias_low=interval.low,
        automation_bias_high=interval.high,
    )
