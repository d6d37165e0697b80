"""Tools of frameworks that run in threads, as steps: a function that blocks its thread until the step has ended.

The framework's thread waits on the loop for the step, and the tool itself runs in a thread of the steps, with the
context variables of the step. Who cancels the attempt ends the wait, and with it the framework's thread.
"""

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from pilothouse.errors import ActionDenied
from pilothouse.sdk.bridges.tagged import dump_tagged, load_tagged
from pilothouse.sdk.execution import Execution


def call_tool_blocking(
    attempt: Execution,
    name: str,
    arguments: dict[str, Any],
    call: Callable[[dict[str, Any]], Any],
    scope: str = "",
    *,
    tells_denial: bool = True,
) -> Any:
    """The result of `call(arguments)`, run once. Raises what it raised, now and on every replay. That it may not be
    called is told in place of its result: frameworks answer what a tool raises by asking the model to try again, and
    people would be asked again. Code that calls the tool is better stopped: without `tells_denial` it is raised."""

    async def body(chosen: dict[str, Any]) -> Any:
        result = await attempt.in_step_thread(call, (chosen,), {})
        return await result if isawaitable(result) else result

    try:
        return attempt.from_thread(
            lambda: attempt.effect("tool", name, arguments, body, dump=dump_tagged, load=load_tagged, scope=scope)
        )
    except ActionDenied as denied:
        if not tells_denial:
            raise
        return f"Error: {denied.message}"
