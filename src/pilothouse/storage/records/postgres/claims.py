"""Claims where several nodes take from one queue: one statement for all agents that a worker has room for.

The same choice as in `queue.Claims` (tenants take turns, the best of each first), made by the database, and without
rows that another node has just locked. A wish with shares for tenants is chosen as there. What the statement knows of
the runs beside them, the lane learns: the session and the last event number, for which it would otherwise have to ask
before the first Change of each attempt.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from pilothouse.domain.roster import ALL_SLOTS
from pilothouse.domain.run import Run
from pilothouse.ports.records import Claim, ClaimWish
from pilothouse.storage.records.batch import Job
from pilothouse.storage.records.postgres.hint import Hints
from pilothouse.storage.records.queue import AGENTS_REMEMBERED, Claims, releases_of
from pilothouse.storage.records.rows import run_of
from pilothouse.storage.records.statements import Database, many

ROUNDS = 8
"""Statements of one claim at most. A second one is needed where a tenant had less than its share and another more."""


class Claiming(Job):
    """A claim. One that finds nothing, as many do, writes nothing and syncs nothing."""


class SharedClaims(Claims):
    def __init__(self, memory: Hints) -> None:
        super().__init__()
        self._memory = memory

    def claim(self, connection: Database, claim: Claim) -> list[Run]:
        limited = tuple(wish for wish in claim.wishes if wish.open is not None)
        runs = super().claim(connection, replace(claim, wishes=limited))
        for run in runs:
            self._memory.forget_run((run.tenant, run.id))  # another node may have had it meanwhile
        wishes = [wish for wish in claim.wishes if wish.open is None]
        for _ in range(ROUNDS):
            if not wishes:
                break
            found = self._ask(connection, claim, wishes)
            runs += [self._learn(connection, row) for wish in wishes for row in found.get(wish.agent, ())]
            wishes = [
                replace(wish, count=wish.count - len(rows))
                for wish in wishes
                if (rows := found.get(wish.agent)) is not None and has_more(wish, rows)
            ]
        return runs

    def _ask(self, connection: Database, claim: Claim, wishes: list[ClaimWish]) -> dict[str, list[Sequence[Any]]]:
        """The rows of each agent, the best first."""
        by = (claim.owner, claim.at, claim.lease_until)
        rows = []
        for wish in wishes:
            own = (wish.agent, self._served.get(wish.agent, ""), wish.count, *releases_of(wish))
            rows.append((*own, claim.since, wish.slots or ALL_SLOTS, *by))
        found: dict[str, list[Sequence[Any]]] = {}
        for row in many(connection, "claim_ready", rows):
            found.setdefault(row[0], []).append(row)
        if len(self._served) > AGENTS_REMEMBERED:
            self._served.clear()
        for agent, of_agent in found.items():
            of_agent.sort(key=lambda row: row[1])
            self._served[agent] = of_agent[-1][4]
        return found

    def _learn(self, connection: Database, row: Sequence[Any]) -> Run:
        run = run_of(connection, row[4:])
        self._memory.learn_claimed(run, row[3])
        return run


def has_more(wish: ClaimWish, rows: list[Sequence[Any]]) -> bool:
    """Whether the wish is not fulfilled although some tenant may have more than its share was."""
    share = -(-wish.count // rows[0][2])
    taken = Counter(row[4] for row in rows)
    return len(rows) < wish.count and max(taken.values()) >= share
