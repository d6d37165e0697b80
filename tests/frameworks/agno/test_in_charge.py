"""People in charge of an agent of this framework: the clauses that hold for every one."""

import pytest

from tests.frameworks import clauses
from tests.frameworks.clauses import InCharge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

FRAMEWORK = "agno"
AGENTS = clauses.AGENTS
SETTINGS = clauses.SETTINGS


class TestTheClerk(InCharge):
    """As it is."""
