"""Votes about an action: several people, in a quorum, under the terms that a policy has set.

A vote is a document beside the review, written where its version is the one that was read: two votes at the same moment
are both counted, and the one that completes the quorum closes the review in the same Change. Silence climbs the ladder
of roles, then expires. Breaking the glass decides alone, and opens a review of that.
"""

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pilothouse.domain import ids
from pilothouse.domain.principal import Principal
from pilothouse.domain.review import Answer, Review
from pilothouse.domain.vote import (
    BREAK_GLASS,
    Ballot,
    Delegation,
    Handling,
    RolesOf,
    Terms,
    Vote,
    counted,
    in_whose_name,
    next_rung,
    refusal,
    standing,
)
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import encode, instant
from pilothouse.engine.outbox import tell_review
from pilothouse.engine.principal import counts
from pilothouse.engine.world import World
from pilothouse.errors import Forbidden, InvalidInput, StateConflict, VoteRefused
from pilothouse.ports.change import Act, Change, Conflict, ExtendReview, InsertReview, Row, WriteDocument

BALLOT = "ballot"
DELEGATION = "delegation"
PAGE = 1000
DELEGATIONS_LIMIT = 100_000
"""Delegations of a tenant that are looked through."""

_read_terms = msgspec.json.Decoder(Terms).decode
_read_ballot = msgspec.json.Decoder(Ballot).decode
_read_delegation = msgspec.json.Decoder(Delegation).decode


def terms_of(review: Review) -> Terms:
    return _read_terms(review.details)


def terms_in(handling: Handling, at: int) -> dict[str, Any]:
    """What the details of a review say of who answers it; see `domain.vote.Terms`."""
    ladder = [{"role": one.role, "after": one.after} for one in handling.escalate]
    return {"role": handling.role, "quorum": handling.quorum, "ladder": ladder, "until": handling.until(at)}


def roles_now(world: World, tenant: str) -> RolesOf:
    """The roles of all people who have a key that counts now."""
    return {one.name: one.roles for one in people_now(world, tenant)}


async def read_ballot(world: World, review: Review) -> tuple[int, Ballot]:
    """(version, what was voted so far)."""
    found = await world.records.get_document(review.tenant, f"{BALLOT}:{review.id}")
    if found is not None:
        return found.version, _read_ballot(found.body)
    voted = terms_of(review).voted
    return 0, Ballot((Vote(voted, review.created_at),) if voted else ())


class Progress(Struct, frozen=True):
    """How the vote about a review stands. `open_to`: the people who may still vote, by name; `refusal`: why whoever
    looks may not (None: they may)."""

    terms: Terms
    ballot: Ballot
    counted: frozenset[str]
    open_to: tuple[str, ...]
    refusal: str | None


async def read_progress(world: World, review: Review, by: Principal) -> Progress:
    terms, roles, at = terms_of(review), roles_now(world, review.tenant), world.clock.now()
    _, ballot = await read_ballot(world, review)
    delegations = await list_delegations(world, review.tenant)

    def refused(who: Principal) -> str | None:
        return refusal(terms, ballot, who, roles, delegations, at)

    is_open = review.status == "open"
    open_to = [one.name for one in people_now(world, review.tenant) if is_open and refused(one) is None]
    why = refused(by) if is_open else f"it is {review.status}"
    return Progress(terms, ballot, counted(terms, ballot, roles, delegations), tuple(sorted(open_to)), why)


def people_now(world: World, tenant: str) -> list[Principal]:
    """Everybody who has a key of a person that counts now."""
    at = world.clock.now()
    found: dict[str, Principal] = {}
    for key in world.keys.values():
        if key.tenant == tenant and key.kind == "human" and counts(world, key, at):
            known = found.get(key.name)
            roles = frozenset(key.roles) | (known.roles if known is not None else frozenset())
            found[key.name] = Principal(key.name, "human", tenant, frozenset(key.scopes), roles)
    return list(found.values())


class Cast:
    """What a vote comes to: the Change that keeps it, and the answer that it completes, if it does."""

    def __init__(self, acts: list[Act], rows: list[Row], answer: Answer | None) -> None:
        self.acts, self.rows, self.answer = acts, rows, answer


async def cast_vote(world: World, review: Review, answer: Answer, by: Principal, *, break_glass: bool) -> Cast:
    """Checks that this principal may decide, and tells what their word comes to. Raises `VoteRefused`."""
    terms, roles, at = terms_of(review), roles_now(world, review.tenant), world.clock.now()
    version, ballot = await read_ballot(world, review)
    if break_glass:
        return _break_glass(world, review, answer, by, terms)
    delegations = await list_delegations(world, review.tenant)
    reason = refusal(terms, ballot, by, roles, delegations, at)
    if reason is not None:
        raise VoteRefused(reason=reason)
    answer = replace(answer, by=by.name)
    name = in_whose_name(terms, ballot, by, roles, delegations, at) if roles else by.name
    if answer.verdict != "approve":
        facts = {"run": review.run, "on_behalf_of": name, "verdict": answer.verdict}
        told = entry(review.tenant, review.id, at, "review.voted", by.name, **facts)
        return Cast([], [] if name == by.name else [told], answer)  # else the log would not say what let them decide
    vote = Vote(by.name, at, None if name == by.name else name, answer.reason[:1000])
    ballot = replace(ballot, votes=(*ballot.votes, vote))
    write = WriteDocument(review.tenant, f"{BALLOT}:{review.id}", BALLOT, version, "", encode(ballot), at)
    told = entry(
        review.tenant, review.id, at, "review.voted", by.name, run=review.run, on_behalf_of=vote.on_behalf_of,
        quorum=terms.quorum,
    )  # fmt: skip
    if standing(terms, ballot, roles, delegations) == "open":
        return Cast([write], [told], None)
    names = ", ".join(dict.fromkeys(one.by for one in ballot.votes))
    return Cast([write], [told], replace(answer, by=names))


def _break_glass(world: World, review: Review, answer: Answer, by: Principal, terms: Terms) -> Cast:
    if by.kind != "human" or not by.has_role(BREAK_GLASS) or not answer.reason:
        raise VoteRefused(reason=f"breaking the glass takes a person with the role {BREAK_GLASS}, and a reason")
    at = world.clock.now()
    after = ids.review_id(at, world.entropy.bits())
    details = encode({"of": review.id, "by": by.name, "reason": answer.reason, "role": terms.role, "quorum": 1,
                      "requester": by.name})  # fmt: skip
    question = f"{by.name} has decided {review.id} alone. Was that right?"
    ask = InsertReview(review.tenant, after, review.run, f"audit:{review.id}", review.agent, "audit", question, details,
                       at, None)  # fmt: skip
    told = entry(review.tenant, review.id, at, "review.glass_broken", by.name, run=review.run, audit=after)
    return Cast([], [ask, told], replace(answer, by=by.name))


async def climb(world: World, review: Review) -> bool:
    """Silence: whether somebody else is asked now. False: the review expires."""
    terms, at = terms_of(review), world.clock.now()
    version, ballot = await read_ballot(world, review)
    rung = next_rung(terms, ballot.level)
    if rung is None or (terms.until is not None and terms.until <= at):
        return False
    following = next_rung(terms, ballot.level + 1)
    due = [terms.until] if terms.until is not None else []
    if following is not None:
        due.append(review.created_at + round(following.after * 1e6))
    higher = replace(ballot, level=ballot.level + 1)
    write = WriteDocument(review.tenant, f"{BALLOT}:{review.id}", BALLOT, version, "", encode(higher), at)
    extend = ExtendReview(review.tenant, review.id, min(due, default=None))
    told = entry(review.tenant, review.id, at, "review.escalated", NODE, run=review.run or None, role=rung.role)
    run = await world.records.get_run(review.tenant, review.run) if review.run else None
    facts = {"review": review.id, "kind": review.kind, "question": review.question, "role": rung.role,
             "created_at": instant(review.created_at), "expires_at": instant(terms.until)}  # fmt: skip
    asks = tell_review(world, review.tenant, run, "review.escalated", review.agent, encode(facts))
    try:
        await world.records.commit(Change((extend, write, told, *asks)))
    except Conflict:
        return True  # a vote or a verdict came at the same moment: the next round looks again
    world.bus.ring("timer")
    return True


# --- delegation -------------------------------------------------------------------------------------------------------


async def list_delegations(world: World, tenant: str) -> Collection[Delegation]:
    """Those that nobody has ended, the oldest first."""
    found: list[Delegation] = []
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(tenant, DELEGATION, "active", cursor, PAGE)
        found += [_read_delegation(one.body) for one in page]
        if cursor is None or len(found) >= DELEGATIONS_LIMIT:
            return found


async def delegate(world: World, by: Principal, to: str, roles: Collection[str], seconds: float) -> Delegation:
    """`to` may vote in the name of `by` for a time. Only one's own roles, and no roles that were delegated to one."""
    if by.kind != "human":
        raise Forbidden(reason="only people delegate their votes", hint="Use the key of a person.")
    lacking = [role for role in roles if not by.has_role(role)]
    if lacking or to == by.name:
        fault = {"path": "$.roles", "message": f"you do not hold {', '.join(lacking)}" if lacking else "it is yourself"}
        raise InvalidInput(faults=[fault])
    at = world.clock.now()
    id = f"del_{at:014x}{world.entropy.bits():016x}"
    made = Delegation(id=id, by=by.name, to=to, roles=tuple(roles), until=at + round(seconds * 1e6), made_at=at)
    await _write_delegation(world, by, made, 0, "active", "delegation.made")
    return made


async def end_delegation(world: World, by: Principal, id: str) -> None:
    """A second call does nothing."""
    found = await world.records.get_document(by.tenant, id)
    if found is None or found.kind != DELEGATION or found.state != "active":
        return
    kept = _read_delegation(found.body)
    if by.name not in (kept.by, kept.to) and not by.has_role("*"):
        raise Forbidden(reason="it is not yours", hint="Whoever made it, or was given it, may end it.")
    await _write_delegation(
        world, by, replace(kept, ended_at=world.clock.now()), found.version, "ended", "delegation.ended"
    )


async def _write_delegation(world: World, by: Principal, one: Delegation, version: int, state: str, kind: str) -> None:
    at = world.clock.now()
    write = WriteDocument(by.tenant, one.id, DELEGATION, version, state, encode(one), at)
    facts = {"from": one.by, "to": one.to, "roles": list(one.roles), "until": instant(one.until)}
    try:
        await world.records.commit(Change((write, entry(by.tenant, one.id, at, kind, by.name, **facts))))
    except Conflict:
        raise StateConflict("The delegation was changed by somebody else.", hint="Look at it again.", session=one.id,
                            version=version) from None  # fmt: skip
