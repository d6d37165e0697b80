"""A hand-off inside of a framework's object, as a step and as an action: one agent gives its work to another.

The step says only that it was handed over, and has ended before the other agent begins; what that one calls are steps
by themselves. So a policy decides before anything of the other agent happens, and a replay asks nobody again. An agent
that is not allowed to hand over is told so in place of what the other would have said, as it is told of a tool.
"""

from typing import Any

from msgspec import Struct

from pilothouse.domain.policy import Tool, inner_hand_off, inner_hand_off_name
from pilothouse.errors import ActionDenied
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.function import step_name
from pilothouse.sdk.toolbox import tool_of

EVERYBODY = "*"


class HandedOver(Struct, frozen=True):
    """What became of a hand-off. `arguments`: it happens, with these, which a person may have edited. None: it does
    not, and `message` is what its agent is told."""

    arguments: dict[str, Any] | None
    message: str = ""


def hand_off_action(to: str, schema: Any = None) -> dict[str, Tool]:
    """What policies know of a hand-off that can be foreseen, for the tools of a bridge. `schema`: of its arguments."""
    name = step_name(inner_hand_off_name(to))
    return {name: inner_hand_off(to, tool_of(name, schema).schema)}


async def hand_over(
    attempt: Execution, to: str, arguments: dict[str, Any], *, call_id: str = "", scope: str = ""
) -> HandedOver:
    """Asks for it, once. Raises `CancelledError` as every verb does."""

    async def body(chosen: dict[str, Any]) -> dict[str, Any]:
        return {"to": to, "arguments": chosen}

    name = inner_hand_off_name(to)
    try:
        kept = await attempt.effect("tool", name, arguments, body, call_id=call_id, scope=scope)
    except ActionDenied as denied:
        return HandedOver(None, denied.message)
    return HandedOver(kept["arguments"]) if isinstance(kept, dict) else HandedOver(None, str(kept))


def hand_over_blocking(attempt: Execution, to: str, arguments: dict[str, Any], scope: str = "") -> HandedOver:
    """The same from a framework's thread."""
    handed: HandedOver = attempt.from_thread(lambda: hand_over(attempt, to, arguments, scope=scope))
    return handed
