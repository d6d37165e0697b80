"""Agents of the OpenAI Agents SDK. Streamed always; every model call and every call of a function tool is a step, also
those of agents that were handed to or are used as tools.

The SDK compares tools and agents by identity, so copies with other models and tools lose their way when a run pauses.
The agent stays as it is; where the SDK asks for the model of an agent and where it calls a function tool, this file
stands in between, for runs of ours only. Both places are looked for when an agent is loaded. A pause (`needs_approval`)
is a review; the SDK's own state of a run is never kept, since a replay brings it back.
"""

import asyncio
import contextlib
import copy
import dataclasses
import json
import typing
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import agents
from agents import Agent, FunctionTool, Model, ModelResponse, RunConfig, RunHooks, Runner
from agents import tool as tool_module
from agents.exceptions import UserError
from agents.run_config import DEFAULT_MAX_TURNS
from agents.run_internal import run_loop, tool_execution, turn_resolution
from agents.usage import Usage
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseOutputItemDoneEvent,
    ResponseTextDeltaEvent,
)
from pydantic import TypeAdapter

from pilothouse.domain.policy import Tool
from pilothouse.errors import ActionDenied
from pilothouse.sdk.bridges.hand_off import hand_off_action, hand_over
from pilothouse.sdk.bridges.live import Kept, Push, watch
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.bridges.pause import Verdict, ask_about_call
from pilothouse.sdk.bridges.request import Requests
from pilothouse.sdk.bridges.tagged import dump_tagged, load_tagged
from pilothouse.sdk.context import Context
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.function import step_name
from pilothouse.sdk.schema import FREE, FREE_CODEC, Codec, codec_for, params_codec, shown_as_json, write_json
from pilothouse.sdk.session import SessionMemory
from pilothouse.sdk.toolbox import tool_of

FRAMEWORK = "openai-agents"
INVOKE, RESULT = "_invoke_function_tool_with_metadata", "_FunctionToolInvocationResult"
HAND = "execute_handoffs"
INVOCATION: Any = getattr(tool_module, RESULT, None)
SDK_ERROR = "$error"
TERMINAL: dict[str, Any] = {
    "response.completed": ResponseCompletedEvent,
    "response.failed": ResponseFailedEvent,
    "response.incomplete": ResponseIncompleteEvent,
    "error": ResponseErrorEvent,
}

UNRECORDED = (
    tool_module.ComputerTool,
    tool_module.LocalShellTool,
    tool_module.ShellTool,
    tool_module.ApplyPatchTool,
    tool_module.CustomTool,
)
"""Tools that the SDK carries out itself, past the place where function tools are called."""

usage: TypeAdapter[Usage] = TypeAdapter(Usage)


class OpenAiAgentsBridge:
    wants_history = False
    keeps_trail = True

    def __init__(self, agent: Agent[Any], options: Options) -> None:
        stand_between()
        self._agent = agent
        self._turns = options.number("max_turns") or DEFAULT_MAX_TURNS
        self._config = options.found("run_config", RunConfig) or RunConfig()
        self.tools: dict[str, Tool] = {}
        self._find_tools(agent, set())
        self._context = _context_type(agent)
        said = str | list[dict[str, Any]]
        missing = dataclasses.MISSING
        self.input: Codec = (
            codec_for(said)
            if self._context is None
            else params_codec([("input", said, missing), ("context", self._context, missing)])
        )
        self.output = _output_codec(agent)
        self.description = agent.handoff_description or ""

    def _find_tools(self, agent: Any, seen: set[int]) -> None:
        """Those of the agent, of the agents that it hands over to, and of those that it uses as tools."""
        if not isinstance(agent, Agent) or id(agent) in seen:
            return
        seen.add(id(agent))
        for tool in agent.tools:
            if isinstance(tool, UNRECORDED):
                raise TypeError(
                    f"its tool {tool.name!r} is a {type(tool).__name__}, which acts on this machine and cannot be a "
                    "step; write a function tool that does the same"
                )
            if not isinstance(tool, FunctionTool):
                continue
            if tool._is_agent_tool:
                other = tool._agent_instance
                self.tools.update(hand_off_action(other.name, tool.params_json_schema))
                self._find_tools(other, seen)
            else:
                self.tools[step_name(tool.qualified_name)] = tool_of(tool.qualified_name, tool.params_json_schema)
        for other in agent.handoffs:
            reference = getattr(other, "_agent_ref", None)
            to, schema = (other.name, None) if isinstance(other, Agent) else (other.agent_name, other.input_json_schema)
            self.tools.update(hand_off_action(to, schema))
            self._find_tools(other if reference is None else reference(), seen)

    def read(self, raw: bytes) -> Any:
        return self.input.read(raw)

    async def run(self, attempt: Execution, value: Any) -> object:
        memory = attempt.session
        session = TrailSession(memory) if memory.key is not None else None
        run = _Run(attempt)
        token = here.set(run)
        try:
            output = await self._to_the_end(run, value, session)
        finally:
            here.reset(token)
        if session is not None:
            session.keep()
        return output

    async def _to_the_end(self, run: "_Run", value: Any, session: "TrailSession | None") -> object:
        config = self._config
        if config.session_input_callback is None:
            config = dataclasses.replace(config, session_input_callback=lambda before, new: before + new)
        # Without a context of its own, what a tool is given is ours: it can emit, and ask for its idempotency key.
        told, context = (value, Context(run.attempt)) if self._context is None else (value.input, value.context)
        while True:
            result = Runner.run_streamed(
                self._agent, told, context=context, run_config=config, session=session, max_turns=self._turns
            )
            try:
                await _tell(run.attempt, result)
            finally:
                if not result.is_complete:
                    result.cancel()
                    await _ended(result)
            if not result.interruptions:
                return result.final_output
            told = await _ask(run, result)


async def _tell(attempt: Execution, result: Any) -> None:
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            if isinstance(event.data, ResponseTextDeltaEvent):
                await attempt.emit(event.data.delta)
        elif event.type == "run_item_stream_event":
            item = event.item
            body = {"agent": item.agent.name, "item": shown_as_json(_plain(item.raw_item))}
            await attempt.emit_event(FRAMEWORK, event.name, body)
        else:
            await attempt.emit_event(FRAMEWORK, event.type, {"agent": event.new_agent.name})


async def _ended(result: Any) -> None:
    """Waits until the SDK's own task of the run is over: nothing of it goes on behind an attempt that ended."""
    task = result.run_loop_task
    if task is not None:
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()


async def _ask(run: "_Run", result: Any) -> Any:
    """All calls that wait for approval are asked about at once; the state with the answers."""
    items = result.interruptions
    asked = []
    for item in items:
        raw = _plain(item.raw_item)
        call_id = str(raw.get("call_id") or raw.get("id") or "")
        arguments = _arguments(raw.get("arguments", ""))
        more = {"agent": item.agent.name}
        asked.append((call_id, ask_about_call(run.attempt, FRAMEWORK, item.tool_name or "", arguments,
                                              call_id=call_id, more=more)))  # fmt: skip
    verdicts = await asyncio.gather(*(one for _, one in asked))
    state = result.to_state()
    for item, (call_id, _), verdict in zip(items, asked, verdicts, strict=True):
        if verdict.is_allowed or verdict.is_result:
            run.verdicts[call_id] = verdict
            state.approve(item)
        else:
            state.reject(item, rejection_message=verdict.message)
    return state


class _Run:
    """What the places in between must know of the run they are in."""

    def __init__(self, attempt: Execution) -> None:
        self.attempt = attempt
        self.verdicts: dict[str, Verdict] = {}
        """What people said of calls, by the id of the call: other arguments, or the result itself."""
        self._models: dict[int, RecordedModel] = {}
        self._requests = Requests()

    def recorded(self, model: Model, agent: str) -> "RecordedModel":
        known = self._models.get(id(model))
        if known is None:
            known = self._models[id(model)] = RecordedModel(model)
        known.agent = agent
        return known

    def request(self, agent: str, instructions: Any, input: Any) -> dict[str, Any]:
        items = [_plain(item) for item in input] if isinstance(input, list) else [input]
        return self._requests.new(agent, scope.get(), instructions, items)


here: ContextVar[_Run | None] = ContextVar("openai_agents_run", default=None)
scope: ContextVar[str] = ContextVar("openai_agents_scope", default="")
"""The ids of the calls of agents that are used as tools, the outermost first: their model calls are counted apart."""


class RecordedModel(Model):
    """A model whose calls are steps of the run that is here."""

    def __init__(self, inner: Model) -> None:
        self.inner = inner
        self.agent = ""

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:
        run = _here()

        async def body(arguments: dict[str, Any]) -> ModelResponse:
            found = await self.inner.get_response(system_instructions, input, *args, **kwargs)
            used = found.usage
            run.attempt.record_usage(input_tokens=used.input_tokens, output_tokens=used.output_tokens, model_calls=1)
            return found

        kept: ModelResponse = await run.attempt.effect(
            "model",
            _name_of(self.inner),
            run.request(self.agent, system_instructions, input),
            body,
            dump=_dump_response,
            load=_load_response,
            scope=scope.get(),
        )
        return kept

    async def stream_response(
        self, system_instructions: Any, input: Any, settings: Any, *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        run = _here()

        def begin(push: Push) -> Any:
            async def body(arguments: dict[str, Any]) -> Any:
                done: list[Any] = []
                last = None
                stream = self.inner.stream_response(system_instructions, input, _counted(settings), *args, **kwargs)
                async with contextlib.aclosing(stream) as events:
                    async for event in events:
                        if event.type in TERMINAL:
                            last = event
                        else:
                            await push(event)
                        if isinstance(event, ResponseOutputItemDoneEvent):
                            done.append(event.item)
                if isinstance(last, ResponseCompletedEvent):
                    if not last.response.output:  # as the SDK itself would do, which on a replay has no more than this
                        last.response.output = done
                    used = last.response.usage
                    run.attempt.record_usage(
                        input_tokens=used.input_tokens if used else 0,
                        output_tokens=used.output_tokens if used else 0,
                        model_calls=1,
                    )
                return last

            return run.attempt.effect(
                "model",
                _name_of(self.inner),
                run.request(self.agent, system_instructions, input),
                body,
                dump=_plain,
                load=lambda kept: None if kept is None else TERMINAL[kept["type"]].construct(**kept),
                scope=scope.get(),
            )

        async with contextlib.aclosing(watch(begin)) as pieces:
            async for piece in pieces:
                if not isinstance(piece, Kept):
                    yield piece
                elif piece.value is not None:
                    yield piece.value

    async def _cleanup_on_run_end(self, owner: object) -> None:
        await self.inner._cleanup_on_run_end(owner)

    async def close(self) -> None:
        await self.inner.close()

    def get_retry_advice(self, request: Any) -> Any:
        return self.inner.get_retry_advice(request)


def stand_between() -> None:
    """Puts this file where the SDK asks for a model and calls a function tool. A second call does nothing. Raises
    `ValueError` when this version of the SDK does it elsewhere."""
    get_model, invoke = getattr(run_loop, "get_model", None), getattr(tool_execution, INVOKE, None)
    hand = getattr(turn_resolution, HAND, None)
    if get_model is None or invoke is None or hand is None or INVOCATION is None:
        raise ValueError(
            f"openai-agents {agents.__version__} works inside in a way that Pilothouse does not know; "
            "pip install 'openai-agents>=0.24,<0.25'"
        )
    if hasattr(get_model, "is_between"):
        return

    def model_of(agent: Any, run_config: Any) -> Model:
        found: Model = get_model(agent, run_config)
        run = here.get()
        return found if run is None else run.recorded(found, agent.name)

    async def called(*, function_tool: Any, context: Any, arguments: str) -> Any:
        run = here.get()
        if run is None:
            return await invoke(function_tool=function_tool, context=context, arguments=arguments)
        return await _call_tool(run, invoke, function_tool, context, arguments)

    async def handed(**given: Any) -> Any:
        run = here.get()
        return await hand(**(given if run is None else await _hand_over(run, given)))

    model_of.is_between = True  # type: ignore[attr-defined]
    run_loop.get_model = model_of
    setattr(turn_resolution, HAND, handed)
    setattr(tool_execution, INVOKE, called)


async def _call_tool(run: _Run, invoke: Any, tool: Any, context: Any, arguments: str) -> Any:
    call_id = context.tool_call_id
    verdict = run.verdicts.get(call_id)
    if verdict is not None and verdict.is_result:
        return INVOCATION(verdict.message)
    if verdict is not None and verdict.arguments is not None:
        arguments = json.dumps(verdict.arguments)
    if tool._is_agent_tool:  # its own calls are the steps
        asked = _arguments(arguments)
        other = await hand_over(run.attempt, tool._agent_instance.name, asked, call_id=call_id, scope=scope.get())
        if other.arguments is None:
            return INVOCATION(other.message)
        if other.arguments != asked:
            arguments = json.dumps(other.arguments)
        token = scope.set(f"{scope.get()}/{call_id}")
        try:
            return await invoke(function_tool=tool, context=context, arguments=arguments)
        finally:
            scope.reset(token)

    async def body(chosen: dict[str, Any]) -> Any:
        said = arguments if chosen is given else json.dumps(chosen)
        return await invoke(function_tool=tool, context=context, arguments=said)

    given = _arguments(arguments)
    try:
        return await run.attempt.effect(
            "tool",
            tool.qualified_name,
            given,
            body,
            dump=_dump_result,
            load=_load_result,
            call_id=call_id,
            scope=scope.get(),
        )
    except ActionDenied as denied:
        told: str | None = denied.message
        if not tool._use_default_failure_error_function:  # that one says nothing but that the model may try again
            told = await tool_module.maybe_invoke_function_tool_failure_error_function(
                function_tool=tool, context=context, error=denied
            )
        if told is None:  # its author wants failures raised
            raise
        return INVOCATION(told, is_sdk_generated_error=True)


async def _hand_over(run: _Run, given: dict[str, Any]) -> dict[str, Any]:
    """What the SDK is to do instead of what it was about to do: the same; or the same agent goes on, and hears why."""
    first, *others = given["run_handoffs"]
    said = _arguments(first.tool_call.arguments)
    call_id = first.tool_call.call_id
    other = await hand_over(run.attempt, first.handoff.agent_name, said, call_id=call_id, scope=scope.get())
    if other.arguments == said:
        return given
    chosen, config = copy.copy(first.handoff), given["run_config"]
    if other.arguments is not None:
        invoke, edited = first.handoff.on_invoke_handoff, json.dumps(other.arguments)
        chosen.on_invoke_handoff = lambda context, _: invoke(context, edited)
    else:
        chosen.on_invoke_handoff = lambda context, _: asyncio.sleep(0, given["public_agent"])
        chosen.get_transfer_message = lambda agent: other.message
        chosen.input_filter, chosen.nest_handoff_history, chosen._agent_ref = None, False, None
        config = dataclasses.replace(config, handoff_input_filter=None)
        given = {**given, "hooks": RunHooks()}
    return {**given, "run_config": config, "run_handoffs": [dataclasses.replace(first, handoff=chosen), *others]}


def _dump_result(result: Any) -> Any:
    """What the tool returned, so that a fork can say something else; marked when the SDK's own words stand for it."""
    kept = dump_tagged(result.output)
    return {SDK_ERROR: kept} if result.is_sdk_generated_error else kept


def _load_result(kept: Any) -> Any:
    is_error = isinstance(kept, dict) and kept.keys() == {SDK_ERROR}
    return INVOCATION(load_tagged(kept[SDK_ERROR] if is_error else kept), is_sdk_generated_error=is_error)


class TrailSession:
    """The SDK's `Session` over the trails of ours: a turn keeps what it added, and all of it only when it took away."""

    session_settings = None

    def __init__(self, memory: SessionMemory) -> None:
        self.session_id = memory.key or ""
        self._memory = memory
        self._items: list[Any] = [item for trail in memory.trails for item in trail]
        self._before, self._is_cut = len(self._items), False

    async def get_items(self, limit: int | None = None) -> list[Any]:
        return list(self._items if limit is None else self._items[max(0, len(self._items) - limit) :])

    async def add_items(self, items: list[Any]) -> None:
        self._items += [_plain(item) for item in items]

    async def pop_item(self) -> Any:
        if not self._items:
            return None
        self._is_cut = self._is_cut or len(self._items) <= self._before
        return self._items.pop()

    async def clear_session(self) -> None:
        self._is_cut = self._is_cut or self._before > 0
        self._items = []

    def keep(self) -> None:
        """At the end of the turn: what is new, or all when some of what earlier turns kept is gone."""
        if not self._is_cut:
            self._memory.keep_trail(self._items[self._before :])
            if not self._memory.wants_whole(len(write_json(self._items))):
                return
        self._memory.keep_whole(self._items)


def _dump_response(found: ModelResponse) -> Any:
    return {
        "output": [_plain(item) for item in found.output],
        "usage": usage.dump_python(found.usage, mode="json", warnings=False),
        "response_id": found.response_id,
    }


def _load_response(kept: Any) -> ModelResponse:
    """As the client itself makes them of JSON, which is no validation: providers leave out what the types demand."""
    output = Response.construct(output=kept["output"]).output
    return ModelResponse(output=output, usage=usage.validate_python(kept["usage"]), response_id=kept["response_id"])


def _here() -> _Run:
    run = here.get()
    if run is None:
        raise UserError("this model belongs to a run that has ended")
    return run


def _counted(settings: Any) -> Any:
    """A stream of chat completions tells what it used only when it is asked to. Who says False is not asked."""
    return dataclasses.replace(settings, include_usage=True) if settings.include_usage is None else settings


def _name_of(model: Model) -> str:
    name = getattr(model, "model", None)
    return name if isinstance(name, str) and name else type(model).__name__


def _arguments(text: str) -> dict[str, Any]:
    """The arguments of a call as a person reads them; what the model wrote when they are no JSON object."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {"input": text}
    return found if isinstance(found, dict) else {"input": text}


def _plain(item: Any) -> Any:
    dump = getattr(item, "model_dump", None)
    return item if dump is None else dump(mode="json", exclude_unset=True, warnings=False)


def _context_type(agent: Agent[Any]) -> Any:
    """The type of its context, where it was written with one: `Agent[Customer](...)`."""
    written = typing.get_args(getattr(agent, "__orig_class__", None))
    return None if not written or written[0] in (*FREE, None, type(None)) else written[0]


def _output_codec(agent: Agent[Any]) -> Codec:
    """That of its type. An agent that hands over may end with the output of another."""
    if agent.handoffs or agent.output_type is None:
        return FREE_CODEC
    kind = getattr(agent.output_type, "output_type", agent.output_type)
    try:
        return codec_for(kind)
    except TypeError:
        return FREE_CODEC
