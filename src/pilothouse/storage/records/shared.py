"""What all nodes write into: the audit log of a tenant, and sums of what was used. Written last in a transaction.

Whoever has such a row makes others wait until its commit, so it must want nothing any more that another one may have:
of all waves of a batch these rows are put together, and written in one order on every node (logs, spend, cost, each by
its key), when everything else is done. So two nodes cannot wait for each other here.
"""

from collections.abc import Iterable
from typing import Any

from pilothouse.ports import change as c
from pilothouse.storage.records.memory import Memory
from pilothouse.storage.records.statements import Database, many

Row = tuple[Any, ...]

ADDED = {"add_spend": 4, "add_cost": 6}
"""Statements that add to sums, and how many columns are the key; the last is an instant, those between are added."""


def add_up(name: str, rows: Iterable[Row]) -> list[Row]:
    """One row for each key, however many steps used something. In the order of the keys: several nodes may add to the
    same rows."""
    width = ADDED[name]
    sums: dict[Row, list[Any]] = {}
    for row in rows:
        key, amounts = row[:width], row[width:]
        found = sums.get(key)
        if found is None:
            sums[key] = list(amounts)
        else:
            found[:-1] = [sum(pair) for pair in zip(found[:-1], amounts[:-1], strict=True)]
            found[-1] = amounts[-1]
    return [(*key, *sums[key]) for key in sorted(sums)]


class Shared:
    """Fill it with `add`, then `write` once."""

    def __init__(self) -> None:
        self._entries: list[c.AppendAudit] = []
        self._spends: list[Row] = []
        self._costs: list[Row] = []

    def add(self, entries: list[c.AppendAudit], spends: list[Row], costs: list[Row]) -> None:
        self._entries += entries
        self._spends += spends
        self._costs += costs

    def forget_session(self, tenant: str, key: str, agent: str) -> None:
        """What it cost goes with it, also when it is not written yet."""
        if self._costs:
            self._costs = [row for row in self._costs if row[:3] != (tenant, agent, key)]

    def write(self, connection: Database, memory: Memory) -> None:
        if self._entries:
            self._append_audit(connection, memory)
        if self._spends:
            many(connection, "add_spend", add_up("add_spend", self._spends))
        if self._costs:
            many(connection, "add_cost", add_up("add_cost", self._costs))

    def _append_audit(self, connection: Database, memory: Memory) -> None:
        """One row for each tenant, however many entries there are."""
        lines: dict[str, list[bytes]] = {}
        for entry in self._entries:
            lines.setdefault(entry.tenant, []).append(entry.entry)
        last = memory.last_entries(connection, lines)
        rows = []
        for tenant, found in lines.items():
            rows.append((tenant, last[tenant] + 1, len(found), b"\n".join(found)))
            last[tenant] += len(found)
        many(connection, "append_audit", rows)
