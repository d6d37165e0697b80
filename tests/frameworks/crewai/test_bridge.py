"""Crews of CrewAI, untouched, on a real node with hosts in an environment of their own."""

from typing import ClassVar

import pytest

from pilothouse.testing import Answer
from tests.frameworks.clauses import Bridged, HandingOver
from tests.frameworks.stage import call

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FRAMEWORK = "crewai"
SUPPORT = 'target = "desk:support"\nmode = "event"'
AGENTS = {
    "support": SUPPORT,
    "hurried": f"{SUPPORT}\ntimeout_seconds = 1.0",
    "team": 'target = "desk:team"\nmode = "event"',
    "judges": 'target = "desk:judges"\nmode = "event"',
}


class TestACrew(Bridged):
    """Its input fills the words of its task."""

    INPUT: ClassVar = {"thing": "lamp"}


class TestATeam(HandingOver):
    """One of its agents may delegate."""

    LEAD = "team"
    LEAD_INPUT: ClassVar = {"thing": "lamp"}
    HANDS = call("delegate_work_to_coworker", "t1", coworker="Finder", task="find the lamp", context="it is gone")


async def test_input_and_output_are_typed(desk):
    desk.says(Answer('{"allowed": true, "reason": "enough points"}'))
    assert (await desk.caller.start("judges", "a text")).status == 422
    ended = await desk.run("judges", {"thing": "it"})
    assert ended["output"] == {"allowed": True, "reason": "enough points"}, ended
