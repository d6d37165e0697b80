"""Bias audits in a node: groups stay apart from runs, figures and findings come out, and people deal with those."""

import json

import pytest

from pilothouse import Context, agent
from pilothouse.cli.bias_report import as_html, as_markdown
from pilothouse.communication.http.bias import audit_view
from pilothouse.domain.decision import Decision
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.retention import Retention
from pilothouse.domain.sampling import Plan
from pilothouse.engine import bias, evidence, sampling
from pilothouse.engine.override import Correction, override_run
from pilothouse.errors import (
    AgentNotFound,
    Forbidden,
    InvalidInput,
    NotDeclared,
    NotOnRecord,
    RunNotFound,
)
from pilothouse.testing import LocalNode

SEEN: list[str] = []
DECISION = Decision(outcome="granted", groups=("sex", "race"), minimum=5)


@agent(mode="event", decision=DECISION)
async def credit(ctx: Context, income: int) -> dict:
    SEEN.append(repr(ctx.run))
    return {"granted": income > 10} if income else {}


@agent(mode="event")
async def plain(ctx: Context, text: str) -> str:
    return text


@pytest.fixture
async def node():
    SEEN.clear()
    async with LocalNode({"credit": credit, "plain": plain}) as node:
        yield node


async def decide(node, income, label=None, **groups):
    run = (await node.run("credit", income)).id
    await bias.record_groups(node.world, LOCAL, run, groups, label)
    return run


async def audit(node, by=LOCAL, **more):
    return await bias.audit_bias(node.world, by, "credit", bias.AuditSpan(until=node.world.clock.now() + 1, **more))


async def population(node):
    """Of men 8 of 10 are granted, of women 4 of 10; two others."""
    for number in range(10):
        await decide(node, 20 if number < 8 else 5, sex="male", race="x")
        await decide(node, 20 if number < 4 else 5, sex="female", race="x")
    for _ in range(2):
        await decide(node, 20, sex="other", race="y")


def of(found, attribute):
    return {
        group.group: group for one in found.figures.attributes if one.attribute == attribute for group in one.groups
    }


async def told(node):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    return [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]


async def test_an_audit_gives_rates_ratios_and_a_finding_for_who_is_favoured_less_than_four_fifths(node):
    await population(node)
    found = await audit(node)
    groups = of(found, "sex")
    assert (found.figures.cases, found.figures.selected) == (22, 14)
    assert (groups["male"].rate, groups["female"].rate, groups["female"].ratio) == (0.8, 0.4, 0.5)
    assert (groups["female"].is_flagged, groups["other"].is_small, groups["other"].is_flagged) == (True, True, False)
    findings, _ = await bias.list_findings(node.world, "default", "open", None, 50)
    assert {(one.attribute, one.group, one.reference) for one in findings} == {
        ("sex", "female", "male"), ("sex x race", "female x x", "male x x"),
    }  # fmt: skip
    assert {one.id for one in findings} == set(found.findings)
    assert await bias.get_audit(node.world, "default", found.id) == found


async def test_groups_are_in_no_payload_event_log_or_answer(node):
    """Their values are looked for in everything that is kept of the run and told of it."""
    run = await decide(node, 20, sex="zebra-f", race="zebra-r")
    later = await node.get(run)
    kept = repr(later) + repr(await node.kept.read_events("default", run, 0, 1000)) + repr(SEEN)
    assert "zebra" not in kept + json.dumps(await told(node))
    (recorded,) = [one for one in await told(node) if one["kind"] == "groups.recorded"]
    assert (recorded["id"], recorded["attributes"]) == (run, ["race", "sex"])
    assert (await node.kept.get_document("default", bias.groups_id(run))) is not None
    await node.kept.prune(Retention(2**60, 2**60), 100)
    assert (await node.kept.get_document("default", bias.groups_id(run))) is None


async def test_what_is_recorded_in_parts_is_put_together(node):
    run = await decide(node, 20, sex="female")
    found = await bias.record_groups(node.world, LOCAL, run, {"race": "x"}, True)
    assert (found.groups, found.label) == ({"sex": "female", "race": "x"}, True)
    assert (await bias.record_groups(node.world, LOCAL, run, {}, None)).label is True


async def test_labels_give_equalized_odds(node):
    for sex, income in (("m", 20), ("f", 5)):
        for label in (True, False):
            for _ in range(5):
                await decide(node, income, label, sex=sex)
    (one, *_) = (await audit(node)).figures.attributes
    assert (one.equalized_odds_difference, one.equalized_odds_ratio) == (1.0, 0.0)


async def test_what_cannot_be_counted_is_told_and_what_is_outside_is_not_looked_at(node):
    await decide(node, 20, sex="m")
    await decide(node, 0, sex="m")
    run = await node.start("credit", 5, delay=600)
    await bias.record_groups(node.world, LOCAL, run.id, {"sex": "m"}, None)
    found = await audit(node)
    assert (found.figures.cases, found.left_out.undecided, found.left_out.not_ended) == (1, 1, 1)
    assert (await audit(node, since=node.world.clock.now() + 1)).figures.cases == 0


async def test_an_audit_is_of_what_the_agent_decided_unless_it_is_asked_for_what_is_in_force(node):
    run = await decide(node, 5, sex="m")
    await override_run(node.world, LOCAL, run, Correction(reason="misread", value=b'{"granted":true}'))
    original, in_force = await audit(node), await audit(node, outcomes="in_force")
    assert (original.figures.selected, original.overridden) == (0, 1)
    assert (in_force.figures.selected, in_force.overridden) == (1, 1)


async def test_known_cases_of_sampling_are_decisions_about_nobody(node):
    await sampling.set_plan(node.world, LOCAL, Plan(agent="credit", rate=0.0, rate_now=0.0))
    await sampling.seed_case(node.world, LOCAL, "credit", b"1", b'{"granted":true}', is_right=False)
    (run,) = await sampling.seeded_runs(node.world, "default", "credit")
    await bias.record_groups(node.world, LOCAL, run, {"sex": "m"}, None)
    assert (await audit(node)).figures.cases == 0


async def test_a_finding_is_dealt_with_by_people_with_a_reason_and_found_again_while_it_is_not_closed(node):
    await population(node)
    first = (await audit(node)).findings[0]
    moved = await bias.move_finding(node.world, LOCAL, first, "mitigated", "another threshold")
    assert [(one.state, one.by, one.reason) for one in moved.history] == [("mitigated", "local", "another threshold")]
    assert first in (await audit(node)).findings
    assert (await bias.move_finding(node.world, LOCAL, first, "closed", "done")).state == "closed"
    assert first not in (await audit(node)).findings
    with pytest.raises(InvalidInput):
        await bias.move_finding(node.world, LOCAL, first, "open", "again")
    kinds = [one["kind"] for one in await told(node) if one["id"] == first]
    assert kinds == ["finding.opened", "finding.mitigated", "finding.closed"]


async def test_agents_neither_record_groups_nor_audit_and_machines_resolve_nothing(node):
    await population(node)
    robot = Principal("agent:credit", "agent", "default", frozenset({"*"}))
    run = await decide(node, 20, sex="m")
    with pytest.raises(Forbidden):
        await bias.record_groups(node.world, robot, run, {"sex": "m"}, None)
    with pytest.raises(Forbidden):
        await audit(node, by=robot)
    found = (await audit(node)).findings[0]
    with pytest.raises(Forbidden):
        await bias.move_finding(
            node.world, Principal("x", "service", "default", frozenset({"*"})), found, "closed", "x"
        )


async def test_what_is_not_declared_or_not_there_is_told(node):
    run = await decide(node, 20)
    with pytest.raises(InvalidInput) as refused:
        await bias.record_groups(node.world, LOCAL, run, {"religion": "x", "sex": ""}, None)
    assert [one["path"] for one in refused.value.faults] == ["$.groups.religion", "$.groups.sex"]
    with pytest.raises(NotDeclared):
        await bias.record_groups(node.world, LOCAL, (await node.run("plain", "x")).id, {"sex": "m"}, None)
    with pytest.raises(RunNotFound):
        await bias.record_groups(node.world, LOCAL, "run_x", {"sex": "m"}, None)
    with pytest.raises(AgentNotFound):
        await bias.audit_bias(node.world, LOCAL, "nobody", bias.AuditSpan(until=1))
    with pytest.raises(NotOnRecord):
        await bias.get_audit(node.world, "default", "sampling_key")
    with pytest.raises(NotOnRecord):
        await bias.move_finding(node.world, LOCAL, "fnd_x", "closed", "x")


async def test_the_report_has_the_tables_and_says_what_was_left_out(node):
    await population(node)
    await decide(node, 20, sex="<b>|", race="z")
    found = json.loads(json.dumps(_plain(audit_view(await audit(node)))))
    text, page = as_markdown(found), as_html(found)
    assert "| **female** | 10 | 4 | 0.400 | 0.168 to 0.687 | 0.500 |" in text
    assert "## Intersectional: sex x race" in text
    assert "too small to judge" in text
    assert "0 whose output does not say" in text
    assert "&lt;b&gt;\\|" in text
    assert '<tr class="flag"><td>female</td><td>10</td>' in page
    assert "<b>" not in page


def _plain(view):
    import msgspec

    return msgspec.to_builtins(view)
