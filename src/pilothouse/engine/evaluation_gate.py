"""The gate before a release: runs of it are taken in once it has the evaluation that its agent's settings ask for (G6).

What counts is the last evaluation that fits, so a release that scores worse afterwards is shut out again. What was
found is believed for a while: for a minute that it has passed, for a second that it has not. So neither an open gate
nor a closed one costs a read of the records for each request. Agents whose settings ask for nothing never come here.

What was taken in before a release was deployed that has not passed waits as if it were on hold (`gate_of`), unseen by
claims, until the release that is served has passed.
"""

import msgspec
from msgspec import Struct

from pilothouse.domain.agent import Agent
from pilothouse.domain.evaluation import Requirement, Score, Standing
from pilothouse.domain.ids import DEFAULT_TENANT
from pilothouse.domain.principal import Principal, read_chain
from pilothouse.domain.run import Run
from pilothouse.engine.encoding import decode
from pilothouse.engine.principal import starter
from pilothouse.engine.world import World
from pilothouse.errors import NotEvaluated

EVALUATION = "evaluation"
EVALUATES = "evaluates"
"""The key of a run's metadata that says which example it is scored on."""
EVALUATE_SCOPE = "examples:write"
GATE = "evaluation:"
PAGE = 200
OPEN_FOR, SHUT_FOR = 60_000_000, 1_000_000
"""Microseconds for which it is believed that a release has passed, or has not."""


class Scored(Struct, frozen=True, kw_only=True):
    """What the gate reads of an evaluation."""

    release: str
    dataset: str
    number: int
    part: str | None
    evaluators: tuple[str, ...]
    scores: tuple[Score, ...]
    left_out: int = 0


_read = msgspec.json.Decoder(Scored).decode


async def require_evaluation(
    world: World,
    agent: Agent,
    tenant: str,
    *,
    run: str | None = None,
    parent: str | None = None,
    metadata: bytes = b"{}",
    principal: Principal | None = None,
) -> None:
    """Raises `NotEvaluated` when the release has not passed. Let in nevertheless is a run that an evaluation makes,
    which is one whose metadata says so and whose `principal` may hand evaluations in; a call of an agent by a run of
    the same release, which was let in itself; and a `run` that is there already, which the caller finds."""
    asked = agent.evaluation
    if asked is None:
        return
    standing = await _standing(world, agent, asked)
    if standing.reason is None or _evaluates(tenant, metadata, principal):
        return
    if parent is not None:
        above = await world.records.get_run(tenant, parent)
        if above is not None and (above.agent, above.release) == (agent.name, agent.release):
            return
    if run is not None and await world.records.get_run(tenant, run) is not None:
        return
    # Evaluations are of the deployment, so their figures are told to nobody else.
    reason = standing.reason if tenant == DEFAULT_TENANT else "it has not passed its evaluation"
    hint = f"`pilothouse eval run {agent.name} {asked.command}` scores the release that is served."
    raise NotEvaluated(agent=agent.name, release=agent.release, reason=reason, hint=hint)


def gate_of(agent: str) -> str:
    """Stands in the place of the id of a hold in runs that wait for the evaluation of a release of this agent."""
    return f"{GATE}{agent}"


async def may_begin(world: World, run: Run, agent: Agent) -> bool:
    """Whether an attempt at this run may begin on the release that is served now."""
    who = starter(world, run.tenant, read_chain(run.started_by).principal)
    try:
        await require_evaluation(world, agent, run.tenant, parent=run.parent, metadata=run.metadata, principal=who)
    except NotEvaluated:
        return False
    return True


async def is_shut(world: World, hold: str) -> bool:
    """Whether `hold` is a gate that is still shut; who does not host the agent leaves it as it is."""
    if not hold.startswith(GATE):
        return False
    agent = world.worker.find(hold.removeprefix(GATE))
    if agent is None:
        return True
    return agent.evaluation is not None and (await _standing(world, agent, agent.evaluation)).reason is not None


def forget_standings(world: World, agent: str) -> None:
    """Releases of this agent are looked at anew, once something was found out about one."""
    for name in [name for name in world.standings if name[0] == agent]:
        del world.standings[name]


def _evaluates(tenant: str, metadata: bytes, principal: Principal | None) -> bool:
    if principal is None or tenant != DEFAULT_TENANT or principal.kind == "agent":
        return False
    return principal.may(EVALUATE_SCOPE) and isinstance(decode(metadata).get(EVALUATES), str)


async def _standing(world: World, agent: Agent, asked: Requirement) -> Standing:
    name = (agent.name, agent.release, asked)
    known = world.standings.get(name)
    at = world.clock.now()
    if known is not None and at < known.until:
        return known
    found = await _look(world, agent, asked, at)
    world.standings[name] = found
    return found


async def _look(world: World, agent: Agent, asked: Requirement, at: int) -> Standing:
    last: Scored | None = None
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(DEFAULT_TENANT, EVALUATION, agent.name, cursor, PAGE)
        for one in map(_read, (document.body for document in page)):
            if one.release == agent.release and asked.covers(one.dataset, one.number, one.part):
                last = one
        if cursor is None:
            break
    if last is None:
        reason = None if asked.when_missing == "allow" else f"it was not evaluated on {asked.dataset}"
        return Standing(reason, at + SHUT_FOR)
    reason = asked.fault(dict(zip(last.evaluators, last.scores, strict=True)), last.left_out)
    return Standing(reason, at + (SHUT_FOR if reason is not None else OPEN_FOR))
