"""People in charge of an agent of this framework: the clauses that hold for every one."""

from typing import ClassVar

import pytest

from tests.frameworks import clauses
from tests.frameworks.clauses import InCharge, transfer
from tests.frameworks.stage import calls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FRAMEWORK = "crewai"
AGENTS = clauses.AGENTS
SETTINGS = clauses.SETTINGS


class TestTheClerk(InCharge):
    """Its input fills the words of its task."""

    INPUT: ClassVar = {"thing": "work"}

    async def test_a_run_that_waits_for_people_leaves_no_traceback(self, desk):
        desk.says(calls(transfer(50_000)), self.END)
        seen = desk.node.log.stat().st_size
        run = await self.begin(desk, "clerk", "run_quiet")
        await self.asked(desk, run)
        await desk.caller.decide(run, "reject")
        assert (await desk.caller.wait_end(run))["status"] == "succeeded"
        assert "Traceback" not in desk.node.read_log(seen)
