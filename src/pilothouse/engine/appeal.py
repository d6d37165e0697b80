"""Appeals: somebody does not accept what a run came to, or what people decided in it.

Filed about a run that has ended, by whoever is affected through a program that knows them, or by an operator: it stands
in a review of its own, with the role, quorum, deadline and ladder that the settings of the agent say. Whoever decided
what is appealed against, or filed it, does not answer it. What the answer brings about is in `verdict`. Agents file
none (G10); nothing that is filed changes anything by itself.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from pilothouse.domain import ids
from pilothouse.domain.override import in_force, read_overrides
from pilothouse.domain.principal import Principal
from pilothouse.domain.review import Answer, Review
from pilothouse.domain.run import Run
from pilothouse.domain.vote import Handling
from pilothouse.engine.audit_entry import entry
from pilothouse.engine.encoding import encode, instant, raw
from pilothouse.engine.evidence import ready_seal
from pilothouse.engine.outbox import tell_review
from pilothouse.engine.override import ended_run
from pilothouse.engine.review import BY_VOTE, get_review
from pilothouse.engine.vote import read_ballot, terms_in
from pilothouse.engine.world import World
from pilothouse.errors import Forbidden, InvalidInput, LimitReached
from pilothouse.ports.change import Change, InsertReview

STEP = "appeal"
APPEALS_LIMIT = 20
"""Appeals about one run."""
LOOKED_AT = 200
"""Reviews of one run."""
A_MONTH = 30 * 86_400.0
WITHIN_A_MONTH = Handling(within_seconds=A_MONTH)

_read_answer = msgspec.json.Decoder(Answer).decode


class Appeal(Struct, kw_only=True):
    """Why, in words of whoever is affected. `about`: the review whose answer is not accepted; None: what came out.
    `asks`: JSON of what should have come out, in their view."""

    reason: str
    about: str | None = None
    asks: bytes | None = None


async def file_appeal(world: World, by: Principal, run: str, appeal: Appeal) -> Review:
    """Raises `RunNotFound`, `RunActive`, `NotKept`, `InvalidInput`, `LimitReached`, `Forbidden`."""
    if by.kind == "agent":
        raise Forbidden(reason="agents do not appeal", hint="Use the key of a person or a program.")
    found = await ended_run(world, by.tenant, run, "An appeal")
    reviews, _ = await world.records.list_reviews(by.tenant, None, run, None, LOOKED_AT)
    if sum(one.kind == "appeal" for one in reviews) >= APPEALS_LIMIT:
        raise LimitReached(what=f"The appeals about run {run}", limit=APPEALS_LIMIT)
    about = next((one for one in reviews if one.id == appeal.about), None)
    if appeal.about is not None and (about is None or about.answer is None):
        raise InvalidInput(faults=[{"path": "$.review", "message": "no answered review of this run"}])
    at, agent = world.clock.now(), world.worker.find(found.agent)
    handling = (agent and agent.appeals) or WITHIN_A_MONTH
    id = ids.review_id(at, world.entropy.bits())
    details = _details(found, about, appeal)
    details |= terms_in(handling, at) | {
        "requester": by.name,
        "not_by": await deciders(world, found, (about,) if about else reviews),
    }
    question = f"Somebody does not accept what {found.agent} did. Are they right?"
    due = handling.first_due(at)
    ask = InsertReview(by.tenant, id, run, STEP, found.agent, "appeal", question, encode(details), at, due)
    await ready_seal(world, by.tenant, found.subject)
    reason = world.seals.digest(by.tenant, found.subject, appeal.reason)
    told = entry(by.tenant, id, at, "appeal.filed", by.name, run=run, about=appeal.about, reason=reason)
    facts = {"review": id, "kind": "appeal", "question": question, "about": appeal.about, "expires_at": instant(due)}
    says = tell_review(world, by.tenant, found, "review.requested", found.agent, encode(facts))
    await world.records.commit(Change((ask, told, *says)))
    world.bus.ring("timer")
    return await get_review(world, by.tenant, id)


async def deciders(world: World, run: Run, reviews: Sequence[Review]) -> list[str]:
    """Who answered these questions, or had them answered in their name, or put another outcome or answer in force."""
    names: dict[str, None] = {one.by: None for one in read_overrides(run.overrides)}
    for review in reviews:
        if review.answer is not None and review.kind not in ("appeal", "incident"):
            names |= dict.fromkeys(name for name in _read_answer(review.answer).by.split(", ") if name)
            names |= {one.by: None for one in read_overrides(review.overrides)}
            if review.kind in BY_VOTE:
                _, ballot = await read_ballot(world, review)
                names |= {one.on_behalf_of: None for one in ballot.votes if one.on_behalf_of is not None}
    return list(names)


def _details(run: Run, about: Review | None, appeal: Appeal) -> dict[str, Any]:
    """What whoever answers it is shown: the case as it was, and what is in force now."""
    details: dict[str, Any] = {
        "reason": appeal.reason,
        "input": raw(run.input),
        "output": raw(in_force(run.output, read_overrides(run.overrides))),
        "about": None,
    }
    if appeal.asks is not None:
        details["asks"] = raw(appeal.asks)
    if about is not None:
        answer = in_force(about.answer, read_overrides(about.overrides))
        details["about"] = {"review": about.id, "question": about.question, "answer": raw(answer)}
    return details
