"""Agents and teams of Agno: streamed, on a copy for each run; every call of a tool is a step.

Agno's own `tool_hooks` stand around a tool call, members of a team included. Model calls are steps by the client
library that the model uses (`sdk/egress`). A run that pauses for a person (`requires_confirmation`) ends with an error
that says so: the answer would not come back in.
"""

import contextlib
from collections.abc import Callable
from contextvars import ContextVar
from inspect import isawaitable
from typing import Any

from agno.run.agent import RunErrorEvent, RunOutput, RunPausedEvent
from agno.run.team import TeamRunOutput
from agno.tools.function import Function

from pilothouse.errors import Unsupported
from pilothouse.sdk.bridges.tagged import dump_tagged, load_tagged
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.schema import FREE_CODEC, Codec, codec_for

FRAMEWORK = "agno"
DELTAS = ("RunContent", "TeamRunContent")

here: ContextVar[Execution | None] = ContextVar("agno_attempt", default=None)


class AgnoBridge:
    wants_history = False
    keeps_trail = False

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        wanted = getattr(agent, "input_schema", None)
        self.input: Codec = codec_for(str | dict[str, Any]) if not isinstance(wanted, type) else codec_for(wanted)
        given = getattr(agent, "output_schema", None)
        self.output: Codec = codec_for(given) if isinstance(given, type) else FREE_CODEC
        self.description = getattr(agent, "description", None) or ""

    def read(self, raw: bytes) -> Any:
        return self.input.read(raw)

    async def run(self, attempt: Execution, value: Any) -> object:
        own = self._agent.deep_copy()
        _record(own)
        token = here.set(attempt)
        try:
            return await self._listen(attempt, own, value)
        finally:
            here.reset(token)

    async def _listen(self, attempt: Execution, own: Any, value: Any) -> object:
        final: Any = None
        session = attempt.session.key
        events = own.arun(value, stream=True, stream_events=True, yield_run_output=True, session_id=session)
        async with contextlib.aclosing(events) as stream:
            async for event in stream:
                if isinstance(event, RunOutput | TeamRunOutput):
                    final = event
                elif event.event in DELTAS:
                    if isinstance(event.content, str) and event.content:
                        await attempt.emit(event.content)
                elif isinstance(event, RunPausedEvent):
                    raise Unsupported(what="A pause of an Agno agent", hint="Ask with ctx.review in a tool instead.")
                elif isinstance(event, RunErrorEvent):
                    raise AgnoFailed(event.content or "the run failed")
                else:
                    await attempt.emit_event(FRAMEWORK, event.event, event.to_dict())
        if final is None:
            raise AgnoFailed("the run ended without an output")
        return final.content


class AgnoFailed(Exception):
    """The agent failed, in Agno's own words."""


def _record(agent: Any) -> None:
    agent.tool_hooks = [recorded, *(agent.tool_hooks or [])]
    for member in getattr(agent, "members", None) or []:
        _record(member)


async def recorded(function_name: str, function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Stands around a tool call; outside of a run of ours it only calls."""
    attempt = here.get()
    if attempt is None:
        result = function_call(**arguments)
        return await result if isawaitable(result) else result

    async def body(chosen: dict[str, Any]) -> Any:
        result = function_call(**chosen)
        return await result if isawaitable(result) else result

    shown = {name: value for name, value in arguments.items() if not isinstance(value, Function)}
    return await attempt.effect("tool", function_name, shown, body, dump=dump_tagged, load=load_tagged)
