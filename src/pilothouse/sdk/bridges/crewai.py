"""Crews of CrewAI: kicked off in a thread, on a copy for each run, with its chunks as they come.

Every call of a tool is a step: the copy's agents and tasks hold tools that stand around the user's. Model calls are
steps by the client library that the model uses (`sdk/egress`). The input are the `inputs` of the crew; the output is
what its last task gives: a model, a JSON object, or text.
"""

import asyncio
import threading
from typing import Any

from crewai import Crew
from crewai.tools import BaseTool
from crewai.tools.agent_tools.base_agent_tools import BaseAgentTool
from crewai.types.streaming import StreamChunkType

from pilothouse.sdk.bridges.blocking import call_tool_blocking
from pilothouse.sdk.bridges.hand_off import hand_off_action, hand_over_blocking
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.context import BlockingContext
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.function import step_name
from pilothouse.sdk.schema import FREE_CODEC, Codec, codec_for
from pilothouse.sdk.scope import attempt_here
from pilothouse.sdk.toolbox import tool_of

FRAMEWORK = "crewai"


class CrewAiBridge:
    wants_history = False
    keeps_trail = False

    def __init__(self, crew: Crew, options: Options) -> None:
        quiet_ends()
        stand_between()
        self._crew = crew
        holders = [*crew.agents, *crew.tasks]
        self.tools = {
            step_name(tool.name): tool_of(tool.name, tool.args_schema.model_json_schema())
            for holder in holders
            for tool in holder.tools or []
        }
        if any(agent.allow_delegation for agent in crew.agents):
            for agent in crew.agents:
                self.tools.update(hand_off_action(_told(agent.role)))
        self.input: Codec = codec_for(dict[str, Any] | None)
        self.output: Codec = FREE_CODEC
        self.description = crew.name or ""

    def read(self, raw: bytes) -> Any:
        return self.input.read(raw)

    async def run(self, attempt: Execution, value: Any) -> object:
        return await attempt.in_agent_thread(_run, (attempt, self._crew.copy(), value), {})


def _run(attempt: Execution, crew: Crew, inputs: dict[str, Any] | None) -> object:
    for agent in crew.agents:
        agent.tools = [_recorded(tool, attempt) for tool in agent.tools or []]
    for task in crew.tasks:
        task.tools = [_recorded(tool, attempt) for tool in task.tools or []]
    crew.stream = True
    context = BlockingContext(attempt)
    streamed = crew.kickoff(inputs=inputs)
    for chunk in streamed:
        if chunk.content and chunk.chunk_type == StreamChunkType.TEXT:
            context.emit(chunk.content)
    result = streamed.result
    if result.pydantic is not None:
        return result.pydantic
    return result.json_dict if result.json_dict is not None else result.raw


def quiet_ends() -> None:
    """CrewAI runs a streamed crew in a thread of its own. That a run waits for a person or is cancelled ends that
    thread, and is no fault whose traceback anybody should see. A second call does nothing."""
    told = threading.excepthook
    if hasattr(told, "is_quiet"):
        return

    def tell(args: Any) -> None:
        if args.exc_type is None or not issubclass(args.exc_type, asyncio.CancelledError):
            told(args)

    tell.is_quiet = True  # type: ignore[attr-defined]
    threading.excepthook = tell


def stand_between() -> None:
    """Puts this file where an agent of a crew gives work or a question to another, for runs of ours. A second call
    does nothing."""
    execute: Any = BaseAgentTool._execute
    if hasattr(execute, "is_between"):
        return

    def executed(tool: Any, agent_name: str | None, task: str, context: str | None = None) -> Any:
        attempt = attempt_here.get()
        if not isinstance(attempt, Execution):
            return execute(tool, agent_name, task, context)
        asked = {"task": task, "context": context}
        other = hand_over_blocking(attempt, _told(agent_name or ""), asked)
        if other.arguments is None:
            return other.message
        return execute(tool, agent_name, str(other.arguments.get("task")), other.arguments.get("context"))

    executed.is_between = True  # type: ignore[attr-defined]
    BaseAgentTool._execute = executed


def _told(role: str) -> str:
    """A role, however the model spells it."""
    return " ".join(role.replace('"', "").split()).casefold()


class RecordedTool(BaseTool):
    """A tool of the user, called once."""

    inner: Any
    attempt: Any

    def _run(self, **kwargs: Any) -> Any:
        return call_tool_blocking(self.attempt, self.name, kwargs, lambda chosen: self.inner.run(**chosen))


def _recorded(tool: Any, attempt: Execution) -> Any:
    if isinstance(tool, RecordedTool):
        return tool
    return RecordedTool(
        name=tool.name,
        description=tool.description,
        args_schema=tool.args_schema,
        result_as_answer=tool.result_as_answer,
        max_usage_count=tool.max_usage_count,
        inner=tool,
        attempt=attempt,
    )
