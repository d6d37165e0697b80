"""Retention: how long what has ended is kept, and what keeps it longer.

By age since its end, by agent or tenant where these say something else; where both do, the longer of the two, since a
duty to keep is not ended by a wish for less. Whoever is under a hold, whatever its effect, keeps all that it covers: a
hold is also how evidence is preserved.
"""

from collections.abc import Iterable

from msgspec import Struct

from pilothouse.domain.hold import Hold


class Retention(Struct, frozen=True):
    """Instants in microseconds since 1970 UTC. Runs that ended before `before` go, those of some `agents` and `tenants`
    before another instant; None: never. What ends by itself goes at `at`."""

    at: int
    before: int | None
    agents: dict[str, int | None] = {}
    tenants: dict[str, int | None] = {}

    @property
    def latest(self) -> int:
        """What ended at it or later stays, whatever agent it is of."""
        said = (self.before, *self.agents.values(), *self.tenants.values())
        return max((one for one in said if one is not None), default=0)

    def is_due(self, tenant: str, agent: str, ended_at: int) -> bool:
        before = self.agents.get(agent, self.before)
        if tenant in self.tenants:
            of_tenant = self.tenants[tenant]
            if agent not in self.agents:
                before = of_tenant
            elif before is not None:
                before = None if of_tenant is None else min(before, of_tenant)
        return before is not None and ended_at < before


class EndedRun(Struct, frozen=True):
    """What has to be known of a run to let it go."""

    tenant: str
    id: str
    agent: str
    release: str
    session: str | None
    ended_at: int


def is_held(run: EndedRun, holds: Iterable[Hold]) -> bool:
    return any(
        hold.is_on
        and hold.tenant == run.tenant
        and hold.selector.covers_names(agent=run.agent, release=run.release, run=run.id, session=run.session)
        for hold in holds
    )
