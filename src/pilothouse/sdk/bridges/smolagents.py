"""Agents of smolagents: a run in a thread, on a copy with a memory of its own, since one object holds one conversation.

Every call of a tool is a step, also in the code that a `CodeAgent` writes, and in agents that an agent manages. Model
calls are steps by the client library that the model uses (`sdk/egress`), streamed or not.
"""

import copy
from functools import partial
from typing import Any

from smolagents import AgentError, AgentMemory, CodeAgent, FinalAnswerStep, MultiStepAgent, Tool, ToolOutput
from smolagents.memory import ActionStep, PlanningStep, TaskStep, ToolCall
from smolagents.models import ChatMessage, ChatMessageStreamDelta, MessageRole
from smolagents.monitoring import Timing

from pilothouse.domain import policy
from pilothouse.sdk.bridges.blocking import call_tool_blocking
from pilothouse.sdk.bridges.hand_off import hand_off_action, hand_over_blocking
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.context import BlockingContext
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.function import step_name
from pilothouse.sdk.schema import FREE_CODEC, Codec, codec_for, shown_as_json, write_json
from pilothouse.sdk.toolbox import tool_of

FRAMEWORK = "smolagents"
OWN_TOOLS = ("final_answer",)


class SmolagentsBridge:
    wants_history = False
    keeps_trail = True

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
        for name, managed in agent.managed_agents.items():
            self.tools.update(hand_off_action(name))
            self._find_tools(managed)

    def read(self, raw: bytes) -> Any:
        return self.input.read(raw)

    async def run(self, attempt: Execution, value: Any) -> object:
        own, memory = _copy(self._agent, attempt, ""), attempt.session
        kept = [step for trail in memory.trails for step in trail]
        own.memory.steps = [_load_step(step) for step in kept]
        output = await attempt.in_agent_thread(_run, (attempt, own, value), {})
        new = [shown_as_json(_dump_step(step)) for step in own.memory.steps[len(kept) :]]
        if memory.wants_whole(len(write_json(kept)) + len(write_json(new))):
            memory.keep_whole([*kept, *new])
        else:
            memory.keep_trail(new)
        return output


def _run(attempt: Execution, agent: MultiStepAgent, task: str) -> object:
    context = BlockingContext(attempt)
    output: object = None
    for step in agent.run(task, stream=True, reset=False):
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


def _dump_step(step: Any) -> dict[str, Any]:
    """What a later turn is shown of a step, without the conversation before it. Pictures are left out."""
    if isinstance(step, TaskStep):
        return {"task": step.task}
    if isinstance(step, PlanningStep):
        return {"plan": step.plan}
    return {
        "step": step.step_number,
        "calls": [{"id": one.id, "name": one.name, "arguments": one.arguments} for one in step.tool_calls or []],
        "said": step.model_output,
        "code": step.code_action,
        "seen": step.observations,
        "error": None if step.error is None else str(step.error),
        "is_final": step.is_final_answer,
    }


def _load_step(kept: dict[str, Any]) -> Any:
    if "task" in kept:
        return TaskStep(kept["task"])
    if "plan" in kept:
        answer = ChatMessage(role=MessageRole.ASSISTANT, content=kept["plan"])
        return PlanningStep([], answer, kept["plan"], Timing(0.0, 0.0))
    error = None
    if kept["error"] is not None:
        error = AgentError.__new__(AgentError, kept["error"])  # made otherwise it would be logged
        error.message = kept["error"]
    return ActionStep(
        kept["step"],
        Timing(0.0, 0.0),
        tool_calls=[ToolCall(**one) for one in kept["calls"]] or None,
        error=error,
        model_output=kept["said"],
        code_action=kept["code"],
        observations=kept["seen"],
        is_final_answer=kept["is_final"],
    )


def _copy(agent: MultiStepAgent, attempt: Execution, scope: str) -> MultiStepAgent:
    """What one run changes is its own; model, prompts and settings are the user's."""
    own = copy.copy(agent)
    own.memory = AgentMemory(agent.memory.system_prompt.system_prompt)
    own.state = {}
    own.tools = {
        name: _recorded(tool, attempt, scope, isinstance(agent, CodeAgent)) for name, tool in agent.tools.items()
    }
    own.managed_agents = {
        name: _handed(_copy(managed, attempt, f"{scope}/{name}"), name, attempt, scope, isinstance(agent, CodeAgent))
        for name, managed in agent.managed_agents.items()
    }
    own.monitor = copy.copy(agent.monitor)
    own.monitor.reset()
    if hasattr(agent.model, "generate_stream"):
        own.stream_outputs = True
    if isinstance(own, CodeAgent):
        own.python_executor = own.create_python_executor()
    return own


def _handed(agent: MultiStepAgent, name: str, attempt: Execution, scope: str, is_code: bool) -> MultiStepAgent:
    """An agent that another one manages: a call of it is a hand-off. Python looks for `__call__` in its class only."""
    plain = type(agent)

    def call(self: Any, task: str, **kwargs: Any) -> Any:
        other = hand_over_blocking(attempt, name, {"task": task, **kwargs}, scope)
        if other.arguments is None:
            if is_code:  # code that calls it is better stopped than given an excuse to work on
                raise PermissionError(other.message)
            return other.message
        return plain.__call__(self, **other.arguments)

    agent.__class__ = type(plain.__name__, (plain,), {"__call__": call, "__module__": plain.__module__})
    return agent


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
