"""Overrides (G4, G10): the original stays, readers get what is in force, and of two at the same moment one stands."""

import asyncio
import json

import pytest

from pilothouse import Context, agent, tool
from pilothouse.domain.delivery import Receiver, Receivers, Webhook
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.override import changed_places
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.retention import Retention
from pilothouse.domain.review import Answer
from pilothouse.engine import evidence, policy, retry, session
from pilothouse.engine.override import Correction, override_review, override_run
from pilothouse.engine.run import start_run
from pilothouse.errors import (
    AgentNotFound,
    Forbidden,
    LimitReached,
    OverrideConflict,
    RunActive,
    RunNotFound,
)
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.testing import LocalNode
from pilothouse.wire.override import override_page
from pilothouse.wire.review import review_view
from pilothouse.wire.run import run_view
from tests.engine.agents import command

UNDONE: list[dict] = []


@tool(risk="consequential", name="override_grant", labels=("sensitive",))
async def grant(who: str) -> dict:
    return {"granted": who != "eve", "score": 3}


@agent(mode="event")
async def desk(ctx: Context, who: str) -> dict:
    return await ctx.call_tool(grant, who=who)


@agent(mode="event")
async def asks(ctx: Context, who: str) -> str:
    answer = await ctx.review("grant?")
    if who == "slow":
        await ctx.signal("go")
    return answer.verdict


@agent(mode="event")
async def undo(ctx: Context, what: dict) -> str:
    UNDONE.append(what)
    return "undone"


@agent(mode="session")
async def chat(ctx: Context, text: str) -> str:
    ctx.session.state["last"] = text
    return await ctx.step(str.upper, text)


@pytest.fixture
async def node():
    UNDONE.clear()
    async with LocalNode({"desk": desk, "asks": asks, "undo": undo, "chat": chat}) as node:
        yield node


async def told(node, kind):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    entries = [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]
    return [one for one in entries if one["kind"] == kind]


def other(value=b'{"granted":true,"score":3}', **more):
    return Correction(reason="misread", value=value, **more)


async def test_the_original_stays_and_readers_get_what_is_in_force(node):
    run = await node.run("desk", "eve")
    before = await node.kept.read_events("default", run.id, 0, 1000)
    found = await override_run(node.world, LOCAL, run.id, other())
    assert json.loads(found.output) == {"granted": False, "score": 3}
    view = run_view(found)
    assert json.loads(bytes(view.output)) == {"granted": True, "score": 3}
    assert (view.status, view.override.by, view.override.reason) == ("succeeded", "local", "misread")
    assert view.override.changed == ["/granted"]
    assert json.loads(bytes(view.override.original)) == {"granted": False, "score": 3}
    assert await node.kept.read_events("default", run.id, 0, 1000) == before
    await node.restart()
    assert run_view((await node.get(run.id)).run).override.number == 1


async def test_the_log_says_who_why_and_what_changed_without_the_payload(node):
    run = await node.run("desk", "eve")
    await override_run(node.world, LOCAL, run.id, other())
    (one,) = await told(node, "run.overridden")
    assert (one["id"], one["by"], one["reason"], one["changed"]) == (run.id, "local", "misread", 1)
    assert one["before"] == one["original"] != one["after"]
    assert all(one[name].startswith("hmac:") for name in ("before", "after"))
    assert "granted" not in json.dumps(one)


async def test_an_override_may_itself_be_superseded(node):
    run = await node.run("desk", "eve")
    await override_run(node.world, LOCAL, run.id, other(b'"second"'))
    found = await override_run(node.world, LOCAL, run.id, other(b'"third"', superseded=1))
    page = override_page(found.output, found.overrides)
    assert [(one.number, bytes(one.value), one.changed) for one in page.items] == [
        (1, b'"second"', [""]),
        (2, b'"third"', [""]),
    ]
    assert bytes(run_view(found).output) == b'"third"'


async def test_who_has_not_seen_the_last_override_overrides_nothing(node):
    run = await node.run("desk", "eve")
    await override_run(node.world, LOCAL, run.id, other(b'"second"'))
    with pytest.raises(OverrideConflict, match="superseded 1 times, not 0"):
        await override_run(node.world, LOCAL, run.id, other(superseded=0))


async def test_of_overrides_at_the_same_moment_each_that_stands_has_seen_the_one_before(node):
    run = await node.run("desk", "eve")
    asked = [override_run(node.world, LOCAL, run.id, other(b"%d" % number)) for number in range(8)]
    came = await asyncio.gather(*asked, return_exceptions=True)
    stood = [one for one in came if not isinstance(one, BaseException)]
    assert all(isinstance(one, OverrideConflict) for one in came if isinstance(one, BaseException))
    assert len(stood) >= 1
    found = (await node.get(run.id)).run
    assert found.superseded == len(stood) == len(await told(node, "run.overridden"))


async def test_a_run_that_lives_is_not_overridden_whenever_it_ends(node):
    """The look before may be late: the statement that writes refuses too."""
    run = await node.start("asks", "slow")
    asked = await node.wait_review(run)
    with pytest.raises(RunActive):
        await override_run(node.world, LOCAL, run.id, other())
    with pytest.raises(OverrideConflict, match="it is open"):
        await override_review(node.world, LOCAL, asked.id, Answer(verdict="reject"), other(None))
    await node.decide(asked, "approve")
    with pytest.raises(RunActive):
        await override_review(node.world, LOCAL, asked.id, Answer(verdict="reject"), other(None))
    assert await told(node, "review.overridden") == []
    await node.signal(run, "go", None)
    assert (await node.wait(run)).output == "approve"


async def test_another_answer_of_a_review_is_in_force_once_its_run_has_ended(node):
    run = await node.start("asks", "x")
    asked = await node.wait_review(run)
    await node.decide(asked, "approve")
    await node.wait(run)
    found = await override_review(node.world, LOCAL, asked.id, Answer(verdict="reject"), other(None))
    assert json.loads(found.answer)["verdict"] == "approve"
    view = review_view(found)
    assert json.loads(bytes(view.answer))["verdict"] == "reject"
    assert json.loads(bytes(view.override.original))["verdict"] == "approve"
    (one,) = await told(node, "review.overridden")
    assert (one["run"], one["verdict_before"], one["verdict_after"]) == (run.id, "approve", "reject")


async def test_a_compensation_run_is_given_what_it_corrects_and_starts_with_the_override(node):
    run = await node.run("desk", "eve")
    found = await override_run(node.world, LOCAL, run.id, other(compensate="undo"))
    compensation = run_view(found).override.compensation
    ended = await node.wait(compensation)
    assert ended.output == "undone"
    assert [
        {
            "corrects": run.id,
            "review": None,
            "reason": "misread",
            "input": "eve",
            "output": {"granted": False, "score": 3},
            "in_force": {"granted": True, "score": 3},
        }
    ] == UNDONE
    metadata = json.loads(ended.run.metadata)
    assert (metadata["corrects"], metadata["labels"]) == (run.id, ["sensitive"])
    assert (await told(node, "run.overridden"))[0]["compensation"] == compensation


async def test_of_two_overrides_at_once_only_the_one_that_stands_starts_its_compensation(node):
    run = await node.run("desk", "eve")
    asked = [override_run(node.world, LOCAL, run.id, other(None, superseded=0, compensate="undo")) for _ in range(4)]
    came = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in came) == 1
    await node.settle()
    assert len(UNDONE) == 1


async def test_without_an_agent_to_compensate_nothing_is_overridden(node):
    run = await node.run("desk", "eve")
    with pytest.raises(AgentNotFound):
        await override_run(node.world, LOCAL, run.id, other(compensate="nobody"))
    assert (await node.get(run.id)).run.overrides is None


@pytest.mark.parametrize("kind", ["agent", "service"])
async def test_only_people_override(node, kind):
    run = await node.run("desk", "eve")
    with pytest.raises(Forbidden, match="only people"):
        await override_run(node.world, Principal("x", kind, "default", frozenset({"*"})), run.id, other())


async def test_what_is_not_there_or_was_overridden_too_often_is_refused(node, monkeypatch):
    with pytest.raises(RunNotFound):
        await override_run(node.world, LOCAL, "run_x", other())
    run = await node.run("desk", "eve")
    monkeypatch.setattr("pilothouse.engine.override.OVERRIDES_LIMIT", 1)
    await override_run(node.world, LOCAL, run.id, other())
    with pytest.raises(LimitReached):
        await override_run(node.world, LOCAL, run.id, other())


async def test_the_channel_of_whom_it_concerns_hears_of_a_consequential_override(node):
    """Whatever the webhook asked for: it would not hear otherwise that a decision about somebody was changed."""
    rules = 'permit (principal, action == Action::"override_grant", resource);'
    await policy.activate(node.world, LOCAL, rules, "enforce", signed=True)
    node.world.receivers = Receivers((Receiver(name="desk", events=("override.made",)),))
    hook = Webhook("https://shop.example/hook", ("run.failed",))
    run = (await start_run(node.world, command("desk", b'"eve"', wants="later", webhook=hook))).run.id
    await node.wait(run)
    plain = await node.run("chat", "a", session="s")
    for one in (run, plain.id):
        await override_run(node.world, LOCAL, one, other())
    told, _ = await node.kept.list_deliveries("default", DeliveryFilter(), None, 100)
    found = sorted((one.run == run, one.receiver, one.type) for one in told)
    assert found == [
        (False, "desk", "override.made"),
        (True, "desk", "override.made"),
        (True, hook.url, "override.made"),
    ]
    (body,) = [json.loads(one.body) for one in told if one.receiver == hook.url]
    assert body["data"]["changed"] == ["/granted"]


async def test_a_long_outcome_is_kept_aside_and_goes_with_its_run(node):
    run = await node.run("desk", "eve")
    long = json.dumps("x" * 100_000).encode()
    await override_run(node.world, LOCAL, run.id, other(long))
    assert bytes(run_view((await node.get(run.id)).run).output) == long
    await node.kept.prune(Retention(2**60, 2**60), 100)
    with pytest.raises(RunNotFound):
        await override_run(node.world, LOCAL, run.id, other())


async def test_an_edit_of_a_session_and_a_fork_say_who_why_and_what_changed(node):
    run = await node.run("chat", "a", session="s")
    await session.write_state(node.world, "default", "chat", "s", b'{"last": "b"}', 1, "ada", "a slip")
    (edited,) = await told(node, "session.edited")
    assert (edited["by"], edited["reason"], edited["version"]) == ("ada", "a slip", 2)
    assert edited["before"] != edited["after"]
    (step,) = [one for one in run.steps if one.kind == "step"]
    started = await retry.fork_run(node.world, "default", run.id, None, {step.key: b'"B"'}, "ada", "what if")
    assert (await node.wait(started.run.id)).output == "B"
    (forked,) = await told(node, "run.forked")
    assert (forked["id"], forked["to"], forked["by"], forked["reason"]) == (run.id, started.run.id, "ada", "what if")
    assert list(forked["replaced"]) == [step.key]
    (session_forked,) = await told(node, "session.forked") or [None]
    assert session_forked is None or session_forked["by"] == "ada"


@pytest.mark.parametrize(
    ("before", "after", "places"),
    [
        (b"1", b"1", ()),
        (b"1", b"true", ("",)),
        (None, b"1", ("",)),
        (b'{"a":1}', b'{"a":2,"b":3}', ("/a", "/b")),
        (b'{"a/b":{"c~d":[1,2]}}', b'{"a/b":{"c~d":[1,3]}}', ("/a~1b/c~0d/1",)),
        (b"[1]", b"[1,2]", ("",)),
    ],
)
def test_what_changed_is_told_by_the_innermost_places(before, after, places):
    assert changed_places(before, after) == places


def test_what_differs_everywhere_differs_as_a_whole():
    old, new = ({str(number): value for number in range(100)} for value in (1, 2))
    assert changed_places(json.dumps(old).encode(), json.dumps(new).encode()) == ("",)
