"""Evaluations: what a release scored on a dataset version, kept and compared (G6); `evaluation_gate` asks for them.

Who runs them is outside: they start runs like anybody, score what came out and hand in the scores. Here they are
checked against the dataset version and the runs that they name, so that nobody hands in a score of something else, and
the mean and its interval are computed here. A result is never changed.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from pilothouse.domain.evaluation import Difference, Score, compare, score_of
from pilothouse.domain.principal import Principal
from pilothouse.engine.audit_entry import entry
from pilothouse.engine.encoding import decode, encode
from pilothouse.engine.evaluation_gate import EVALUATION, forget_standings
from pilothouse.engine.example import read_version
from pilothouse.engine.world import World
from pilothouse.errors import Forbidden, InvalidInput, NotOnRecord
from pilothouse.ports.change import Change, WriteDocument


class Scored(Struct, frozen=True, array_like=True):
    """One example under all evaluators, from 0 to 1, in their order; and the run that gave the output."""

    example: str
    run: str
    scores: tuple[Annotated[float, Meta(ge=0, le=1)], ...]


class Handed(Struct, kw_only=True):
    """What somebody has scored. `judge`: how often the judge preferred what people corrected to what they did not."""

    agent: str
    dataset: str
    number: int
    part: str | None
    evaluators: tuple[str, ...]
    scored: tuple[Scored, ...]
    failed: int = 0
    seed: int = 1
    judge_agreement: float | None = None


class Evaluation(Struct, frozen=True, kw_only=True):
    """`scores`: of each evaluator, over the examples that had an output; `failed`: those whose run gave none, which
    count as 0 in every evaluator. `left_out`: examples of the version, or of that part of it, that were not scored."""

    id: str
    agent: str
    release: str
    dataset: str
    number: int
    digest: str
    part: str | None
    evaluators: tuple[str, ...]
    scored: tuple[Scored, ...]
    scores: tuple[Score, ...]
    failed: int
    withdrawn: int
    seed: int
    judge_agreement: float | None
    left_out: int = 0
    by: str
    at: int


_read = msgspec.json.Decoder(Evaluation).decode


async def keep_evaluation(world: World, by: Principal, handed: Handed) -> Evaluation:
    """Raises `NotOnRecord`, `Forbidden`, and `InvalidInput` for scores of anything but that agent on that version,
    all from one release."""
    if by.kind == "agent":
        raise Forbidden(reason="agents do not evaluate", hint="Use the key of a person or a program.")
    contents = await read_version(world, by.tenant, handed.dataset, handed.number)
    known = {item.example: one for item, one in contents.items if handed.part in (None, item.part)}
    faults: list[dict[str, str]] = []
    releases: set[str] = set()
    for number, one in enumerate(handed.scored):
        run = await world.records.get_run(by.tenant, one.run)
        if one.example not in known or len(one.scores) != len(handed.evaluators):
            faults.append({"path": f"$.scored[{number}]", "message": "no example of this version, or not all scores"})
        elif run is None or run.agent != handed.agent or not run.is_terminal:
            faults.append({"path": f"$.scored[{number}]", "message": "not an ended run of this agent"})
        elif decode(run.input) != decode(bytes(known[one.example].input)):
            faults.append({"path": f"$.scored[{number}]", "message": "the run was given another input"})
        else:
            releases.add(run.release)
    if len({one.example for one in handed.scored}) != len(handed.scored):
        faults.append({"path": "$.scored", "message": "an example is there twice"})
    if len(releases) != 1:
        faults.append({"path": "$.scored", "message": f"expected runs of one release, not of {len(releases)}"})
    if faults:
        raise InvalidInput("The scores do not fit.", faults=faults[:20])
    at = world.clock.now()
    kept = Evaluation(
        id=f"evl_{at:014x}{world.entropy.bits():016x}",
        agent=handed.agent,
        release=releases.pop(),
        dataset=handed.dataset,
        number=contents.version.number,
        digest=contents.version.digest,
        part=handed.part,
        evaluators=handed.evaluators,
        scored=handed.scored,
        scores=tuple(
            score_of([one.scores[place] for one in handed.scored], handed.seed)
            for place in range(len(handed.evaluators))
        ),
        failed=handed.failed,
        withdrawn=len(contents.withdrawn),
        seed=handed.seed,
        judge_agreement=handed.judge_agreement,
        left_out=len(known) - len(handed.scored),
        by=by.name,
        at=at,
    )
    write = WriteDocument(by.tenant, kept.id, EVALUATION, 0, kept.agent, encode(kept), at)
    told = entry(
        by.tenant, kept.id, at, "release.evaluated", by.name, agent=kept.agent, release=kept.release,
        dataset=f"{kept.dataset}:{kept.number}", digest=kept.digest, examples=len(kept.scored),
        scores={name: round(score.mean, 6) for name, score in zip(kept.evaluators, kept.scores, strict=True)},
    )  # fmt: skip
    await world.records.commit(Change((write, told)))
    forget_standings(world, kept.agent)
    return kept


async def get_evaluation(world: World, tenant: str, id: str) -> Evaluation:
    found = await world.records.get_document(tenant, id)
    if found is None or found.kind != EVALUATION:
        raise NotOnRecord(kind="evaluation", name=id[:80], place="/v1/evaluations")
    return _read(found.body)


async def list_evaluations(
    world: World, tenant: str, agent: str | None, cursor: str | None, limit: int
) -> tuple[list[Evaluation], str | None]:
    """Newest first."""
    page, following = await world.records.list_documents(tenant, EVALUATION, agent, cursor, limit, newest=True)
    return [_read(one.body) for one in page], following


def compare_evaluations(first: Evaluation, second: Evaluation) -> dict[str, Difference]:
    """By evaluator, of those that both have, on the examples that both have."""
    found: dict[str, Difference] = {}
    for name in first.evaluators:
        if name in second.evaluators:
            one, other = first.evaluators.index(name), second.evaluators.index(name)
            difference = compare(
                {scored.example: scored.scores[one] for scored in first.scored},
                {scored.example: scored.scores[other] for scored in second.scored},
                second.seed,
            )
            if difference is not None:
                found[name] = difference
    return found
