"""Incidents: something went wrong, and people find out what and mend it.

Opened by hand, by a hold that stops an agent, or by an alert about one. An incident is a review that no run waits for:
it has the role, quorum, deadline and ladder that the settings of the agent say, is told to whoever hears of questions,
and is closed by somebody else than who opened it. What opens by itself has an id that follows from its cause, so
several nodes, and a second try, open one.
"""

from typing import Any

from msgspec import Raw, Struct

from pilothouse.domain import ids
from pilothouse.domain.hold import Hold
from pilothouse.domain.principal import Principal
from pilothouse.domain.review import Review
from pilothouse.domain.vote import Handling
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import encode, instant
from pilothouse.engine.outbox import tell_review
from pilothouse.engine.vote import terms_in
from pilothouse.engine.world import World
from pilothouse.errors import AgentNotFound, Forbidden, LimitReached, RunNotFound
from pilothouse.ports.change import Change, InsertReview, Statement

STEP = "incident"
OPEN_LIMIT = 1000
"""Reviews of a tenant that are open when another incident is refused; those that open by themselves are not."""
FREELY = Handling()


class Incident(Struct, kw_only=True):
    """`happened`: in words. What it is about: an agent, a run, a hold; each may be left out."""

    happened: str
    agent: str = ""
    run: str = ""
    hold: str = ""


async def open_incident(world: World, by: Principal, incident: Incident) -> Review:
    """Raises `RunNotFound`, `AgentNotFound`, `LimitReached`, `Forbidden`."""
    if by.kind == "agent":
        raise Forbidden(reason="agents open no incidents", hint="Use the key of a person or a program.")
    agent = incident.agent
    if incident.run:
        run = await world.records.get_run(by.tenant, incident.run)
        if run is None:
            raise RunNotFound(run=incident.run)
        agent = run.agent
    elif agent and world.worker.find(agent) is None:
        raise AgentNotFound(agent=agent)
    page, following = await world.records.list_reviews(by.tenant, "open", None, None, OPEN_LIMIT)
    if following is not None or len(page) >= OPEN_LIMIT:
        raise LimitReached(what="Open reviews, when an incident is to be opened by hand,", limit=OPEN_LIMIT)
    id = ids.review_id(world.clock.now(), world.entropy.bits())
    cause = {"happened": incident.happened, "run": incident.run or None, "hold": incident.hold or None}
    rows = _rows(world, by.tenant, id, agent, incident.run, cause, by.name)
    await world.records.commit(Change(rows))
    world.bus.ring("timer")
    opened = await world.records.get_review(by.tenant, id)
    assert opened is not None
    return opened


def incident_of_hold(world: World, hold: Hold, asked: bool | None) -> tuple[Statement, ...]:
    """What goes with the placing of a hold. `asked` None: as the settings of its agent say, for all but a pause."""
    agent = hold.selector.agent or ""
    if asked is None:
        known = world.worker.find(agent) if agent else None
        asked = hold.effect != "pause" and known is not None and known.incidents is not None
    if not asked:
        return ()
    cause = {"happened": hold.reason, "hold": hold.id, "effect": hold.effect}
    id = ids.call_review_id(hold.id, STEP)
    return _rows(world, hold.tenant, id, agent, hold.selector.run or "", cause, hold.placed_by)


async def incident_of_alert(
    world: World, agent: str, objective: str, since: int, alert: bytes
) -> tuple[Statement, ...]:
    """What goes with an alert about an agent whose settings have `incidents`; nothing when it has opened one already:
    an alert that got worse is told again. `alert`: its facts, a JSON object."""
    known = world.worker.find(agent)
    if known is None or known.incidents is None:
        return ()
    id = ids.call_review_id(f"{agent}\n{objective}", f"{STEP}:{since}")
    if await world.records.get_review(ids.DEFAULT_TENANT, id) is not None:
        return ()
    cause = {"happened": f"{objective} of {agent}", "alert": Raw(alert)}
    return _rows(world, ids.DEFAULT_TENANT, id, agent, "", cause, NODE)


def _rows(
    world: World, tenant: str, id: str, agent: str, run: str, cause: dict[str, Any], by: str
) -> tuple[Statement, ...]:
    at, known = world.clock.now(), world.worker.find(agent) if agent else None
    handling = (known and known.incidents) or FREELY
    details = cause | terms_in(handling, at) | {"requester": by}
    question = f"An incident{f' of {agent}' if agent else ''}: what happened, and is it mended?"
    due = handling.first_due(at)
    ask = InsertReview(tenant, id, run, STEP, agent, "incident", question, encode(details), at, due)
    told = entry(tenant, id, at, "incident.opened", by, agent=agent or None, run=run or None, hold=cause.get("hold"))
    facts = {"review": id, "kind": "incident", "question": question, "expires_at": instant(due)}
    says = tell_review(world, tenant, None, "review.requested", agent, encode(facts))
    return (ask, told, *says)
