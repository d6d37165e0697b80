"""The routes of feedback, examples, datasets and evaluations.

Who gives feedback is taken from the request's principal.
"""

from typing import Annotated

from msgspec import Meta, Raw, Struct

from pilothouse.communication.http.call import Call, check_cursor, tenant_of
from pilothouse.communication.http.run import check_run_id
from pilothouse.engine import evaluation as evaluations
from pilothouse.engine import example
from pilothouse.errors import NotOnRecord
from pilothouse.wire.evaluation import (
    ComparisonOfEvaluations,
    DifferenceView,
    EvaluationPage,
    EvaluationRequest,
    EvaluationView,
    EvaluatorView,
)
from pilothouse.wire.example import (
    ContentsView,
    ExamplePage,
    FeedbackRequest,
    ItemView,
    VersionPage,
    VersionRequest,
    example_view,
    version_view,
)
from pilothouse.wire.instant import stamp


class OfAgentQuery(Struct, forbid_unknown_fields=True):
    agent: Annotated[str, Meta(max_length=256)] | None = None
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class ComparisonQuery(Struct, forbid_unknown_fields=True):
    to: Annotated[str, Meta(min_length=1, max_length=100)] = ""


async def give_feedback(call: Call, run: str, body: FeedbackRequest) -> None:
    """Becomes an example."""
    check_run_id(run)
    said = example.Feedback(
        kind=body.kind,
        value=body.value,
        expected=bytes(body.expected) if isinstance(body.expected, Raw) else None,
        comment=body.comment,
    )
    await call.show(example_view(await example.give_feedback(call.front.world, call.principal, run, said)), 201)


async def list_examples(call: Call, query: OfAgentQuery) -> None:
    check_cursor(query.cursor)
    world, tenant = call.front.world, tenant_of(call)
    found, cursor = await example.list_examples(world, tenant, query.agent, query.cursor, query.limit)
    await call.show(ExamplePage([example_view(one) for one in found], cursor))


async def list_datasets(call: Call) -> None:
    found = await example.list_versions(call.front.world, tenant_of(call), None)
    await call.show(VersionPage([version_view(one) for one in found], None))


async def make_version(call: Call, dataset: str, body: VersionRequest) -> None:
    """Of the examples that there are now; the same ones as in the last version make no new one."""
    made = await example.make_version(call.front.world, call.principal, dataset, body.choice)
    await call.show(version_view(made.version), 201)


async def read_version(call: Call, dataset: str, number: str) -> None:
    """`number` may be `last`."""
    if not (number.isascii() and number.isdigit() and len(number) < 10) and number != "last":
        raise NotOnRecord(kind="dataset version", name=f"{dataset[:80]}:{number[:20]}", place="/v1/datasets")
    world, tenant = call.front.world, tenant_of(call)
    found = await example.read_version(world, tenant, dataset, None if number == "last" else int(number))
    items = [ItemView(example=example_view(one), part=item.part) for item, one in found.items]
    view = ContentsView(version=version_view(found.version), items=items, withdrawn=list(found.withdrawn))
    await call.show(view)


async def keep_evaluation(call: Call, body: EvaluationRequest) -> None:
    """Scores that somebody has given; the means and their intervals are computed here."""
    handed = evaluations.Handed(
        agent=body.agent,
        dataset=body.dataset,
        number=body.number,
        part=body.part,
        evaluators=tuple(body.evaluators),
        scored=tuple(evaluations.Scored(one.example, one.run, tuple(one.scores)) for one in body.scored),
        failed=body.failed,
        seed=body.seed,
        judge_agreement=body.judge_agreement,
    )
    await call.show(evaluation_view(await evaluations.keep_evaluation(call.front.world, call.principal, handed)), 201)


def evaluation_view(one: evaluations.Evaluation) -> EvaluationView:
    scores = [
        EvaluatorView(evaluator=name, score=score) for name, score in zip(one.evaluators, one.scores, strict=True)
    ]
    return EvaluationView(
        id=one.id,
        agent=one.agent,
        release=one.release,
        dataset=one.dataset,
        number=one.number,
        digest=one.digest,
        part=one.part,
        scores=scores,
        examples=len(one.scored),
        failed=one.failed,
        withdrawn=one.withdrawn,
        left_out=one.left_out,
        judge_agreement=one.judge_agreement,
        seed=one.seed,
        by=one.by,
        at=stamp(one.at),
    )


async def list_evaluations(call: Call, query: OfAgentQuery) -> None:
    check_cursor(query.cursor)
    world, tenant = call.front.world, tenant_of(call)
    found, cursor = await evaluations.list_evaluations(world, tenant, query.agent, query.cursor, query.limit)
    await call.show(EvaluationPage([evaluation_view(one) for one in found], cursor))


async def get_evaluation(call: Call, evaluation: str) -> None:
    found = await evaluations.get_evaluation(call.front.world, tenant_of(call), evaluation)
    await call.show(evaluation_view(found))


async def compare_evaluations(call: Call, evaluation: str, query: ComparisonQuery) -> None:
    """With the earlier one that `to` names, on the examples that both have scored."""
    world, tenant = call.front.world, tenant_of(call)
    first = await evaluations.get_evaluation(world, tenant, query.to)
    second = await evaluations.get_evaluation(world, tenant, evaluation)
    found = evaluations.compare_evaluations(first, second)
    views = [
        DifferenceView(evaluator=name, difference=one, is_worse=one.is_worse) for name, one in sorted(found.items())
    ]
    await call.show(ComparisonOfEvaluations(first=first.id, second=second.id, evaluators=views))
