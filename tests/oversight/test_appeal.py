"""Appeals and incidents: who may file and answer them, what an answer brings about; silence changes nothing."""

import asyncio
import json

import pytest

from pilothouse import Context, agent
from pilothouse.domain.delivery import Receiver, Receivers
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.hold import Selector
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.review import Answer
from pilothouse.domain.signature import ReviewLinks
from pilothouse.domain.vote import Handling, Step
from pilothouse.engine import evidence, hold, review
from pilothouse.engine.appeal import Appeal, file_appeal
from pilothouse.engine.incident import Incident, incident_of_alert, open_incident
from pilothouse.engine.verdict import give_verdict
from pilothouse.errors import (
    AgentNotFound,
    Forbidden,
    InvalidInput,
    LimitReached,
    ReviewClosed,
    RunActive,
    RunNotFound,
    VoteRefused,
)
from pilothouse.ports.change import Change
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.testing import LocalNode
from pilothouse.wire.review import review_view
from pilothouse.wire.run import run_view
from tests.oversight.people import decide, hire

UNDONE: list[dict] = []
OMBUD = Handling(role="ombud", within_seconds=86_400.0, escalate=(Step("board", 3600.0),))


@agent(mode="event")
async def desk(ctx: Context, who: str) -> dict:
    answer = await ctx.review(f"grant to {who}?")
    return {"granted": answer.verdict == "approve"}


@agent(mode="event")
async def undo(ctx: Context, what: dict) -> str:
    UNDONE.append(what)
    return "undone"


@pytest.fixture
async def node():
    UNDONE.clear()
    options = {"desk": {"appeals": OMBUD, "incidents": Handling(role="oncall")}}
    async with LocalNode({"desk": desk, "undo": undo}, options=options) as node:
        node.world.links = ReviewLinks((b"k" * 32,), "https://ops.example.com/", 3600.0)
        told = ("review.requested", "review.escalated", "review.decided")
        node.world.receivers = Receivers((Receiver(name="mail", events=told),), signs=True)
        yield node


async def ended(node, by="dora", who="eve"):
    """A run in which somebody decided, and the review."""
    run = await node.start("desk", who)
    asked = await node.wait_review(run)
    await node.decide(asked, "reject", by=by)
    return (await node.wait(run)).run, asked


async def file(node, run, by=LOCAL, **more):
    return await file_appeal(node.world, by, run.id, Appeal(reason="that was somebody else's income", **more))


async def told(node, *kinds):
    segments = await evidence.read_audit(node.world, "default", 0, 10_000)
    entries = [json.loads(leaf) for segment in segments for _, leaf in leaves_of(segment)]
    return [one for one in entries if one["kind"] in kinds]


async def mails(node):
    page, _ = await node.kept.list_deliveries("default", DeliveryFilter(), None, 100)
    return [(one.type, json.loads(one.body)["data"]) for one in reversed(page)]


async def test_an_appeal_shows_the_case_and_changes_nothing_until_it_is_answered(node):
    run, asked = await ended(node)
    filed = await file(node, run, about=asked.id, asks=b'{"granted":true}')
    details = json.loads(filed.details)
    assert (filed.kind, filed.status, filed.run) == ("appeal", "open", run.id)
    assert (details["input"], details["output"], details["asks"]) == ("eve", {"granted": False}, {"granted": True})
    assert (details["about"]["review"], details["about"]["answer"]["verdict"]) == (asked.id, "reject")
    assert (details["role"], details["until"]) == ("ombud", filed.created_at + 86_400_000_000)
    assert (await node.get(run.id)).run.overrides is None
    (entry,) = await told(node, "appeal.filed")
    assert (entry["run"], entry["about"], entry["by"]) == (run.id, asked.id, "local")
    assert "income" not in json.dumps(entry)


async def test_neither_who_decided_nor_who_filed_nor_who_lacks_the_role_answers(node):
    dora, olga = await hire(node, "dora", "ombud"), await hire(node, "olga", "ombud")
    paul, filer = await hire(node, "paul", "sales"), await hire(node, "filer", "ombud")
    run, asked = await ended(node)
    filed = await file(node, run, by=filer, about=asked.id)
    for who, why in ((dora, "they decided"), (filer, "asked for"), (paul, "role ombud")):
        with pytest.raises(VoteRefused, match=why):
            await decide(node, filed, who)
    assert (await decide(node, filed, olga, "reject", reason="it was right")).status == "decided"
    assert (await node.get(run.id)).run.overrides is None


async def test_an_appeal_against_the_outcome_is_answered_by_nobody_who_decided_in_the_run(node):
    dora = await hire(node, "dora", "ombud")
    run, _ = await ended(node)
    with pytest.raises(VoteRefused, match="they decided"):
        await decide(node, await file(node, run), dora)


async def test_an_edit_puts_another_outcome_in_force_and_starts_the_compensation(node):
    olga = await hire(node, "olga", "ombud")
    run, _ = await ended(node)
    filed = await file(node, run)
    done = await decide(node, filed, olga, "edit", edited={"granted": True}, reason="misread", compensate="undo")
    assert done.status == "decided"
    view = run_view((await node.get(run.id)).run)
    assert json.loads(bytes(view.output)) == {"granted": True}
    assert (view.override.by, view.override.reason) == ("olga", f"the appeal {filed.id} was granted")
    assert (await node.wait(view.override.compensation)).output == "undone"
    assert UNDONE[0]["in_force"] == {"granted": True}
    assert [one["id"] for one in await told(node, "run.overridden")] == [run.id]
    assert filed.id in [one["id"] for one in await told(node, "review.decided")]


async def test_an_edit_of_an_appeal_against_a_decision_supersedes_that_decision(node):
    olga = await hire(node, "olga", "ombud")
    run, asked = await ended(node)
    filed = await file(node, run, about=asked.id)
    with pytest.raises(InvalidInput, match="does not fit"):
        await decide(node, filed, olga, "edit", edited={"verdict": "perhaps"})
    assert (await review.get_review(node.world, "default", filed.id)).status == "open"
    await decide(node, filed, olga, "edit", edited={"verdict": "approve"}, reason="misread")
    view = review_view(await review.get_review(node.world, "default", asked.id))
    assert json.loads(bytes(view.answer))["verdict"] == "approve"
    assert view.override.by == "olga"


async def test_an_appeal_that_is_granted_may_only_compensate(node):
    run, _ = await ended(node)
    filed = await file(node, run)
    await give_verdict(node.world, "default", filed.id, Answer(verdict="approve", by="olga"), compensate="undo")
    view = run_view((await node.get(run.id)).run)
    assert json.loads(bytes(view.output)) == {"granted": False}
    assert (await node.wait(view.override.compensation)).output == "undone"


async def test_without_the_agent_that_compensates_the_appeal_stays_open(node):
    run, _ = await ended(node)
    filed = await file(node, run)
    with pytest.raises(AgentNotFound):
        await give_verdict(node.world, "default", filed.id, Answer(verdict="approve", by="olga"), compensate="nobody")
    assert (await review.get_review(node.world, "default", filed.id)).status == "open"
    with pytest.raises(InvalidInput, match="does not fit"):
        await give_verdict(node.world, "default", filed.id, Answer(verdict="reject", by="olga"), compensate="undo")


async def test_of_answers_at_the_same_moment_one_stands_and_only_its_outcome_is_in_force(node):
    run, _ = await ended(node)
    filed = await file(node, run)
    asked = [
        give_verdict(node.world, "default", filed.id, Answer(verdict="edit", edited={"n": number}, by=f"p{number}"),
                     compensate="undo")
        for number in range(8)
    ]  # fmt: skip
    came = await asyncio.gather(*asked, return_exceptions=True)
    (stood,) = [number for number, one in enumerate(came) if not isinstance(one, BaseException)]
    assert all(isinstance(one, ReviewClosed) or "overridden" in str(one) for one in came if isinstance(one, Exception))
    found = (await node.get(run.id)).run
    assert (found.superseded, json.loads(bytes(run_view(found).output))) == (1, {"n": stood})
    await node.settle()
    assert len(UNDONE) == 1


async def test_several_people_grant_an_appeal_before_anything_is_put_in_force():
    UNDONE.clear()
    two = Handling(role="ombud", quorum=2)
    async with LocalNode({"desk": desk, "undo": undo}, options={"desk": {"appeals": two}}) as pair:
        ada, bob = await hire(pair, "ada", "ombud"), await hire(pair, "bob", "ombud")
        run, _ = await ended(pair)
        filed = await file(pair, run)
        with pytest.raises(VoteRefused, match="several people"):
            await decide(pair, filed, ada, "edit", edited={"granted": True})
        assert (await decide(pair, filed, ada, compensate="undo")).status == "open"
        assert (await pair.get(run.id)).run.overrides is None
        assert (await decide(pair, filed, bob, compensate="undo")).status == "decided"
        assert (await pair.get(run.id)).run.superseded == 1


async def test_silence_asks_the_next_role_then_ends_it_and_the_outcome_stands(node):
    run, _ = await ended(node)
    filed = await file(node, run)
    await node.advance(hours=1, seconds=1)
    board = await hire(node, "ben", "board")
    assert (await review.get_review(node.world, "default", filed.id)).status == "open"
    kinds = [(kind, one.get("role"), "link" in one) for kind, one in await mails(node) if one["review"] == filed.id]
    assert kinds == [("review.requested", None, True), ("review.escalated", "board", True)]
    await node.advance(hours=23)
    assert (await review.get_review(node.world, "default", filed.id)).status == "expired"
    with pytest.raises(ReviewClosed):
        await decide(node, filed, board)
    assert (await node.get(run.id)).run.overrides is None
    assert [kind for kind, one in await mails(node) if one["review"] == filed.id][-1] == "review.decided"


async def test_only_what_has_ended_is_appealed_against_by_no_agent_and_not_without_end(node, monkeypatch):
    run = await node.start("desk", "x")
    asked = await node.wait_review(run)
    appeal = Appeal(reason="no")
    with pytest.raises(RunActive):
        await file_appeal(node.world, LOCAL, run.id, appeal)
    await node.decide(asked, "approve")
    await node.wait(run)
    with pytest.raises(Forbidden):
        await file_appeal(node.world, Principal("x", "agent", "default", frozenset({"*"})), run.id, appeal)
    with pytest.raises(InvalidInput, match="does not fit"):
        await file_appeal(node.world, LOCAL, run.id, Appeal(reason="no", about="rev_x"))
    with pytest.raises(RunNotFound):
        await file_appeal(node.world, LOCAL, "run_x", appeal)
    monkeypatch.setattr("pilothouse.engine.appeal.APPEALS_LIMIT", 1)
    await file_appeal(node.world, LOCAL, run.id, appeal)
    with pytest.raises(LimitReached):
        await file_appeal(node.world, LOCAL, run.id, appeal)


async def test_an_open_appeal_survives_a_restart(node):
    run, _ = await ended(node)
    filed = await file(node, run)
    await node.restart()
    await give_verdict(node.world, "default", filed.id, Answer(verdict="edit", edited={"granted": True}, by="olga"))
    assert (await node.get(run.id)).run.superseded == 1


# --- incidents --------------------------------------------------------------------------------------------------------


async def incidents(node):
    found, _ = await review.list_reviews(node.world, "default", None, None, None, 100, kind="incident")
    return found


async def test_an_incident_is_closed_by_somebody_else_with_the_role(node):
    olga, ivan = await hire(node, "olga", "oncall"), await hire(node, "ivan", "oncall")
    opened = await open_incident(node.world, olga, Incident(happened="twice", agent="desk"))
    with pytest.raises(VoteRefused):
        await decide(node, opened, olga)
    with pytest.raises(InvalidInput, match="does not fit"):
        await decide(node, opened, ivan, "edit", edited={})
    closed = await decide(node, opened, ivan, "respond", response="a retry without a key; mended")
    assert (closed.status, closed.run) == ("decided", "")
    kinds = [(kind, one["kind"], "link" in one) for kind, one in await mails(node)]
    assert kinds == [("review.requested", "incident", True), ("review.decided", "incident", False)]
    assert [one["agent"] for one in await told(node, "incident.opened")] == ["desk"]


async def test_the_end_of_a_run_closes_no_incident_about_it(node):
    run = await node.start("desk", "x")
    asked = await node.wait_review(run)
    opened = await open_incident(node.world, LOCAL, Incident(happened="odd", run=run.id))
    await node.decide(asked, "approve")
    await node.wait(run)
    assert (await review.get_review(node.world, "default", opened.id)).status == "open"


@pytest.mark.parametrize(
    ("effect", "asked", "count"),
    [("stop", None, 1), ("quarantine", None, 1), ("pause", None, 0), ("pause", True, 1), ("stop", False, 0)],
)
async def test_a_hold_that_stops_an_agent_opens_an_incident(node, effect, asked, count):
    held = await hold.place_hold(node.world, LOCAL, effect, Selector(agent="desk"), "wrong refunds", incident=asked)
    found = await incidents(node)
    assert [json.loads(one.details)["hold"] for one in found] == [held.id] * count
    await hold.place_hold(node.world, LOCAL, "stop", Selector(agent="undo"), "without settings")
    assert len(await incidents(node)) == count


async def test_an_alert_opens_one_incident_however_often_it_is_told(node):
    async def tell(agent, since, facts):
        rows = await incident_of_alert(node.world, agent, "ended", since, facts)
        if rows:
            await node.world.records.commit(Change(rows))

    for _ in range(2):
        await tell("desk", 17, b'{"objective":"ended"}')
    await tell("undo", 17, b"{}")
    (one,) = await incidents(node)
    assert json.loads(one.details)["alert"] == {"objective": "ended"}
    await tell("desk", 18, b"{}")
    assert len(await incidents(node)) == 2


async def test_an_incident_is_about_what_there_is_and_opened_by_no_agent(node, monkeypatch):
    with pytest.raises(AgentNotFound):
        await open_incident(node.world, LOCAL, Incident(happened="x", agent="nobody"))
    with pytest.raises(RunNotFound):
        await open_incident(node.world, LOCAL, Incident(happened="x", run="run_x"))
    with pytest.raises(Forbidden):
        await open_incident(node.world, Principal("x", "agent", "default", frozenset({"*"})), Incident(happened="x"))
    monkeypatch.setattr("pilothouse.engine.incident.OPEN_LIMIT", 1)
    await open_incident(node.world, LOCAL, Incident(happened="x"))
    with pytest.raises(LimitReached):
        await open_incident(node.world, LOCAL, Incident(happened="x"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"quorum": 0},
        {"within_seconds": 0.0},
        {"escalate": (Step("a", 2.0), Step("b", 1.0))},
        {"escalate": (Step("a", 0.0),)},
    ],
)
def test_what_the_settings_say_of_who_answers_is_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Handling(**wrong)
