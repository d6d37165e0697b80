"""What an interrupt of a graph asks of a person, and what the graph is resumed with.

The shapes in which the framework's own middleware and the inboxes of agents ask about tool calls are known: each call
is a review with its raw arguments, and its verdict becomes the decision they expect. Anything else is shown as it is,
and `interrupt()` returns True, what was edited, the response, or False.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from pilothouse.domain.review import Answer
from pilothouse.sdk.bridges.langgraph_saver import NAME
from pilothouse.sdk.bridges.pause import Verdict, ask_about_call, ask_freely
from pilothouse.sdk.execution import Execution

ALL = ("approve", "edit", "reject", "respond")


def ask_about(attempt: Execution, interrupt: str, value: Any) -> Coroutine[Any, Any, Any]:
    """A review about an interrupt, or one for each call that it asks about; gives what resumes the graph. Keys are
    reserved in this call."""
    if isinstance(value, dict) and isinstance(value.get("action_requests"), list):
        return _decide_all(attempt, interrupt, value)
    if isinstance(value, dict) and value.get("type") == "tool_approval":
        name = str(value.get("name"))
        asked = ask_about_call(attempt, NAME, name, value.get("args", {}), call_id=str(value.get("tool_call_id")))
        return _decide_one(asked, name, ALL)
    first = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(first, dict) and isinstance(first.get("action_request"), dict):
        action = first["action_request"]
        asked = ask_about_call(attempt, NAME, str(action.get("action")), action.get("args", {}), call_id=interrupt)
        return _decide_inbox(asked, action, isinstance(value, list))
    question = value if isinstance(value, str) else "The graph asks; the details have what it says."
    if isinstance(value, dict) and isinstance(value.get("question"), str):
        question = value["question"]
    return _resume_with(ask_freely(attempt, NAME, question, {"interrupt": interrupt, "says": value}))


def _decide_all(attempt: Execution, interrupt: str, value: dict[str, Any]) -> Coroutine[Any, Any, Any]:
    """Decisions for the human-in-the-loop middleware."""
    allowed = {one.get("action_name"): one.get("allowed_decisions", ALL) for one in value.get("review_configs", ())}
    decisions = []
    for number, action in enumerate(value["action_requests"]):
        name = str(action.get("name"))
        asked = ask_about_call(attempt, NAME, name, action.get("args", {}), call_id=f"{interrupt}:{number}")
        decisions.append(_decide_one(asked, name, allowed.get(name, ALL)))
    return _gathered(decisions)


async def _gathered(decisions: list[Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
    return {"decisions": list(await asyncio.gather(*decisions))}


async def _decide_one(asked: Coroutine[Any, Any, Verdict], name: str, allowed: Sequence[str]) -> dict[str, Any]:
    """A decision that is allowed for this call; what is not, is a refusal that says so."""
    verdict = await asked
    if verdict.is_allowed and verdict.arguments is None:
        return {"type": "approve"}
    if verdict.is_allowed and "edit" in allowed:
        return {"type": "edit", "edited_action": {"name": name, "args": verdict.arguments}}
    if verdict.is_allowed:
        return {"type": "reject", "message": f"The arguments of {name} may not be edited, so it was not called."}
    return {"type": "respond" if verdict.is_result and "respond" in allowed else "reject", "message": verdict.message}


async def _decide_inbox(asked: Coroutine[Any, Any, Verdict], action: dict[str, Any], is_list: bool) -> Any:
    """A response in the form of agent inboxes."""
    verdict = await asked
    if verdict.is_allowed and verdict.arguments is None:
        response: dict[str, Any] = {"type": "accept", "args": None}
    elif verdict.is_allowed:
        response = {"type": "edit", "args": {"action": action.get("action"), "args": verdict.arguments}}
    else:
        response = {"type": "response" if verdict.is_result else "ignore", "args": verdict.message}
    return [response] if is_list else response


async def _resume_with(asked: Coroutine[Any, Any, Answer]) -> Any:
    answer = await asked
    match answer.verdict:
        case "approve":
            return True
        case "edit":
            return answer.edited
        case "respond":
            return answer.response
        case _:
            return False
