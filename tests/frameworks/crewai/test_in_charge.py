"""People in charge of an agent of this framework: the clauses that hold for every one."""

from typing import ClassVar

import pytest

from tests.frameworks import clauses
from tests.frameworks.clauses import InCharge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FRAMEWORK = "crewai"
AGENTS = clauses.AGENTS
SETTINGS = clauses.SETTINGS


class TestTheClerk(InCharge):
    """Its input fills the words of its task."""

    INPUT: ClassVar = {"thing": "work"}
