"""What keeps a run from going on.

The facts are read when somebody asks for one run, and for nobody else: lists and the hot path do without, and nothing
is stored that could be out of date.
"""

from pilothouse.domain.obstacle import Facts, Obstacle, obstacle_of
from pilothouse.domain.run import Run
from pilothouse.engine.evaluation_gate import gate_of, is_shut
from pilothouse.engine.hold import hold_over
from pilothouse.engine.world import World

MESSAGE_LIMIT = 500


async def find_obstacle(world: World, run: Run) -> Obstacle | None:
    """Why the run does not go on now; None when it does, or is over. At most four reads, and none for a run that is at
    work or over."""
    if run.status not in ("queued", "waiting"):
        return None
    facts = Facts(now=world.clock.now())
    if run.status == "waiting":
        reviews, _ = await world.records.list_reviews(run.tenant, "open", run.id, None, 1)
        if reviews:
            facts.review = reviews[0].id, reviews[0].question[:MESSAGE_LIMIT]
        return obstacle_of(run, facts)
    hold = hold_over(world, run) if world.holds else None
    if hold is not None:
        facts.hold = hold.id, hold.reason
    if run.session is not None:
        for turn in await world.records.list_live_turns(run.tenant, run.agent, run.session):
            if turn.id == run.id:
                break
            facts.turn = facts.turn or (turn.id, turn.status)
    agent = world.worker.find(run.agent)
    facts.continues = agent is not None and agent.on_release_change == "continue"
    if agent is not None and agent.evaluation is not None and not run.ready and run.due_at is None:
        facts.is_shut_out = await is_shut(world, gate_of(run.agent))
    facts.releases = world.worker.releases(run.agent)
    if run.release not in facts.releases:
        facts.has_steps = bool(await world.records.list_steps(run.tenant, run.id, 0, 1))
    facts.ready = (await world.records.count_queue(run.tenant, run.agent)).ready
    return obstacle_of(run, facts)
