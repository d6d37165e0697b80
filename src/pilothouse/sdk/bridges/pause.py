"""A framework's own pause as a review: a person sees the call with its raw arguments, and the answer goes back in.

A review is a durable wait, so nothing of the framework has to be kept while it is open: after a restart of everything
the agent is called again, its finished steps are answered from the journal, it pauses at the same place, and here is
the recorded answer. Every bridge maps the same `Verdict` to its framework's words.
"""

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from msgspec import Struct

from pilothouse.domain.review import Answer
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.schema import shown_as_json

EXPIRED = "Nobody answered in time."
REJECTED = "A person has rejected this call."


class Verdict(Struct, frozen=True):
    """What a person said of a call. Allowed: call it, with `arguments` instead when they were edited. Not allowed:
    `message` tells why; with `is_result` that message is the result that the tool is to seem to have given."""

    is_allowed: bool
    arguments: dict[str, Any] | None = None
    message: str = ""
    is_result: bool = False


def ask_about_call(
    attempt: Execution,
    framework: str,
    tool: str,
    arguments: Any,
    *,
    call_id: str = "",
    question: str | None = None,
    more: dict[str, Any] | None = None,
    within: timedelta | None = None,
) -> Coroutine[Any, Any, Verdict]:
    """Asks a person whether a tool may be called with these arguments; `more` is shown beside them. The key of the
    review is reserved in this call, so calls that are asked about together replay in the order of their asking."""
    details: dict[str, Any] = {"framework": framework, "tool": tool, "arguments": shown_as_json(arguments)}
    if call_id:
        details["call_id"] = call_id
    for name, value in (more or {}).items():
        details[name] = shown_as_json(value)
    asked = question or f"May the tool {tool!r} be called with these arguments?"
    return _verdict(attempt.review(asked, details, within))


async def _verdict(asked: Coroutine[Any, Any, Answer]) -> Verdict:
    return verdict_of(await asked)


def ask_freely(
    attempt: Execution, framework: str, question: str, value: Any, within: timedelta | None = None
) -> Coroutine[Any, Any, Answer]:
    """Asks a person what a framework's interrupt asks, `value` being all that it says."""
    return attempt.review(question, {"framework": framework, "value": shown_as_json(value)}, within)


def verdict_of(answer: Answer) -> Verdict:
    """An answer as all frameworks can take it: an edit brings other arguments, a response is the result."""
    match answer.verdict:
        case "approve":
            return Verdict(True)
        case "edit":
            if not isinstance(answer.edited, dict):
                return Verdict(False, message=f"The edited arguments are no JSON object: {answer.edited!r}")
            return Verdict(True, answer.edited)
        case "respond":
            return Verdict(False, message=answer.response or "", is_result=True)
        case "reject":
            return Verdict(False, message=answer.reason or REJECTED)
        case _:
            return Verdict(False, message=EXPIRED)
