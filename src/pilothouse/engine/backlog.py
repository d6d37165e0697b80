"""How much work waits, for whom: what the records counted last, and what this node took in since.

A tenant is measured by its own backlog. The counts are taken every second; what other nodes took in since is not seen,
so a bound is kept as well as one second of the other nodes allows.
"""

from dataclasses import dataclass, field

from pilothouse.ports.records import Backlog, Queue


@dataclass(slots=True)
class Backlogs:
    known: dict[tuple[str, str], Backlog] = field(default_factory=dict)
    """By tenant and agent, as it was counted last."""
    queued: dict[str, int] = field(default_factory=dict)
    """By tenant: how many runs were queued, ready or not, when it was counted."""
    taken_in: dict[str, int] = field(default_factory=dict)
    """By tenant: how many this node has queued since."""

    def take_in(self, tenant: str) -> None:
        self.taken_in[tenant] = self.taken_in.get(tenant, 0) + 1

    def of_tenant(self, tenant: str) -> int:
        """About how many runs of it are queued, and never too few."""
        return self.queued.get(tenant, 0) + self.taken_in.get(tenant, 0)

    def learn(self, found: list[Backlog], before: dict[str, int]) -> None:
        """`before`: a copy of `taken_in` from the moment in which the count began: what came later was missed by it."""
        self.known = {(one.tenant, one.agent): one for one in found}
        self.queued = {}
        for one in found:
            self.queued[one.tenant] = self.queued.get(one.tenant, 0) + one.queue.ready + one.queue.held
        later = {tenant: count - before.get(tenant, 0) for tenant, count in self.taken_in.items()}
        self.taken_in = {tenant: count for tenant, count in later.items() if count}

    def total(self) -> Queue:
        queues = [one.queue for one in self.known.values()]
        return Queue(
            sum(one.ready for one in queues),
            sum(one.held for one in queues),
            sum(one.running for one in queues),
            sum(one.waiting for one in queues),
        )

    def waited(self, tenant: str, agent: str, at: int) -> float:
        """Seconds for which the run has waited that waits longest for its first start; 0: there is none."""
        found = self.known.get((tenant, agent))
        return 0.0 if found is None or found.oldest_at is None else max(0.0, (at - found.oldest_at) / 1e6)
