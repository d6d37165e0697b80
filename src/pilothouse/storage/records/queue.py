"""Work that waits: claims, leases, timers and the removal of what ended long ago.

Each function runs on the writer's thread within its transaction, between the Changes that were handed over before it
and those that came after.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from pilothouse.domain.roster import ALL_SLOTS
from pilothouse.domain.run import Run
from pilothouse.ports.records import Claim, ClaimWish
from pilothouse.storage.records.rows import run_of
from pilothouse.storage.records.statements import Database, ask, many

AGENTS_REMEMBERED = 10_000


class Claims:
    """Which tenant's turn it is, for each agent: kept in memory, since losing it costs a tenant one turn."""

    def __init__(self) -> None:
        self._served: dict[str, str] = {}

    def claim(self, connection: Database, claim: Claim) -> list[Run]:
        runs: list[Run] = []
        for wish in claim.wishes:
            chosen = self._choose(connection, wish, claim.since)
            rows = [(pos, claim.owner, claim.at, claim.lease_until, wish.release) for pos in chosen]
            claimed = {row[0]: row[1:] for row in many(connection, "claim_runs", rows)}
            runs += [run_of(connection, claimed[pos]) for pos in chosen]
        return runs

    def _choose(self, connection: Database, wish: ClaimWish, since: int) -> list[int]:
        """Positions, the best of each tenant first, then the second best of each, beginning after the tenant that was
        served last; a tenant that may have no more is passed over."""
        own = {"since": since, "slots": wish.slots or ALL_SLOTS}
        tenants = self._tenants(connection, wish, own)
        if not tenants:
            return []
        share = -(-wish.count // len(tenants))
        while True:
            most = {tenant: min(share, _at_most(wish, tenant)) for tenant in tenants}
            best = {tenant: self._best(connection, wish, tenant, most[tenant], own) for tenant in tenants}
            enough = sum(len(positions) for positions in best.values()) >= wish.count
            if enough or all(len(best[tenant]) < share for tenant in tenants):
                break
            share *= 2
        turns = (
            (tenant, best[tenant][rank]) for rank in range(share) for tenant in tenants if rank < len(best[tenant])
        )
        chosen = list(islice(_allowed(wish, turns), wish.count))
        if len(self._served) > AGENTS_REMEMBERED:
            self._served.clear()
        self._served[wish.agent] = chosen[-1][0] if chosen else tenants[-1]
        return [pos for _, pos in chosen]

    def _tenants(self, connection: Database, wish: ClaimWish, own: dict[str, Any]) -> list[str]:
        """Tenants with something ready, at most as many as runs are wished for, in the order of their turns."""
        served = self._served.get(wish.agent, "")
        rows = ask(connection, "ready_tenants", agent=wish.agent, after=served, count=wish.count, **own)
        tenants = [tenant for (tenant,) in rows]
        if served and len(tenants) < wish.count:
            rows = ask(connection, "ready_tenants", agent=wish.agent, after="", count=wish.count - len(tenants), **own)
            tenants += [tenant for (tenant,) in rows if tenant <= served]
        return tenants

    @staticmethod
    def _best(connection: Database, wish: ClaimWish, tenant: str, count: int, own: dict[str, Any]) -> list[int]:
        if count <= 0:
            return []
        serving, strictly, elsewhere = releases_of(wish)
        of = {"agent": wish.agent, "tenant": tenant, "count": count, **own}
        rows = ask(connection, "best_of_tenant", **of, serving=serving, strictly=strictly, elsewhere=elsewhere)
        return [pos for (pos,) in rows]


def releases_of(wish: ClaimWish) -> tuple[str, int, str]:
    """As the statements want it: the own release, whether only that will do, those of others between spaces."""
    return wish.release, int(wish.keeps_release), f" {' '.join(wish.elsewhere)} " if wish.elsewhere else ""


def _at_most(wish: ClaimWish, tenant: str) -> int:
    """How many a tenant could take if no other took any."""
    return wish.count if wish.open is None else max(wish.open, wish.rooms.get(tenant, wish.room))


def _allowed(wish: ClaimWish, turns: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Without those for whom only kept places are left, and who have their share of all."""
    if wish.open is None:
        yield from turns
        return
    rooms = dict(wish.rooms)
    open_ = wish.open
    for tenant, pos in turns:
        room = rooms.get(tenant, wish.room)
        if open_ > 0 or room > 0:
            open_ -= 1
            rooms[tenant] = room - 1
            yield tenant, pos


def renew_leases(connection: Database, owner: str, at: int, until: int) -> int:
    return len(ask(connection, "renew_leases", owner=owner, at=at, until=until))


def release_held(connection: Database, hold: str, limit: int) -> int:
    return len(ask(connection, "release_held", hold=hold, limit=limit))


def wake_due(connection: Database, at: int, limit: int) -> int:
    """A delayed turn only stands in line when its time has come; advancing its session decides whether it is next."""
    due = ask(connection, "due_runs", at=at, limit=limit)
    ready: list[tuple[Any, ...]] = []
    in_line: list[tuple[Any, ...]] = []
    sessions: set[tuple[Any, ...]] = set()
    for pos, tenant, agent, session, status in due:
        if session is None or status == "waiting":
            ready.append((pos,))
        else:
            in_line.append((pos,))
            sessions.add((tenant, session, agent, at))
    many(connection, "ready_runs", ready)
    many(connection, "line_up_runs", in_line)
    many(connection, "advance_session", list(sessions))
    return len(due)
