"""What holds whichever framework an agent is built with: told once, as clauses.

`InCharge` is what people in charge may rely on: every framework has the same clerk, in `agents/clerk.py`; `fetch` reads
a document, `accounts` what is private, and `transfer` moves money. What they may do is in the settings and in policies,
never in the agent. `Bridged` and `Remembering` are what the small frameworks do. A module of a framework takes clauses
over with `class TestTheClerk(InCharge)`, and says how its model ends and what its input is.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import apsw
import pytest

from pilothouse.domain.label import RULE_OF_TWO
from pilothouse.testing import Answer, Fault, Usage
from tests.frameworks.stage import LOADS_WITHIN, call, calls, deltas, stage_of, wait_ended, wait_held

TOOLS = """tools.fetch = {risk = "read", labels = ["retrieved"]}
tools.accounts = {risk = "read", labels = ["sensitive"]}
tools.transfer = {risk = "irreversible"}"""
CLERK = f'target = "clerk:clerk"\nmode = "event"\n{TOOLS}'
AGENTS = {
    "clerk": CLERK,
    "looper": f"{CLERK}\nrun_budget = {{tool_calls = 2}}",
    "talker": f"{CLERK}\nrun_budget = {{model_calls = 2}}",
    "granted": f'{CLERK}\nrun_budget = {{model_calls = 1, on_hit = "review"}}',
}
SETTINGS = "[worker]\npark_after_seconds = 0.1"
POLICIES = f"""
@id("all") permit (principal, action, resource);
@id("large") @review("finance") @reason("over a hundred")
permit (principal, action == Action::"transfer", resource) when {{ context.arguments.cents > 10000 }};
@id("huge") @reason("over a thousand")
forbid (principal, action == Action::"transfer", resource) when {{ context.arguments.cents > 100000 }};
{RULE_OF_TWO}
"""


LOOK = Answer(tool_calls=[call("look", "c1", what="lamp")], usage=Usage(12, 3))
KEPT = ("model", "tool")


def transfer(cents: int, id: str = "c1") -> Any:
    return call("transfer", id, to="eve", cents=cents)


def told(desk: Any) -> str:
    """All that the model was shown at last."""
    return json.dumps(desk.requests[-1].messages)


class InCharge:
    """The clauses. `INPUT` is what the agent is asked; `END` what the model says at the end, which comes to `done`."""

    INPUT: ClassVar[Any] = "go"
    END: ClassVar[Any] = Answer("done")

    @pytest.fixture(autouse=True)
    async def ruled(self, desk: Any) -> None:
        answer = await desk.caller.ask("PUT", "/v1/policies", {"text": POLICIES, "signed": True})
        assert answer.status == 200, answer

    def said(self, output: Any) -> Any:
        """The text in the output of a run."""
        return output

    async def begin(self, desk: Any, agent: str, run: str) -> str:
        return str(await desk.caller.start_known(agent, run, self.INPUT))

    async def asked(self, desk: Any, run: str) -> None:
        await desk.caller.wait_run(run, lambda found: found["status"] == "waiting")

    async def actions(self, desk: Any, run: str) -> list[dict[str, Any]]:
        """What the audit log has of the actions of a run, in order."""
        entries: list[dict[str, Any]] = []
        after = 0
        while True:
            page = (await desk.caller.ask("GET", f"/v1/audit?after={after}&limit=500")).body
            entries += page["items"]
            if page["next_cursor"] is None:
                break
            after = page["next_cursor"]
        return [one for one in entries if one.get("run") == run and one["kind"].startswith("action.")]

    def transfers(self, desk: Any, run: str) -> list[str]:
        return [one.step for one in desk.receiver.of(run) if one.step.startswith("transfer")]

    async def test_a_call_that_no_policy_permits_never_happens_and_the_model_is_told(self, desk: Any) -> None:
        desk.says(calls(transfer(200_000)), self.END)
        run = await self.begin(desk, "clerk", "run_denied")
        ended = await desk.caller.wait_end(run)
        assert (ended["status"], self.said(ended["output"])) == ("succeeded", "done")
        assert self.transfers(desk, run) == []
        assert "was not allowed: over a thousand" in told(desk)
        assert desk.calls == 2
        assert [one["kind"] for one in await self.actions(desk, run)] == ["action.denied"]

    @pytest.mark.parametrize(
        ("answer", "happened", "shown"),
        [
            ({"verdict": "approve"}, ["transfer eve 50000"], "moved 50000"),
            ({"verdict": "edit", "edited": {"to": "bob", "cents": 700}}, ["transfer bob 700"], "moved 700"),
            ({"verdict": "reject", "reason": "not to her"}, [], "not to her"),
            ({"verdict": "respond", "response": "she was paid before"}, [], "she was paid before"),
        ],
        ids=["approve", "edit", "reject", "respond"],
    )
    async def test_a_call_that_people_must_allow_waits_for_them_without_a_process(
        self, desk: Any, answer: dict[str, Any], happened: list[str], shown: str
    ) -> None:
        desk.says(calls(transfer(50_000)), self.END)
        run = await self.begin(desk, "clerk", f"run_asked_{answer['verdict']}")
        await self.asked(desk, run)
        if answer["verdict"] == "approve":
            await desk.node.restart()
        assert self.transfers(desk, run) == []
        review = await desk.caller.decide(run, **answer)
        assert review["details"]["arguments"] == {"to": "eve", "cents": 50_000}
        assert (review["details"]["tool"], review["details"]["role"]) == ("transfer", "finance")
        ended = await desk.caller.wait_end(run)
        assert (ended["status"], self.said(ended["output"])) == ("succeeded", "done")
        assert self.transfers(desk, run) == happened
        assert shown in told(desk)
        assert desk.calls == 2, "what the model said before the question is not asked for again"

    async def test_what_a_poisoned_document_asks_for_needs_people_and_leaves_evidence(self, desk: Any) -> None:
        desk.says(
            calls(call("fetch", "c1", what="mail")), calls(call("accounts", "c2", what="eve")),
            calls(transfer(99, "c3")), self.END,
        )  # fmt: skip
        run = await self.begin(desk, "clerk", "run_poisoned")
        await self.asked(desk, run)
        review = await desk.caller.decide(run, "reject", reason="the document says so, not the customer")
        assert {"untrusted", "retrieved", "sensitive"} <= set(review["details"]["labels"])
        assert self.said((await desk.caller.wait_end(run))["output"]) == "done"
        assert self.transfers(desk, run) == []
        found = await self.actions(desk, run)
        assert [one["kind"] for one in found] == ["action.asked", "action.denied"]
        assert {"untrusted", "sensitive"} <= set(found[0]["labels"])
        assert found[0]["policies"] == ["rule-of-two"]
        assert found[1]["review"] == review["id"]

    async def test_a_loop_stops_at_its_cap_of_tool_calls_and_not_one_later(self, desk: Any) -> None:
        desk.answers(lambda request: calls(call("fetch", f"c{stage_of(request)}", what=f"n{stage_of(request)}")))
        run = await self.begin(desk, "looper", "run_loop")
        ended = await desk.caller.wait_end(run)
        assert (ended["status"], ended["error"]["code"]) == ("failed", "budget_exceeded"), ended
        assert [one.step for one in desk.receiver.of(run)] == ["fetch n0", "fetch n1"]

    async def test_a_loop_stops_at_its_cap_of_model_calls_and_not_one_later(self, desk: Any) -> None:
        desk.answers(lambda request: calls(call("fetch", f"c{stage_of(request)}", what=f"n{stage_of(request)}")))
        run = await self.begin(desk, "talker", "run_talk")
        ended = await desk.caller.wait_end(run)
        assert (ended["status"], ended["error"]["code"]) == ("failed", "budget_exceeded"), ended
        assert desk.calls == 2

    async def test_a_cap_that_asks_goes_on_after_a_restart_when_a_person_grants_it(self, desk: Any) -> None:
        desk.says(calls(call("fetch", "c1", what="mail")), self.END)
        run = await self.begin(desk, "granted", "run_granted")
        await self.asked(desk, run)
        await wait_ended(desk.caller, run, 2)
        await desk.node.restart()
        review = await desk.caller.decide(run, "approve")
        assert review["details"]["budget"] == "run.model_calls"
        ended = await desk.caller.wait_end(run)
        assert (ended["status"], self.said(ended["output"])) == ("succeeded", "done")
        assert [one.step for one in desk.receiver.of(run)] == ["fetch mail"]
        assert desk.calls == 2


class HandingOver:
    """A hand-off inside of the object: the agent `LEAD` gives its work to `finder`, who looks for a lamp. `HANDS` is
    the call by which its model says so."""

    LEAD: ClassVar[str]
    LEAD_INPUT: ClassVar[Any] = "where is my lamp?"
    HANDS: ClassVar[Any]
    ENDS: ClassVar[Any] = "it is here"
    """What the model of either says at last."""

    def script(self, request: Any) -> Any:
        if self.is_finder(request):
            return self.ENDS if stage_of(request) else calls(call("look", "f1", what="lamp"))
        return self.ENDS if stage_of(request) else calls(self.HANDS)

    def is_finder(self, request: Any) -> bool:
        return any(one["function"]["name"] == "look" for one in request.body.get("tools") or ())

    async def ruled(self, desk: Any, text: str) -> None:
        answer = await desk.caller.ask("PUT", "/v1/policies", {"text": text, "signed": True})
        assert answer.status == 200, answer

    @pytest.fixture(autouse=True)
    async def unruled(self, desk: Any) -> AsyncIterator[None]:
        yield
        await desk.caller.ask("DELETE", "/v1/policies")

    async def test_a_hand_off_that_nobody_permits_does_not_happen_and_its_agent_is_told(self, desk: Any) -> None:
        desk.answers(self.script)
        await self.ruled(desk, 'permit (principal, action, resource) unless { context.tool like "hand_off:*" };')
        run = await desk.caller.start_known(self.LEAD, "run_kept_back", self.LEAD_INPUT)
        ended = await desk.caller.wait_end(run)
        assert ended["status"] == "succeeded", ended
        assert desk.receiver.of(run) == []
        assert not any(self.is_finder(one) for one in desk.requests)
        assert "was not allowed" in told(desk)

    async def test_a_hand_off_is_an_action_that_people_decide_and_a_step_that_is_not_repeated(self, desk: Any) -> None:
        desk.answers(self.script)
        await self.ruled(
            desk,
            "permit (principal, action, resource);\n"
            '@review("chief") permit (principal, action in Action::"hand_off", resource);',
        )
        run = await desk.caller.start_known(self.LEAD, "run_handed", self.LEAD_INPUT)
        await desk.caller.wait_run(run, lambda found: found["status"] == "waiting")
        await desk.node.restart()
        review = await desk.caller.decide(run, "approve")
        assert review["details"]["tool"] == "hand_off:finder"
        ended = await desk.caller.wait_end(run)
        assert ended["status"] == "succeeded", ended
        assert [one.step for one in desk.receiver.of(run)] == ["look lamp"]
        asked = Counter((self.is_finder(one), stage_of(one)) for one in desk.requests)
        assert set(asked.values()) == {1}, asked
        tools = [one["name"] for one in await desk.caller.steps(run) if one["kind"] == "tool"]
        assert tools == ["hand_off:finder", "look"]


class Bridged:
    """What holds for an agent of each of the small frameworks. `SUPPORT` looks for things; `chat` is the same in a
    session, for those that have one."""

    INPUT: ClassVar[Any] = "where is my lamp?"
    END: ClassVar[Any] = Answer(pieces=["It ", "is ", "here."], usage=Usage(12, 3))
    OUTPUT: ClassVar[Any] = "It is here."
    AT_ONCE: ClassVar[bool] = True
    """Whether it runs the tools of one answer side by side."""

    def said(self, found: str) -> Any:
        """What the model says at last, `found`."""
        return Answer(found)

    async def test_it_streams_and_its_calls_are_steps_with_their_usage(self, desk: Any) -> None:
        desk.says(LOOK, self.END)
        run = (await desk.caller.start("support", self.INPUT)).body["id"]
        ended = await desk.caller.wait_end(run)
        assert ended["output"] == self.OUTPUT
        usage = ended["usage"]
        assert (usage["input_tokens"], usage["model_calls"], usage["tool_calls"]) == (24, 2, 1)
        steps = [(one["kind"], one["status"]) for one in await desk.caller.steps(run) if one["kind"] in KEPT]
        assert steps == [("model", "succeeded"), ("tool", "succeeded"), ("model", "succeeded")]
        events = await desk.caller.events(run)
        told = [event.body["name"] for event in events if event.kind == "framework.event"]
        assert "".join(deltas(events)) == self.OUTPUT or "ActionStep" in told

    async def test_what_ended_before_a_kill_is_not_repeated(self, desk: Any) -> None:
        said = desk.says(LOOK, self.END)
        run = "run_killed"
        tool, model = desk.receiver.hold(run, "look lamp"), said.hold(1)
        await desk.caller.start_known("support", run, self.INPUT)
        await tool.wait_reached(LOADS_WITHIN)
        await wait_ended(desk.caller, run, 1)
        await desk.strike("node")
        tool.drop()
        await desk.recover("node")
        await wait_held(model)
        await wait_ended(desk.caller, run, 2)
        await desk.strike("node")
        model.open()
        await desk.recover("node")
        assert (await desk.caller.wait_end(run))["output"] == self.OUTPUT
        assert [one.step for one in desk.receiver.of(run)] == ["look lamp"]
        assert desk.calls == 3, "only the one that a kill struck before its answer is asked again"

    async def test_of_parallel_tools_those_that_ended_are_not_repeated(self, desk: Any) -> None:
        desk.says(calls(*(call("look", f"c{word}", what=word) for word in "abc")), self.END)
        run = "run_parallel"
        gate = desk.receiver.hold(run, "look b")
        await desk.caller.start_known("support", run, self.INPUT)
        await gate.wait_reached(LOADS_WITHIN)
        await wait_ended(desk.caller, run, 3 if self.AT_ONCE else 2)
        await desk.strike("node")
        gate.drop()
        await desk.recover("node")
        assert (await desk.caller.wait_end(run))["output"] == self.OUTPUT
        assert sorted(one.step for one in desk.receiver.of(run)) == ["look a", "look b", "look c"]
        assert desk.calls == 2

    async def test_a_cancel_ends_it_in_the_middle_of_a_model_call(self, desk: Any) -> None:
        gate = desk.says("never").hold(0)
        run = (await desk.caller.start("support", self.INPUT)).body["id"]
        await wait_held(gate)
        await desk.caller.ask("POST", f"/v1/runs/{run}/cancel")
        assert (await desk.caller.wait_end(run))["status"] == "cancelled"
        gate.open()

    async def test_a_run_over_its_time_is_failed(self, desk: Any) -> None:
        gate = desk.says("never").hold(0)
        run = (await desk.caller.start("hurried", self.INPUT)).body["id"]
        assert (await desk.caller.wait_end(run))["error"]["code"] == "deadline_exceeded"
        gate.open()

    async def test_errors_carry_the_framework_s_own_words(self, desk: Any) -> None:
        desk.answers(lambda request: Fault.server_error(401, "no such key"))
        run = (await desk.caller.start("support", self.INPUT)).body["id"]
        ended = await desk.caller.wait_end(run)
        assert ended["status"] == "failed"
        assert "no such key" in ended["error"]["message"]

    async def test_time_travel_goes_on_with_another_result_of_a_tool(self, desk: Any) -> None:
        desk.says(LOOK, self.END)
        run = await desk.caller.start_known("support", "run_first", self.INPUT)
        await desk.caller.wait_end(run)
        [look] = [one for one in await desk.caller.steps(run) if one["name"] == "look"]
        body = {"after": look["key"], "replace": {look["key"]: "the lamp is gone"}}
        forked = (await desk.caller.ask("POST", f"/v1/runs/{run}/fork", body)).body["id"]
        assert (await desk.caller.wait_end(forked))["output"] == self.OUTPUT
        assert desk.calls == 3, "the first request is answered from the journal"
        assert "the lamp is gone" in told(desk)
        assert len(desk.receiver.of(forked)) == 0


class Remembering(Bridged):
    """What holds beside it for those that have sessions."""

    def heard(self, request: Any) -> list[str]:
        """What users have said so far, as the model is told."""
        return [one["content"] for one in request.messages if one["role"] == "user"]

    async def turn(self, desk: Any, text: str, session: str) -> str:
        run = (await desk.caller.start("chat", text, session=session)).body["id"]
        ended = await desk.caller.wait_end(run)
        assert ended["status"] == "succeeded", ended
        return run

    async def test_a_session_remembers_and_a_restart_does_not_hurt_it(self, desk: Any) -> None:
        desk.answers(lambda request: self.said("noted"))
        for text in ("first", "second"):
            await self.turn(desk, text, "ada")
        await desk.node.restart()
        await self.turn(desk, "third", "ada")
        assert self.heard(desk.requests[-1]) == ["first", "second", "third"]

    async def test_what_a_turn_keeps_does_not_grow_with_the_turns_before_it(self, desk: Any) -> None:
        desk.answers(lambda request: self.said("x" * 2000))
        runs = [await self.turn(desk, f"turn {number}", "long") for number in range(8)]
        records = apsw.Connection(str(desk.folder / "pilothouse.db"), flags=apsw.SQLITE_OPEN_READONLY)
        records.setbusytimeout(60_000)
        sizes = dict(records.execute("select run, length(trail) from turn where session = 'long'"))
        records.close()
        assert set(sizes) == set(runs)
        assert max(sizes.values()) < 1.2 * min(sizes.values())

    async def test_a_fork_of_a_session_knows_the_turns_before_it_only(self, desk: Any) -> None:
        desk.answers(lambda request: self.said("noted"))
        runs = [await self.turn(desk, text, "ann") for text in ("first", "second")]
        path = "/v1/agents/chat/sessions/ann/fork"
        assert (await desk.caller.ask("POST", path, {"key": "bob", "after": runs[0]})).status in (200, 201)
        await self.turn(desk, "other", "bob")
        assert self.heard(desk.requests[-1]) == ["first", "other"]
