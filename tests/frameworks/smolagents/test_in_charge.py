"""People in charge of an agent of this framework: the clauses that hold for every one."""

import pytest

from tests.frameworks import clauses
from tests.frameworks.clauses import InCharge
from tests.frameworks.stage import call, calls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FRAMEWORK = "smolagents"
AGENTS = clauses.AGENTS
SETTINGS = clauses.SETTINGS


class TestTheClerk(InCharge):
    """Its model ends with a tool."""

    END = calls(call("final_answer", "end", answer="done"))
