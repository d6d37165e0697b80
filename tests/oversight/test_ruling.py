"""A ruling takes one question to the policies, also where they yield to what people approve."""

import cedarpy
import pytest

from pilothouse.domain.policy import PolicyRequest, Tool
from pilothouse.engine.policy import ruling_under
from pilothouse.security.cedar import CedarLanguage

TOOL = Tool("pay", "irreversible", schema=b'{"type":"object","properties":{"cents":{"type":"integer"}}}')
PERMIT = 'permit (principal, action == Action::"pay", resource);'
YIELDS = '@id("ask") @review("owner") forbid (principal, action, resource) unless { context.approved };'
NEVER = (
    'forbid (principal, action == Action::"pay", resource) '
    "when { context.arguments has cents && context.arguments.cents > 9 };"
)
OVERFLOWS = (
    'forbid (principal, action == Action::"pay", resource) '
    "when { context.arguments has cents && context.arguments.cents * 9223372036854775807 > 1 };"
)


@pytest.fixture
def asked(monkeypatch):
    """How many actions each call of the library was about."""
    counts = []
    batch = cedarpy.is_authorized_batch

    def count(requests, *more):
        counts.append(len(requests))
        return batch(requests, *more)

    monkeypatch.setattr(cedarpy, "is_authorized_batch", count)
    return counts


def ruling(text, cents=5, *, approved=False):
    compiled = CedarLanguage().compile(text, [TOOL], ["desk"])
    request = PolicyRequest(tenant="default", agent="desk", release="r1", tool="pay", risk="irreversible",
                            arguments=b'{"cents":%d}' % cents, approved=approved)  # fmt: skip
    return ruling_under(compiled, request)


@pytest.mark.parametrize(
    ("text", "cents", "approved", "verdict", "about"),
    [
        (PERMIT, 5, False, "allow", 1),
        ("", 5, False, "deny", 1),
        (PERMIT + YIELDS, 5, False, "ask", 2),
        (PERMIT + YIELDS, 5, True, "allow", 1),
        (YIELDS, 5, False, "deny", 2),  # who approves it is asked in vain: nothing permits it
        (PERMIT + YIELDS + NEVER, 10, False, "deny", 2),
        (PERMIT + YIELDS + NEVER, 10, True, "deny", 1),
    ],
)
def test_one_call_answers_whether_people_are_asked(asked, text, cents, approved, verdict, about):
    assert ruling(text, cents, approved=approved).verdict == verdict
    assert asked == [about]


def test_what_cannot_be_evaluated_in_either_question_is_a_deny(asked):
    assert ruling(PERMIT + YIELDS + OVERFLOWS, 3).verdict == "deny"
    assert len(asked) == 1
