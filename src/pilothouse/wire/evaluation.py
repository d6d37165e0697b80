"""Evaluations as JSON: scores that are handed in, and what they come to.

A mean always goes with its interval and with how many examples it is of.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.domain.evaluation import Difference, Score
from pilothouse.wire.example import AgentName, Name
from pilothouse.wire.payload import Instant

Unit = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(min_length=1, max_length=100)]


class ScoredRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """One example, the run that gave the output, and its score under each evaluator, from 0 to 1."""

    example: Text
    run: Text
    scores: Annotated[list[Unit], Meta(min_length=1, max_length=20)]


class EvaluationRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Scores of one release on one version of a dataset. `part`: `train` or `test`; null: both."""

    agent: AgentName
    dataset: Name
    number: Annotated[int, Meta(ge=1)]
    part: Annotated[str, Meta(pattern="^(train|test)$")] | None = None
    evaluators: Annotated[list[Text], Meta(min_length=1, max_length=20)]
    scored: Annotated[list[ScoredRequest], Meta(min_length=1, max_length=20_000)]
    failed: Annotated[int, Meta(ge=0)] = 0
    seed: int = 1
    judge_agreement: Unit | None = None


class EvaluatorView(Struct, kw_only=True):
    evaluator: str
    score: Score


class EvaluationView(Struct, kw_only=True):
    """`failed`: runs that gave no output; they count as 0. `left_out`: examples that were not scored.
    `judge_agreement`: of the examples that people corrected, how often the judge preferred the correction."""

    id: str
    agent: str
    release: str
    dataset: str
    number: int
    digest: str
    part: str | None
    scores: list[EvaluatorView]
    examples: int
    failed: int
    withdrawn: int
    left_out: int
    judge_agreement: float | None
    seed: int
    by: str
    at: Instant


class EvaluationPage(Struct):
    """Newest first."""

    items: list[EvaluationView]
    next_cursor: str | None


class DifferenceView(Struct, kw_only=True):
    """Positive: the second is better. `is_worse`: worse, and not by chance."""

    evaluator: str
    difference: Difference
    is_worse: bool


class ComparisonOfEvaluations(Struct, kw_only=True):
    first: str
    second: str
    evaluators: list[DifferenceView]
