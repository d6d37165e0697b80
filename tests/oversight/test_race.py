"""Verdicts, votes, holds, expiry, cancels, appeals, incidents and restarts at the same instant, in many schedules (G1,
G2, G3, G5, I11).

A schedule is a list of acts, one after the other or all at once while the clock stands. What must be true afterwards is
read from what the tool did, from the run, and from the audit log. The checks are shown to fail on three planted bugs.
`make races` plays 1,000 schedules, `make test` the first of them.
"""

import asyncio
import json
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pilothouse import Context, agent, tool
from pilothouse.domain.evidence import leaves_of
from pilothouse.domain.hold import Selector
from pilothouse.domain.principal import LOCAL
from pilothouse.domain.run import TERMINAL
from pilothouse.engine import action, appeal, evidence, hold, policy, vote
from pilothouse.engine.appeal import Appeal, file_appeal
from pilothouse.engine.incident import Incident, open_incident
from pilothouse.engine.run import start_run
from pilothouse.errors import ActionDenied, PilothouseError, ReviewClosed
from pilothouse.testing import LocalNode
from tests.engine.agents import command
from tests.oversight.people import decide, hire

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCHEDULES = int(os.environ.get("PILOTHOUSE_SCHEDULES", "60"))
NODE_SERVES = 20
"""Schedules of one node; a replay before policies are changed reads what went before."""

RULES = """@id("exempt") @review("legal") @quorum("2") @within("8h")
permit (principal, action == Action::"race_exempt", resource);"""
NONE = 'permit (principal, action == Action::"any_tool", resource);'
DONE: list[str] = []


@tool(risk="consequential", name="race_exempt")
async def exempt(package: str) -> str:
    DONE.append(package)
    return f"{package} is exempt"


@agent(mode="event")
async def desk(ctx: Context, package: str) -> str:
    try:
        return await ctx.call_tool(exempt, package=package)
    except ActionDenied as denied:
        return f"denied: {denied.text}"


VOTES = ("approve-ada", "approve-bob", "approve-dan", "approve-customer", "approve-eve", "approve-robot")
ACTS = (*VOTES, *VOTES[:2], *VOTES[:2], "edit", "reject", "respond", "expire", "cancel", "retire", "restart",
        "pause", "stop", "lift", "appeal", "grant-ada", "grant-eve", "deny-bob", "incident", "close-ada",
        "close-bob")  # fmt: skip


class Stage:
    """A node with people. Dan has no role, and votes in the name of Cleo, who has it."""

    def __init__(self):
        self.left = NODE_SERVES

    async def open(self):
        self.node = LocalNode({"desk": desk})
        await self.node.open()
        kinds = {"ada": "legal", "bob": "legal", "cleo": "legal", "customer": "legal", "eve": "sales", "dan": "sales"}
        self.people = {name: await hire(self.node, name, role) for name, role in kinds.items()}
        self.people["robot"] = await hire(self.node, "robot", "legal", kind="service")
        await vote.delegate(self.node.world, self.people["cleo"], "dan", ["legal"], 300 * 86_400)
        await policy.activate(self.node.world, LOCAL, RULES, "enforce", signed=True)

    async def close(self):
        await self.node.close()

    async def told(self, after):
        found = []
        for segment in await evidence.read_audit(self.node.world, "default", after, 10_000):
            found += [json.loads(leaf) for seq, leaf in leaves_of(segment, after)]
        return found

    async def play(self, acts, together):
        """One schedule; raises AssertionError when something that must be true is not."""
        node = self.node
        DONE.clear()
        start = await self.told(0)
        before = start[-1]["seq"]
        started = await start_run(node.world, command("desk", b'"left-pad"', wants="later", by="customer"))
        run = started.run.id
        asked = await node.wait_review(run)
        scene = Scene(self, run, asked, together)
        if together:
            await asyncio.gather(*(scene.act(one) for one in acts if one != "restart"), return_exceptions=True)
        else:
            for one in acts:
                await scene.act(one)
        await scene.clear_up()
        check(await node.get(run), await self.told(before), list(DONE), scene)
        if scene.is_retired:
            await policy.activate(node.world, LOCAL, RULES, "enforce", signed=True)
        await node.cancel(run)
        await node.settle()


class Scene:
    def __init__(self, stage, run, asked, together):
        self.stage, self.run, self.asked, self.together = stage, run, asked, together
        self.node, self.people = stage.node, stage.people
        self.holds = []
        self.is_retired = False
        self.held_before_done = False

    async def act(self, name):
        try:
            await self._act(name)
        except PilothouseError:
            return

    async def _act(self, name):
        node, people = self.node, self.people
        kind, _, who = name.partition("-")
        match kind:
            case "approve":
                await decide(node, await self.open_review(), people[who])
            case "edit":
                await decide(node, await self.open_review(), people["ada"], "edit", edited={"package": "right-pad"})
            case "reject":
                await decide(node, await self.open_review(), people["bob"], "reject")
            case "respond":
                await decide(node, await self.open_review(), people["bob"], "respond", response="no")
            case "expire":
                await node.advance(hours=9)
            case "cancel":
                await node.cancel(self.run)
            case "retire":
                self.is_retired = True
                await policy.activate(node.world, LOCAL, NONE, "enforce", signed=True)
            case "restart":
                await node.restart()
            case "pause" | "stop":
                placed = await hold.place_hold(node.world, LOCAL, kind, Selector(agent="desk"), "a race")
                self.held_before_done |= kind == "stop" and not DONE
                self.holds.append(placed.id)
            case "lift":
                await self.lift()
            case "appeal":
                if not self.together:  # about what has not ended there is none, so most would come too soon
                    await node.settle()
                await file_appeal(node.world, people["customer"], self.run, Appeal(reason="not so"))
            case "incident":
                happened = Incident(happened="odd", run=self.run)
                await open_incident(node.world, people["customer"], happened)
            case "grant" | "deny":
                asked, verdict = await self.open_review("appeal"), "edit" if kind == "grant" else "reject"
                await decide(node, asked, people[who], verdict, edited="another", reason="looked at again")
            case "close":
                await decide(node, await self.open_review("incident"), people[who], "respond", response="mended")

    async def open_review(self, kind="action"):
        """Of that kind; without one, what was asked first, which by then takes no such answer any more."""
        found = [
            one for one in await self.node.reviews(self.run) if (one.kind if one.kind in LATER else "action") == kind
        ]
        if not found and kind in LATER:
            raise ReviewClosed(review=kind, status="not there")
        return found[0] if found else self.asked

    async def lift(self):
        while self.holds:
            await hold.lift_hold(self.node.world, LOCAL, self.holds.pop())

    async def clear_up(self):
        await self.node.settle()
        await self.lift()
        await self.node.settle()


def check(run, log, done, scene):
    """What must be true whatever happened, as receivers, the run and the log tell."""
    actions = {}
    for one in log:
        if one["kind"].startswith("action."):
            actions.setdefault(one["id"], []).append(one["kind"].removeprefix("action."))
    counts = Counter(done)
    # A restart may come between the effect and the commit that tells of it; then the log says that nobody knows.
    assert len(done) <= 1 + sum(kinds.count("unknown") for kinds in actions.values()), (done, actions)
    assert set(counts) <= {"left-pad", "right-pad"}
    for kinds in actions.values():
        outcomes = [kind for kind in kinds if kind in ("done", "failed", "unknown")]
        assert kinds.count("allowed") == len(outcomes), kinds
        assert kinds.count("done") <= 1, kinds
    for id in {one["id"] for one in log if one["id"].startswith("rev_")}:
        ends = [one["kind"] for one in log if one["id"] == id and one["kind"] in ENDS]
        assert len(ends) <= 1, ends
    ballots = {}
    later = [one for one in log if one.get("step") in LATER]
    check_later(run, log, later)
    log = [one for one in log if one not in later]
    for one in log:
        if one["kind"] == "review.voted":
            ballots.setdefault(one["id"], []).append(one.get("on_behalf_of") or one["by"])
        elif one["kind"] == "review.decided" and one["verdict"] == "edit":
            ballots.setdefault("edited", []).append(one["by"])
    for voters in ballots.values():
        assert len(voters) == len(set(voters)), voters
        assert set(voters) <= {"ada", "bob", "cleo"}, voters
    if done:
        granting = [one["review"] for one in log if one["kind"] == "action.allowed" and "review" in one]
        assert granting, "nobody was asked"
        voters = set(ballots.get(granting[-1], ()))
        if done == ["right-pad"]:
            voters |= set(ballots.get("edited", ()))
        assert len(voters) >= 2, voters
        assert run.output == f"{done[0]} is exempt" or run.status == "cancelled"
        assert not scene.held_before_done, "a stop was placed before it ran"
    verdicts = [one["verdict"] for one in log if one["kind"] == "review.decided"]
    if verdicts and verdicts[-1] in ("reject", "respond"):
        assert not done, verdicts
    ended = [one for one in log if one["kind"] == "run.ended" and one["id"] == run.id]
    assert len(ended) <= 1
    if run.status in TERMINAL and run.status != "cancelled" and not done:
        assert run.output == "no" or run.output.startswith("denied: "), run.output


LATER = ("appeal", "incident")


def check_later(run, log, later):
    """What came after the run: an outcome is superseded exactly with the appeal that was granted, by nobody who decided
    in the run or had it decided in their name, and nobody closes the incident that they opened."""
    decided = [one for one in later if one["kind"] == "review.decided"]
    granted = [one for one in decided if one["verdict"] == "edit"]
    assert len(granted) == sum(one["kind"] == "run.overridden" for one in log) == run.run.superseded
    deciders = {"customer"}
    for one in log:
        if one["kind"] == "review.decided" and one not in later:
            deciders |= set(one["by"].split(", "))
    for one in decided:
        assert one["by"] != "customer"
        assert one["step"] == "incident" or one["by"] not in deciders, (one, deciders)


ENDS = ("review.decided", "review.expired", "review.cancelled")


class Theatre:
    """One loop for all schedules, and a new node now and then."""

    def __init__(self):
        self.runner = asyncio.Runner()
        self.stage = None

    def play(self, acts, together):
        self.runner.run(self._play(acts, together))

    async def _play(self, acts, together):
        if self.stage is None:
            self.stage = Stage()
            await self.stage.open()
        stage = self.stage
        stage.left -= 1
        try:
            await stage.play(acts, together)
        except BaseException:
            stage.left = 0
            raise
        finally:
            if stage.left <= 0:
                self.stage = None
                await stage.close()

    def close(self):
        if self.stage is not None:
            self.runner.run(self.stage.close())
        self.runner.close()


@pytest.fixture(scope="module")
def theatre():
    made = Theatre()
    yield made
    made.close()


@settings(max_examples=SCHEDULES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(acts=st.lists(st.sampled_from(ACTS), min_size=2, max_size=7), together=st.booleans())
@example(acts=["approve-ada", "restart", "reject", "restart", "approve-ada", "retire"], together=False)
@example(acts=["approve-bob", "approve-ada", "restart", "restart"], together=False)
@example(acts=["edit", "approve-bob"], together=False)
@example(acts=["approve-ada", "stop", "approve-bob", "lift"], together=False)
@example(acts=["approve-ada", "approve-bob", "stop", "cancel", "reject"], together=True)
@example(acts=["approve-bob", "approve-dan", "appeal", "grant-eve", "grant-ada"], together=False)
@example(acts=["cancel", "appeal", "appeal", "grant-ada", "grant-eve", "deny-bob"], together=False)
@example(acts=["incident", "close-ada", "close-bob", "reject"], together=True)
def test_whatever_races_the_tool_runs_at_most_once_and_only_what_was_approved(theatre, acts, together):
    theatre.play(acts, together)


async def nobody(*facts):
    return []


@pytest.mark.parametrize(
    ("place", "name", "bug", "acts"),
    [
        (vote, "standing", lambda *facts: "granted", ["approve-ada"]),
        (vote, "refusal", lambda *facts: None, ["approve-customer", "approve-ada"]),
        (action, "_suffices", lambda answer, details, ask: True, ["edit"]),
        (appeal, "deciders", nobody, ["approve-ada", "approve-bob", "appeal", "grant-ada"]),
    ],
    ids=["a quorum of one", "anybody votes", "an edit passes alone", "who decided answers the appeal"],
)
def test_the_check_fails_on_a_planted_bug(theatre, monkeypatch, place, name, bug, acts):
    monkeypatch.setattr(place, name, bug)
    with pytest.raises(AssertionError):
        theatre.play(acts, False)


def test_a_stop_that_is_not_seen_is_found(theatre, monkeypatch):
    monkeypatch.setattr(hold, "_act", lambda world, one: asyncio.sleep(0))
    monkeypatch.setattr(hold, "hold_over", lambda world, run: None)
    monkeypatch.setattr(action, "hold_over_call", lambda world, run, tool: None)
    with pytest.raises(AssertionError, match="a stop was placed"):
        theatre.play(["approve-ada", "stop", "approve-bob"], False)
