"""What people in charge must be able to rely on, whichever framework an agent is built with: told once, as clauses.

Every framework has the same clerk, in `agents/clerk.py`: `fetch` reads a document, `accounts` what is private, and
`transfer` moves money. What they may do is in the settings and in policies, never in the agent. A module of a framework
takes the clauses over with `class TestTheClerk(InCharge)`, and says how its model ends and what its input is.
"""

import json
from typing import Any, ClassVar

import pytest

from pilothouse.domain.label import RULE_OF_TWO
from pilothouse.testing import Answer
from tests.frameworks.stage import call, calls, stage_of, wait_ended

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
