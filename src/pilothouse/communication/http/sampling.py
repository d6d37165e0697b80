"""The routes of sampling: how runs of an agent are chosen for people to look at, and how well those judge.

What the reviews of chosen runs are decided with is the decision of any review.
"""

from pilothouse.communication.http.call import Call, tenant_of
from pilothouse.engine import sampling as verbs
from pilothouse.wire.sampling import PlanRequest, ReviewerPage, SeedRequest, plan_view, reviewer_view


async def get_sampling(call: Call, agent: str) -> None:
    await call.show(plan_view(await verbs.get_plan(call.front.world, tenant_of(call), agent)))


async def set_sampling(call: Call, agent: str, body: PlanRequest) -> None:
    """From now on; runs that have ended are not looked at again."""
    await call.show(plan_view(await verbs.set_plan(call.front.world, call.principal, body.plan(agent))))


async def drop_sampling(call: Call, agent: str) -> None:
    await verbs.drop_plan(call.front.world, call.principal, agent)
    await call.answer_empty(204)


async def seed_case(call: Call, agent: str, body: SeedRequest) -> None:
    """A known case among those to be reviewed. Nobody is told which."""
    world, by = call.front.world, call.principal
    await verbs.seed_case(world, by, agent, bytes(body.input), bytes(body.output), is_right=body.right)
    await call.answer_empty(204)


async def list_reviewers(call: Call, agent: str) -> None:
    await verbs.get_plan(call.front.world, tenant_of(call), agent)
    found = await verbs.measure_reviewers(call.front.world, tenant_of(call), agent)
    await call.show(ReviewerPage([reviewer_view(one) for one in found], None))
