"""Sampling in a node (G7): chosen with the end, filled up by stratum, a full queue approves nothing, known cases."""

import asyncio
import json

import pytest

from pilothouse import Context, agent
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.review import Answer
from pilothouse.domain.sampling import Plan, place_of
from pilothouse.engine import evidence, sampling
from pilothouse.engine.example import list_examples
from pilothouse.engine.sample import sample_id
from pilothouse.engine.verdict import give_verdict
from pilothouse.errors import AgentNotFound, Forbidden, NotOnRecord, ReviewClosed, VoteRefused
from pilothouse.testing import LocalNode
from tests.oversight.people import decide, hire


@agent(mode="event")
async def desk(ctx: Context, who: str) -> str:
    return f"{who}: granted"


@agent(mode="event")
async def breaks(who: str) -> str:
    raise ValueError(who)


@pytest.fixture
async def node():
    async with LocalNode({"desk": desk, "breaks": breaks}) as node:
        yield node


async def plan(node, rate=1.0, agent="desk", by=LOCAL, **more):
    return await sampling.set_plan(node.world, by, Plan(agent=agent, rate=rate, rate_now=rate, **more))


async def reviews(node, status="open"):
    found, _ = await node.kept.list_reviews("default", status, None, None, 1000)
    return [one for one in found if one.kind == "sample"]


async def told(node, kind):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    entries = [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]
    return [one for one in entries if one["kind"] == kind]


async def test_without_a_plan_nothing_is_looked_at(node):
    await node.run("desk", "ann")
    assert await reviews(node) == []
    with pytest.raises(NotOnRecord):
        await sampling.get_plan(node.world, "default", "desk")


async def test_the_chosen_runs_are_those_that_the_key_says_each_once_and_at_a_recorded_rate(node):
    await plan(node, 0.5)
    runs = [(await node.run("desk", f"n{number}")).id for number in range(40)]
    key = node.world.sampling_keys["default"]
    chosen = {run for run in runs if place_of(key, run) < 0.5}
    assert {one.run for one in await reviews(node)} == chosen
    assert 5 < len(chosen) < 35
    entries = await told(node, "review.sampled")
    assert {one["run"] for one in entries} == chosen
    assert {one["rate"] for one in entries} == {0.5}


async def test_a_run_that_failed_is_nobodys_sample(node):
    await plan(node, agent="breaks")
    await node.run("breaks", "x")
    assert await reviews(node) == []


async def test_the_answer_of_a_sample_wakes_nobody_and_says_whether_it_was_right(node):
    await plan(node)
    run = await node.run("desk", "ann")
    (asked,) = await reviews(node)
    details = json.loads(asked.details)
    assert (details["input"], details["output"]) == ("ann", "ann: granted")
    await node.decide(asked, "edit", edited="ann: refused", reason="no income")
    (answered,) = await reviews(node, "decided")
    assert json.loads(answered.answer)["edited"] == "ann: refused"
    again = await node.get(run.id)
    assert (again.status, again.output) == ("succeeded", "ann: granted")
    with pytest.raises(ReviewClosed):
        await node.decide(asked, "approve")


async def test_the_edit_of_a_sample_is_an_example_from_the_same_moment_on(node):
    await plan(node)
    run = await node.run("desk", "ann")
    (asked,) = await reviews(node)
    answers = (Answer(verdict="edit", edited=f"{who}: refused", by=who) for who in ("ada", "bob"))
    came = await asyncio.gather(*(give_verdict(node.world, "default", asked.id, one) for one in answers),
                                return_exceptions=True)  # fmt: skip
    assert sum(isinstance(one, ReviewClosed) for one in came) == 1
    (made,), _ = await list_examples(node.world, "default", "desk", None, 10)
    assert (made.source, made.run, json.loads(bytes(made.output))) == ("review", run.id, "ann: granted")
    (answered,) = await reviews(node, "decided")
    assert json.loads(bytes(made.expected)) == json.loads(answered.answer)["edited"]


async def test_people_with_the_role_decide_and_not_whoever_started_the_run(node):
    await plan(node, role="quality")
    ada, eve = await hire(node, "ada", "quality"), await hire(node, "eve", "sales")
    await node.run("desk", "ann")
    (asked,) = await reviews(node)
    with pytest.raises(VoteRefused):
        await decide(node, asked, eve)
    assert (await decide(node, asked, ada)).status == "decided"


async def test_the_plan_and_its_key_outlive_a_restart(node):
    before = await plan(node, 0.25)
    key = node.world.sampling_keys["default"]
    await node.restart()
    assert node.world.plans["default", "desk"] == before
    assert node.world.sampling_keys["default"] == key


async def test_a_full_queue_lowers_the_rate_and_never_answers(node):
    await plan(node, capacity=3)
    for number in range(5):
        await node.run("desk", f"n{number}")
    await sampling.sample_round(node.world)
    assert node.world.plans["default", "desk"].rate_now == 0.5
    assert len(await reviews(node)) == 5
    (adjusted,) = await told(node, "sampling.adjusted")
    assert (adjusted["rate"], adjusted["rate_now"], adjusted["waiting"]) == (1.0, 0.5, 5)
    for one in await reviews(node):
        await node.decide(one, "approve")
    await sampling.sample_round(node.world)
    assert node.world.plans["default", "desk"].rate_now == 1.0


async def test_a_full_queue_holds_the_agent_where_the_plan_says_so(node):
    await plan(node, capacity=1, when_full="hold")
    for number in range(3):
        await node.run("desk", f"n{number}")
    await sampling.sample_round(node.world)
    await sampling.sample_round(node.world)
    (hold,) = node.world.holds.values()
    assert (hold.effect, hold.selector.agent, hold.placed_by) == ("pause", "desk", "node")
    assert len(await reviews(node)) == 3


async def test_each_stratum_is_filled_up_when_its_period_is_over_and_only_once(node):
    await plan(node, 0.0, strata=("metadata.region",), minimum=2, period_seconds=3600.0)
    runs = {}
    for number in range(9):
        region = "eu" if number < 8 else "us"
        runs[(await node.run("desk", f"n{number}", metadata={"region": region})).id] = region
    await sampling.sample_round(node.world)
    before = await reviews(node)
    await node.advance(seconds=3601)
    await sampling.sample_round(node.world)
    await sampling.sample_round(node.world)
    found = await reviews(node)
    if not before:  # else the hour was over before
        assert sorted(runs[one.run] for one in found) == ["eu", "eu", "us"]
    key = node.world.sampling_keys["default"]
    places = sorted(place_of(key, run) for run, region in runs.items() if region == "eu")
    assert sorted(place_of(key, one.run) for one in found if runs[one.run] == "eu")[0] == places[0]
    assert len({one.run for one in found}) == len(found)


async def test_known_cases_look_like_the_others_and_measure_who_judges_them(node):
    await plan(node)
    ada, bob = await hire(node, "ada"), await hire(node, "bob")
    real = await node.run("desk", "ann")
    for number in range(4):
        await sampling.seed_case(node.world, LOCAL, "desk", b'"eve"', b'"eve: granted"', is_right=number == 0)
    asked = await reviews(node)
    known = await sampling.seeded_runs(node.world, "default", "desk")
    assert len(asked) == 5
    assert len({tuple(sorted(json.loads(one.details))) for one in asked}) == 1
    assert real.id not in known
    assert set(known) <= {one.run for one in asked}
    assert all(one["id"] == "sampling:desk" for one in await told(node, "sampling.seeded"))
    seen = [one for one in asked if one.run in known]
    for one in seen:  # bob approves everything
        await decide(node, one, bob if one is not seen[-1] else ada, "approve" if one is not seen[-1] else "reject")
    figures = {one.reviewer: one for one in await sampling.measure_reviewers(node.world, "default", "desk")}
    right = {one.run: known[one.run].is_right for one in seen}
    bobs = [right[one.run] for one in seen[:-1]]
    assert (figures["bob"].decided, figures["bob"].agreed) == (3, sum(bobs))
    assert figures["bob"].wrong_approved == figures["bob"].wrong_seen == 3 - sum(bobs)
    assert (figures["ada"].wrong_approved, figures["ada"].decided) == (0, 1)
    assert (await node.get(seen[0].run)).status == "succeeded"


@pytest.mark.parametrize("kind", ["agent", "service"])
async def test_only_people_say_what_is_looked_at(node, kind):
    robot = Principal("x", kind, "default", frozenset({"*"}))
    with pytest.raises(Forbidden):
        await plan(node, by=robot)
    await plan(node)
    with pytest.raises(Forbidden):
        await sampling.drop_plan(node.world, robot, "desk")
    with pytest.raises(Forbidden):
        await sampling.seed_case(node.world, robot, "desk", b"1", b"1", is_right=True)
    with pytest.raises(AgentNotFound):
        await plan(node, agent="nobody")


async def test_a_plan_that_is_dropped_chooses_no_more(node):
    await plan(node)
    await sampling.drop_plan(node.world, LOCAL, "desk")
    await node.run("desk", "ann")
    assert await reviews(node) == []
    await plan(node)
    run = await node.run("desk", "bea")
    assert [one.id for one in await reviews(node)] == [sample_id(run.id)]
