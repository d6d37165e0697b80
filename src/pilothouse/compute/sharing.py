"""Which tenants hold the places of a node, and what of the free ones another run of a tenant may have.

Places are shared twice, by the same rule (`domain.share`): those of all hosts of a kind, and those of an agent that has
a limit of its own. While only one tenant was ever seen, its places are only counted, so that an installation for one
tenant pays nothing for this.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from pilothouse.domain.share import Shares
from pilothouse.ports.records import ClaimWish


class PlaceShares:
    """`kinds`: in which kind of host each agent runs (it may grow). `limits`: of agents, how many runs at once; 0: no
    limit of their own."""

    def __init__(self, share: float, kinds: Mapping[str, str], limits: Mapping[str, int]) -> None:
        self.only: str | None = None
        """The tenant that was seen first."""
        self.has_several = False
        self._share, self._kinds = share, kinds
        self._limits = {agent: limit for agent, limit in limits.items() if limit}
        self._counts: defaultdict[str, int] = defaultdict(int)
        """Places that each agent holds, until a second tenant is seen."""
        self._of_kinds: dict[str, Shares] = {}
        self._of_agents: dict[str, Shares] = {}

    def meet(self, tenants: Iterable[str]) -> None:
        """Tenants that have work somewhere: also those who never asked here."""
        for tenant in tenants:
            if tenant == self.only or self.has_several:
                continue
            if self.only is None:
                self.only = tenant
            else:
                self._divide()

    def _divide(self) -> None:
        assert self.only is not None
        self.has_several = True
        for agent, count in self._counts.items():
            for _ in range(count):
                self.hold(agent, self.only)
        self._counts.clear()

    def _sides(self, agent: str) -> list[Shares]:
        """Those of its hosts, and its own when it has a limit."""
        return [
            self._found(shares, name)
            for shares, name in ((self._of_kinds, self._kinds[agent]), (self._of_agents, agent))
            if shares is self._of_kinds or agent in self._limits
        ]

    def _found(self, among: dict[str, Shares], name: str) -> Shares:
        found = among.get(name)
        if found is None:
            found = among[name] = Shares(self._share)
            found.has_several = True
        return found

    def hold(self, agent: str, tenant: str) -> None:
        """A place that is taken is now known to be of this tenant."""
        if tenant != self.only and not self.has_several:
            self.meet((tenant,))
        if self.has_several:
            for shares in self._sides(agent):
                shares.take(tenant)
        else:
            self._counts[agent] += 1

    def let_go(self, agent: str, tenant: str) -> None:
        if self.has_several:
            for shares in self._sides(agent):
                shares.give(tenant)
        else:
            self._counts[agent] -= 1

    def held(self) -> dict[str, int]:
        """How many places each tenant holds."""
        found: dict[str, int] = {}
        for shares in self._of_kinds.values():
            for tenant, count in shares.held.items():
                found[tenant] = found.get(tenant, 0) + count
        alone = sum(self._counts.values())
        return found | ({self.only: alone} if self.only is not None and alone else {})

    def may_take(self, agent: str, tenant: str, free: int, places: int, running: int) -> bool:
        """`free` and all `places` of its hosts, and how many of the agent's runs are `running`."""
        self.meet((tenant,))
        if free <= 0 or not self.has_several:
            return free > 0
        sides = self._sized(agent, free, places, running)
        return all(shares.may_take(tenant, left, size) for shares, left, size in sides)

    def _sized(self, agent: str, free: int, places: int, running: int) -> list[tuple[Shares, int, int]]:
        limit = self._limits.get(agent, 0)
        sizes = ((free, places), (limit - running, limit))
        return [(shares, *size) for shares, size in zip(self._sides(agent), sizes, strict=False)]

    def wish(self, agent: str, release: str, count: int, free: int, places: int, running: int) -> ClaimWish:
        """For `count` of the `free` places, with what each tenant may take of them."""
        if not self.has_several:
            return ClaimWish(agent, count, release)
        sides = self._sized(agent, free, places, running)
        open_ = min([count, *(max(0, left - shares.kept(size)) for shares, left, size in sides)])

        def room(tenant: str) -> int:
            return min(shares.room(tenant, size) for shares, _, size in sides)

        return ClaimWish(agent, count, release, open_, room(""), {tenant: room(tenant) for tenant in sides[0][0].held})
