"""The vote: how several people decide one question (G3).

A question about an action has terms: a role, a quorum of distinct humans, who may not vote (whoever asked for the
action), and a ladder of roles that are asked as well when nobody answers. One reject ends it; an approval counts until
its voter loses the role. Delegation is one deep: a delegate votes in the name of somebody who holds the role.
Pure: roles and delegations as they are now are passed in.
"""

from collections.abc import Collection, Mapping
from typing import Literal

from msgspec import Struct

from pilothouse.domain.principal import Principal

BREAK_GLASS = "break-glass"
"""Who has this role may decide alone, and is always looked at afterwards."""

QUORUM_LIMIT = 20
LADDER_LIMIT = 10


class Step(Struct, frozen=True):
    """A role that is asked as well, after so many seconds of silence."""

    role: str
    after: float


class Terms(Struct, frozen=True):
    """As they stand in the details of a review; `voted` made this action by an edit, which is their vote."""

    role: str = ""
    quorum: int = 1
    requester: str = ""
    ladder: tuple[Step, ...] = ()
    until: int | None = None
    voted: str = ""
    not_by: tuple[str, ...] = ()
    """Who decided what is looked at now."""


class Handling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who answers appeals against an agent, or its incidents, and how soon. `within_seconds`: silence so long ends it
    without an answer; None: it stays open. `escalate`: roles that are asked as well, in order."""

    role: str = ""
    quorum: int = 1
    within_seconds: float | None = None
    escalate: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.quorum <= QUORUM_LIMIT:
            raise ValueError(f"quorum is {self.quorum}; it is 1 to {QUORUM_LIMIT}")
        if self.within_seconds is not None and self.within_seconds <= 0:
            raise ValueError(f"within_seconds is {self.within_seconds}; it is more than 0")
        times = [one.after for one in self.escalate]
        if len(times) > LADDER_LIMIT or any(one <= 0 for one in times) or times != sorted(times):
            raise ValueError(
                f"escalate has at most {LADDER_LIMIT} roles, each `after` more seconds than the one before"
            )

    def until(self, at: int) -> int | None:
        return None if self.within_seconds is None else at + round(self.within_seconds * 1e6)

    def first_due(self, at: int) -> int | None:
        """When somebody has to look again: at the next role, or at the end."""
        spans = [one for one in (self.within_seconds, *(one.after for one in self.escalate[:1])) if one is not None]
        return at + round(min(spans) * 1e6) if spans else None


class Vote(Struct, frozen=True):
    """`on_behalf_of`: the vote is cast in the name of somebody who has delegated it."""

    by: str
    at: int
    on_behalf_of: str | None = None
    reason: str = ""


class Ballot(Struct, frozen=True):
    """What was voted so far. `level`: how many rungs of the ladder were climbed."""

    votes: tuple[Vote, ...] = ()
    level: int = 0


class Delegation(Struct, frozen=True, kw_only=True):
    """`to` may vote in the name of `by` where one of `roles` is asked, from `made_at` until an instant."""

    id: str
    by: str
    to: str
    roles: tuple[str, ...]
    until: int
    ended_at: int | None = None
    made_at: int = 0

    def holds(self, role: str, at: int) -> bool:
        if self.ended_at is not None or not self.made_at <= at < self.until:
            return False
        return not role or role in self.roles or "*" in self.roles

    def lends(self, held: Collection[str], asked: Collection[str], at: int) -> bool:
        """Whether it gives a role that is asked, and that whoever gave it holds themselves (`held`)."""
        return any(self.holds(role, at) and has_one(held, (role,)) for role in asked)


Standing = Literal["open", "granted"]
RolesOf = Mapping[str, Collection[str]]
"""The roles that each person holds now; empty: there are no keys, and nobody is told from anybody."""


def roles_asked(terms: Terms, level: int) -> tuple[str, ...]:
    return (terms.role, *(one.role for one in terms.ladder[:level]))


def has_one(held: Collection[str], asked: Collection[str]) -> bool:
    return "*" in held or any(role in held or not role for role in asked)


def refusal(
    terms: Terms, ballot: Ballot, by: Principal, roles: RolesOf, delegations: Collection[Delegation], at: int
) -> str | None:
    """Why this principal may not decide; None: they may. Without keys there are no names to tell people apart by."""
    if by.kind != "human":
        return "only people decide about actions"
    if not roles:
        return (
            "without keys nobody can be told from anybody, and it asks for several people" if terms.quorum > 1 else None
        )
    if by.name == terms.requester:
        return "whoever asked for an action does not approve it"
    if by.name in terms.not_by:
        return "they decided what is looked at now"
    if any(by.name in (one.by, one.on_behalf_of) for one in votes_that_count(terms, ballot, roles, delegations)):
        return "they have voted already"
    if in_whose_name(terms, ballot, by, roles, delegations, at) is None:
        return f"they do not have the role {' or '.join(one for one in roles_asked(terms, ballot.level) if one)}"
    return None


def in_whose_name(
    terms: Terms, ballot: Ballot, by: Principal, roles: RolesOf, delegations: Collection[Delegation], at: int
) -> str | None:
    """Whose vote it is: their own, or that of somebody who holds the role and has neither asked nor voted."""
    asked = roles_asked(terms, ballot.level)
    if has_one(by.roles, asked):
        return by.name
    votes = votes_that_count(terms, ballot, roles, delegations)
    taken = {terms.requester, *terms.not_by, *(one.by for one in votes), *(one.on_behalf_of for one in votes)}
    for one in delegations:
        if one.to == by.name and one.by not in taken and one.lends(roles.get(one.by, ()), asked, at):
            return one.by
    return None


def standing(terms: Terms, ballot: Ballot, roles: RolesOf, delegations: Collection[Delegation]) -> Standing:
    """Whether the approvals suffice."""
    return "granted" if len(counted(terms, ballot, roles, delegations)) >= terms.quorum else "open"


def counted(terms: Terms, ballot: Ballot, roles: RolesOf, delegations: Collection[Delegation]) -> frozenset[str]:
    """The people whose approval counts now, each once."""
    return frozenset(one.on_behalf_of or one.by for one in votes_that_count(terms, ballot, roles, delegations))


def votes_that_count(terms: Terms, ballot: Ballot, roles: RolesOf, delegations: Collection[Delegation]) -> list[Vote]:
    """Without those of people who have lost the role since. One in the name of somebody else rests on more: that they
    hold the role that they have delegated, have not taken it back, and that whoever voted still has a key. That the
    time of the delegation is over does not matter to a vote that was cast in time."""
    asked = roles_asked(terms, ballot.level)

    def counts(one: Vote) -> bool:
        name = one.on_behalf_of
        if not roles or name is None:
            return not roles or has_one(roles.get(one.by, ()), asked)
        held = roles.get(name, ())
        given = (given for given in delegations if (given.by, given.to) == (name, one.by))
        return one.by in roles and any(lent.lends(held, asked, one.at) for lent in given)

    return [one for one in ballot.votes if counts(one)]


def next_rung(terms: Terms, level: int) -> Step | None:
    return terms.ladder[level] if level < len(terms.ladder) else None
