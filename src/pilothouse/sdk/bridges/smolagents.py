"""Agents of smolagents: a run in a thread, on a copy with a memory of its own, since one object holds one conversation.

Every call of a tool is a step, also in the code that a `CodeAgent` writes, and in agents that an agent manages. Model
calls are steps by the client library that the model uses (`sdk/egress`), streamed or not.
"""

import copy
from functools import partial
from typing import Any

from smolagents import AgentMemory, CodeAgent, FinalAnswerStep, MultiStepAgent, Tool, ToolOutput
from smolagents.models import ChatMessageStreamDelta

from pilothouse.domain import policy
from pilothouse.sdk.bridges.blocking import call_tool_blocking
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.context import BlockingContext
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.function import step_name
from pilothouse.sdk.schema import FREE_CODEC, Codec, codec_for
from pilothouse.sdk.toolbox import tool_of

FRAMEWORK = "smolagents"
OWN_TOOLS = ("final_answer",)


class SmolagentsBridge:
    wants_history = False
    keeps_trail = False

    def __init__(self, agent: MultiStepAgent, options: Options) -> None:
        self._agent = agent
        self.tools: dict[str, policy.Tool] = {}
        self._find_tools(agent)
        self.input: Codec = codec_for(str)
        self.output: Codec = FREE_CODEC
        self.description = getattr(agent, "description", None) or ""

    def _find_tools(self, agent: MultiStepAgent) -> None:
        for name, tool in agent.tools.items():
            if name not in OWN_TOOLS:
                needed = [one for one, says in tool.inputs.items() if not says.get("nullable")]
                schema = {"type": "object", "properties": tool.inputs, "required": needed}
                self.tools[step_name(name)] = tool_of(name, schema)
        for managed in agent.managed_agents.values():
            self._find_tools(managed)

    def read(self, raw: bytes) -> Any:
        return self.input.read(raw)

    async def run(self, attempt: Execution, value: Any) -> object:
        return await attempt.in_agent_thread(_run, (attempt, _copy(self._agent, attempt, ""), value), {})


def _run(attempt: Execution, agent: MultiStepAgent, task: str) -> object:
    context = BlockingContext(attempt)
    output: object = None
    for step in agent.run(task, stream=True):
        if isinstance(step, ChatMessageStreamDelta):
            if step.content:
                context.emit(step.content)
        elif isinstance(step, FinalAnswerStep):
            output = step.output
        else:
            name = type(step).__name__
            shown = {"observation": step.observation} if isinstance(step, ToolOutput) else _shown(step)
            attempt.from_thread(partial(attempt.emit_event, FRAMEWORK, name, shown))
    if output is not None and type(output).__module__.startswith("smolagents"):
        output = output.to_string()  # type: ignore[attr-defined]  # a picture or a sound of the library's own
    return output


def _shown(step: Any) -> Any:
    return step.dict() if hasattr(step, "dict") else str(step)


def _copy(agent: MultiStepAgent, attempt: Execution, scope: str) -> MultiStepAgent:
    """What one run changes is its own; model, prompts and settings are the user's."""
    own = copy.copy(agent)
    own.memory = AgentMemory(agent.memory.system_prompt.system_prompt)
    own.state = {}
    own.tools = {
        name: _recorded(tool, attempt, scope, isinstance(agent, CodeAgent)) for name, tool in agent.tools.items()
    }
    own.managed_agents = {
        name: _copy(managed, attempt, f"{scope}/{name}") for name, managed in agent.managed_agents.items()
    }
    own.monitor = copy.copy(agent.monitor)
    own.monitor.reset()
    if hasattr(agent.model, "generate_stream"):
        own.stream_outputs = True
    if isinstance(own, CodeAgent):
        own.python_executor = own.create_python_executor()
    return own


def _recorded(tool: Tool, attempt: Execution, scope: str, is_code: bool) -> Tool:
    if tool.name in OWN_TOOLS:
        return tool
    own = copy.copy(tool)
    names = list(tool.inputs)

    def forward(*args: Any, **kwargs: Any) -> Any:
        arguments = {**dict(zip(names, args, strict=False)), **kwargs}
        return call_tool_blocking(
            attempt, tool.name, arguments, lambda chosen: tool.forward(**chosen), scope, tells_denial=not is_code
        )

    own.forward = forward
    return own
