"""The verdict: an answer to a review, with what follows from it in the same Change.

Most answers are the end of the step that asked. Of what is asked after the fact, the outcome that somebody puts down in
an appeal is in force from then on, a compensation run is started, and what a sampled output should have been becomes an
example. Either all of that stands or nothing does, so an appeal that was granted never waits for somebody to act on it.
"""

from typing import Any

from msgspec import ValidationError, convert, json

from pilothouse.domain.principal import Principal
from pilothouse.domain.review import Answer, Review
from pilothouse.engine.encoding import encode
from pilothouse.engine.evidence import ready_seal
from pilothouse.engine.example import CONTENT_LIMIT, example_rows, make_example
from pilothouse.engine.override import Correction, override_review, override_run
from pilothouse.engine.review import Keep, decide_review, get_review, named
from pilothouse.engine.run import get_run
from pilothouse.engine.vote import terms_of
from pilothouse.engine.world import World
from pilothouse.errors import InvalidInput, TooLarge, VoteRefused
from pilothouse.ports.change import Change, Statement

GRANTED = "the appeal {review} was granted"


async def give_verdict(
    world: World,
    tenant: str,
    review: str,
    answer: Answer,
    by: Principal | None = None,
    *,
    break_glass: bool = False,
    compensate: str | None = None,
) -> Review:
    """Decides a review; see `decide_review`. `compensate`: of an appeal that is approved or edited, the agent that
    corrects what was done. Raises as well `InvalidInput`, `OverrideConflict`, `AgentNotFound`."""
    found = await get_review(world, tenant, review)
    by = by or named(answer.by, tenant)
    keep: Keep | None = None
    if compensate is not None and (found.kind != "appeal" or answer.verdict not in ("approve", "edit")):
        raise InvalidInput(
            faults=[{"path": "$.compensate", "message": "only an appeal that is approved or edited has one"}]
        )
    if found.kind == "appeal" and (answer.verdict == "edit" or compensate is not None):
        if answer.verdict == "edit" and terms_of(found).quorum > 1 and not break_glass:
            raise VoteRefused(
                reason="several people decide about this appeal; approve it, and override what came out then"
            )
        keep = _correcting(world, found, by, compensate)
    elif found.kind == "sample" and answer.verdict == "edit":
        keep = _teaching(world, found, by)
    elif found.kind == "incident" and answer.verdict == "edit":
        raise InvalidInput(
            faults=[{"path": "$.verdict", "message": "an incident has nothing to edit; respond or approve"}]
        )
    return await decide_review(world, tenant, review, answer, by, break_glass=break_glass, keep=keep)


def _correcting(world: World, review: Review, by: Principal, compensate: str | None) -> Keep:
    """What was appealed against is superseded as the appeal is closed."""
    about = (json.decode(review.details).get("about") or {}).get("review")

    async def keep(answer: Answer, statements: tuple[Statement, ...]) -> None:
        reason = GRANTED.format(review=review.id)  # in the log it stays in clear: nothing that was said of a person
        asked = Correction(reason=reason, compensate=compensate)
        if answer.verdict == "edit" and about is not None:
            other = _as_answer(answer.edited)
            await override_review(world, by, about, other, asked, beside=statements)
            return
        if answer.verdict == "edit":
            asked.value = encode(answer.edited)
        await override_run(world, by, review.run, asked, beside=statements)

    return keep


def _as_answer(edited: Any) -> Answer:
    try:
        return convert(edited, Answer)
    except ValidationError as error:
        hint = 'expected another answer, as in {"verdict": "reject"}'
        raise InvalidInput(faults=[{"path": "$.edited", "message": f"{hint}: {error}"}]) from None


def _teaching(world: World, review: Review, by: Principal) -> Keep:
    """What the output should have been, by whoever looked at it, is an example from now on."""

    async def keep(answer: Answer, statements: tuple[Statement, ...]) -> None:
        run = await get_run(world, review.tenant, review.run)
        await ready_seal(world, review.tenant, run.subject)
        one = make_example(world, run, by.name, "review", expected=encode(answer.edited), score=0.0,
                           comment=answer.reason[:10_000])  # fmt: skip
        if len(encode(one)) > CONTENT_LIMIT:
            raise TooLarge(what="The example", limit=CONTENT_LIMIT)
        await world.records.commit(Change((*statements, *example_rows(world, run, one))))

    return keep
