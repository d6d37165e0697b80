"""The hold: the switch that stops agents, tools or runs, whatever was approved before (G5).

`placed` -> `effective` -> `lifted`. It selects by tenant (and region), agent, release, tool, run or session; what it
does not name, it covers. `pause` keeps runs where they are and starts none; `stop` ends them; `quarantine` is a pause
that also refuses new runs. It is effective when every attempt that it covers has let go, or its lease has expired.
"""

from typing import Literal

from msgspec import Struct

from pilothouse.domain.run import Run

HoldEffect = Literal["pause", "stop", "quarantine"]
HoldStatus = Literal["placed", "effective", "lifted"]
WIDE: frozenset[str] = frozenset({"tenant", "region"})
"""Lifting a hold over one of these takes two people."""


class Selector(Struct, frozen=True, omit_defaults=True):
    """All that is named has to match. Nothing named: the whole tenant."""

    region: str | None = None
    agent: str | None = None
    release: str | None = None
    tool: str | None = None
    run: str | None = None
    session: str | None = None

    @property
    def is_wide(self) -> bool:
        """Whether it covers a whole tenant or region."""
        return not (self.agent or self.release or self.tool or self.run or self.session)

    def covers(self, run: Run, region: str = "") -> bool:
        """Whether a run is held. A hold over a tool holds calls of the tool, and no run."""
        return self.region in (None, region) and self.covers_names(
            agent=run.agent, release=run.release, run=run.id, session=run.session
        )

    def covers_names(self, *, agent: str, release: str, run: str, session: str | None) -> bool:
        """The same, in whatever region it is."""
        return (
            self.tool is None
            and self.agent in (None, agent)
            and self.release in (None, release)
            and self.run in (None, run)
            and self.session in (None, session)
        )

    def covers_call(self, run: Run, tool: str, region: str = "") -> bool:
        """Whether a call of the tool by this run is held."""
        return (
            self.tool in (None, tool)
            and self.region in (None, region)
            and self.agent in (None, run.agent)
            and self.release in (None, run.release)
            and self.run in (None, run.id)
            and self.session in (None, run.session)
        )


class Hold(Struct, frozen=True, kw_only=True):
    """Instants are microseconds since 1970 UTC. `lifts`: who has asked to lift it so far."""

    id: str
    tenant: str
    effect: HoldEffect
    selector: Selector
    reason: str
    status: HoldStatus = "placed"
    placed_at: int
    placed_by: str
    effective_at: int | None = None
    lifted_at: int | None = None
    lifts: tuple[str, ...] = ()

    @property
    def is_on(self) -> bool:
        return self.status != "lifted"
