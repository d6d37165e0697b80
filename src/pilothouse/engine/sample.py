"""The sample: whether a run that ends is looked at by a person, and the review that asks for it.

Called where runs end, so it asks nothing of anybody: the plan and the key are at hand, and what it gives goes into the
Change of the end. The id of the review follows from the run, so that a run is never looked at twice.
"""

from collections.abc import Sequence

from pilothouse.domain.ids import call_review_id
from pilothouse.domain.principal import read_chain
from pilothouse.domain.run import Run
from pilothouse.domain.sampling import Plan, place_of, stratum_of
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import encode, raw
from pilothouse.engine.world import World
from pilothouse.ports.change import InsertReview, Row

STEP = "sample"
QUESTION = "Was this right?"
NONE: Sequence[Row] = ()


def sample_id(run: str) -> str:
    return call_review_id(run, STEP)


def chosen_rows(world: World, run: Run, output: bytes | None, at: int) -> Sequence[Row]:
    """What goes with the end of a run: its review, if it is chosen."""
    plan = world.plans.get((run.tenant, run.agent))
    key = world.sampling_keys.get(run.tenant)
    if plan is None or key is None or place_of(key, run.id) >= plan.rate_now:
        return NONE
    return sample_rows(world, plan, run, output, at)


def sample_rows(world: World, plan: Plan, run: Run, output: bytes | None, at: int) -> Sequence[Row]:
    review = sample_id(run.id)
    details = encode(
        {
            "input": raw(run.input),
            "output": raw(output),
            "stratum": stratum_of(plan, run.input, output, run.metadata),
            "role": plan.role,
            "quorum": 1,
            "requester": read_chain(run.started_by).principal,
        }
    )
    ask = InsertReview(run.tenant, review, run.id, STEP, run.agent, "sample", QUESTION, details, at, None)
    return ask, entry(run.tenant, review, at, "review.sampled", NODE, run=run.id, rate=plan.rate_now)
