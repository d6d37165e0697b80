"""Agents and apps of Google ADK 2.x: every model call and every tool call is a step, also those of sub-agents and of
agents that are used as tools.

ADK runs from its session: a list of events, and a state that follows from them. Both are the trails of ours. Where ADK
asks an agent for its model and where it runs a tool, this file stands in between, for runs of ours only; callbacks,
plugins and the gate of confirmations stay ADK's own. What a tool did to the event it belongs to (state, transfers) is
kept with its result. A confirmation that ADK asks for is a review, and so is the result of a long-running tool.
"""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import Any

from google.adk.agents import BaseAgent, LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode, ToolThreadPoolConfig
from google.adk.apps import App
from google.adk.artifacts import BaseArtifactService
from google.adk.auth.credential_service.base_credential_service import BaseCredentialService
from google.adk.events import Event
from google.adk.flows.llm_flows.tools import _caller
from google.adk.memory import BaseMemoryService
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import Runner
from google.adk.tools import BaseTool, FunctionTool
from google.adk.tools.agent_tool import AgentTool
from google.adk.tools.tool_confirmation import ToolConfirmation
from google.genai import types
from pydantic import ValidationError

from pilothouse.domain.policy import Tool
from pilothouse.errors import ActionDenied, InvalidInput
from pilothouse.sdk.bridges.google_adk_sessions import APP, TrailSessions, dump
from pilothouse.sdk.bridges.hand_off import hand_off_action, hand_over
from pilothouse.sdk.bridges.live import Kept, Push, watch
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.bridges.pause import Verdict, ask_about_call
from pilothouse.sdk.bridges.request import Requests
from pilothouse.sdk.bridges.tagged import dump_tagged, load_tagged
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.function import step_name
from pilothouse.sdk.schema import FREE_CODEC, Codec, codec_for, write_json
from pilothouse.sdk.toolbox import tool_of

FRAMEWORK = "google-adk"
CONFIRM = "adk_request_confirmation"
REJECTED = {"error": "This tool call is rejected."}
CALL, GATE = "_call_tool_async", "apply_confirmation_gate"
TRANSFER = "transfer_to_agent"
OWN_TOOLS = (TRANSFER, "exit_loop")
"""ADK's own words to itself: nothing happens outside, and there is nothing to keep."""
PAUSES_AT_MOST = 1000


class GoogleAdkBridge:
    wants_history = False
    keeps_trail = True

    def __init__(self, found: BaseAgent | App, options: Options) -> None:
        stand_between()
        self._calls = options.number("max_llm_calls")
        self._services = {
            "artifact_service": options.found("artifact_service", BaseArtifactService),
            "memory_service": options.found("memory_service", BaseMemoryService),
            "credential_service": options.found("credential_service", BaseCredentialService),
        }
        app = found if isinstance(found, App) else App(name=APP, root_agent=found)
        self._app = app.model_copy(update={"plugins": [*app.plugins, Reasons("pilothouse_reasons")]})
        root = app.root_agent
        self.tools: dict[str, Tool] = {}
        self._find_tools(root)
        self.description = getattr(root, "description", "") or ""
        wanted = getattr(root, "input_schema", None)
        self._is_typed = wanted is not None
        self.input: Codec = codec_for(str | dict[str, Any]) if wanted is None else _codec_or_free(wanted)
        given = getattr(root, "output_schema", None)
        self._gives_json = given is not None
        self.output: Codec = FREE_CODEC if given is None else _codec_or_free(given)

    def _find_tools(self, agent: Any) -> None:
        """Those of the agent, of its sub-agents, and of the agents that it uses as tools. Those of toolsets are known
        when they are called."""
        for tool in getattr(agent, "tools", ()):
            if isinstance(tool, AgentTool):
                self.tools.update(hand_off_action(tool.agent.name))
                self._find_tools(tool.agent)
            elif isinstance(tool, BaseTool):
                self.tools[step_name(tool.name)] = tool_of(tool.name, _schema_of(tool), tool.custom_metadata)
            elif callable(tool):
                function = FunctionTool(tool)
                self.tools[step_name(function.name)] = tool_of(function.name, _schema_of(function))
        for other in getattr(agent, "sub_agents", ()):
            for one in (agent, other):  # a sub-agent may hand back
                self.tools.update(hand_off_action(one.name))
            self._find_tools(other)

    def read(self, raw: bytes) -> Any:
        """A message: a text, or a Content as Google's API has it. Raises `InvalidInput`."""
        value = self.input.read(raw)
        if self._is_typed:
            return types.Content(role="user", parts=[types.Part(text=write_json(value).decode())])
        if isinstance(value, str):
            return types.Content(role="user", parts=[types.Part(text=value)])
        try:
            return types.Content.model_validate(value)
        except ValidationError as error:
            faults = [{"path": "$" + "".join(f".{part}" for part in one["loc"]), "message": one["msg"]}
                      for one in error.errors()]  # fmt: skip
            raise InvalidInput(faults=faults) from None

    async def run(self, attempt: Execution, value: Any) -> object:
        service = TrailSessions(attempt.session, attempt.run.subject or "user", attempt.run.id)
        run = _Run(attempt)
        token = here.set(run)
        try:
            runner = Runner(app=self._app, app_name=APP, session_service=service, **self._services)
            output = await self._to_the_end(run, runner, service, value)
        finally:
            here.reset(token)
        service.keep()
        return output

    async def _to_the_end(self, run: "_Run", runner: Runner, service: "TrailSessions", message: Any) -> object:
        config = RunConfig(
            **({} if self._calls is None else {"max_llm_calls": self._calls}),
            streaming_mode=StreamingMode.SSE,
            tool_thread_pool_config=ToolThreadPoolConfig(max_workers=8),  # a blocking tool must not stop the host
        )
        session = service.session
        for _ in range(PAUSES_AT_MOST):
            told = _Told(run.attempt)
            events = runner.run_async(
                user_id=session.user_id, session_id=session.id, new_message=message, run_config=config
            )
            async with contextlib.aclosing(events) as stream:
                async for event in stream:
                    await told.hear(event)
            if not told.waiting:
                return self._output(told)
            message = await _ask(run, told.waiting)
        raise RuntimeError(f"the agent paused more than {PAUSES_AT_MOST} times")

    def _output(self, told: "_Told") -> object:
        if told.error is not None and not told.text and told.output is None:
            raise ModelFailed(told.error)
        if told.output is not None:
            return told.output
        if self._gives_json:
            with contextlib.suppress(ValueError):
                return json.loads(told.text)
        return told.text


class ModelFailed(Exception):
    """The model gave no answer, and ADK tells why in an event."""


class _Told:
    """What the events of one call of the runner come to: what is heard of them, and how they end."""

    def __init__(self, attempt: Execution) -> None:
        self._attempt = attempt
        self._said_partly = False
        self.text = ""
        self.output: Any = None
        self.error: str | None = None
        self.waiting: list[types.FunctionCall] = []
        """Calls whose results come from outside."""

    async def hear(self, event: Event) -> None:
        text = _text_of(event)
        if event.partial:
            self._said_partly = self._said_partly or bool(text)
            if text:
                await self._attempt.emit(text)
            return
        if text and not self._said_partly:
            await self._attempt.emit(text)
        self._said_partly = False
        if event.error_code or event.error_message:
            self.error = f"{event.error_code}: {event.error_message or 'no answer'}"
        if event.output is not None:
            self.output = event.output
        pending = event.long_running_tool_ids or set()
        self.waiting += [call for call in event.get_function_calls() if call.id in pending]
        answered = {result.id for result in event.get_function_responses()}
        self.waiting = [call for call in self.waiting if call.id not in answered or call.name == CONFIRM]
        if event.is_final_response() and text:
            self.text = text
        kind = "content"
        if event.get_function_calls():
            kind = "function_call"
        elif event.get_function_responses():
            kind = "function_response"
        await self._attempt.emit_event(FRAMEWORK, kind, dump(event))


async def _ask(run: "_Run", waiting: list[types.FunctionCall]) -> types.Content:
    """All that wait are asked about at once; the message with the answers."""
    asked = []
    for call in waiting:
        given = call.args or {}
        if call.name == CONFIRM:
            original = given.get("originalFunctionCall") or {}
            hint = (given.get("toolConfirmation") or {}).get("hint")
            more = {"hint": hint, "payload": (given.get("toolConfirmation") or {}).get("payload")}
            name, arguments, call_id = original.get("name", ""), original.get("args") or {}, original.get("id") or ""
            asked.append((call, call_id, ask_about_call(run.attempt, FRAMEWORK, name, arguments,
                                                        call_id=call_id, more=more)))  # fmt: skip
        else:
            question = f"What is the result of {call.name!r}? Respond with it."
            asked.append((call, call.id or "", ask_about_call(run.attempt, FRAMEWORK, call.name or "", given,
                                                              call_id=call.id or "", question=question)))  # fmt: skip
    verdicts = await asyncio.gather(*(one for _, _, one in asked))
    parts = []
    for (call, call_id, _), verdict in zip(asked, verdicts, strict=True):
        run.verdicts[call_id] = verdict
        confirmed = verdict.is_allowed or verdict.is_result
        response: dict[str, Any] = {"confirmed": confirmed}
        if call.name != CONFIRM:
            response = _result_of(verdict)
        parts.append(
            types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response=response))
        )
    return types.Content(role="user", parts=parts)


def _result_of(verdict: Verdict) -> dict[str, Any]:
    """A person's word as the result of a long-running tool."""
    if verdict.arguments is not None:
        return verdict.arguments
    if verdict.is_allowed:
        return {"status": "approved"}
    return {"result": verdict.message} if verdict.is_result else {"error": verdict.message}


class _Run:
    """What the places in between must know of the run they are in."""

    def __init__(self, attempt: Execution) -> None:
        self.attempt = attempt
        self.requests = Requests()
        self.verdicts: dict[str, Verdict] = {}


here: ContextVar[_Run | None] = ContextVar("google_adk_run", default=None)
scope: ContextVar[str] = ContextVar("google_adk_scope", default="")
"""The ids of the calls of agents that are used as tools, the outermost first."""


class Reasons(BasePlugin):
    """Tells the model why a person rejected a call; ADK's own answer says only that."""

    async def after_tool_callback(
        self, *, tool: Any, tool_args: dict[str, Any], tool_context: Any, result: Any
    ) -> dict[str, Any] | None:
        run = here.get()
        verdict = run.verdicts.get(tool_context.function_call_id) if run is not None else None
        if verdict is None or verdict.is_allowed or verdict.is_result or result != REJECTED:
            return None
        return {"error": f"{REJECTED['error']} {verdict.message}"}


class RecordedLlm(BaseLlm):
    """A model whose calls are steps of the run that is here."""

    inner: Any
    agent: str

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        run = here.get()
        assert run is not None

        def begin(push: Push) -> Any:
            async def body(arguments: dict[str, Any]) -> list[LlmResponse]:
                whole: list[LlmResponse] = []
                async with contextlib.aclosing(self.inner.generate_content_async(llm_request, stream)) as responses:
                    async for response in responses:
                        if response.partial:
                            await push(response)
                        else:
                            _name_calls(response)
                            whole.append(response)
                _count(run.attempt, whole)
                return whole

            instructions, contents = _asked(llm_request)
            return run.attempt.effect(
                "model",
                llm_request.model or self.inner.model,
                run.requests.new(self.agent, scope.get(), instructions, contents),
                body,
                dump=lambda whole: [dump(one) for one in whole],
                load=lambda kept: [LlmResponse.model_validate(one) for one in kept],
                scope=scope.get(),
            )

        async with contextlib.aclosing(watch(begin)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Kept):
                    for response in piece.value:
                        yield response
                else:
                    yield piece


def _asked(request: LlmRequest) -> tuple[Any, list[Any]]:
    contents = [dump(content) for content in request.contents]
    instructions = request.config.system_instruction if request.config is not None else None
    return instructions if isinstance(instructions, str) else repr(instructions), contents


def _name_calls(response: LlmResponse) -> None:
    """ADK names calls that the model did not name, at random and anew in every attempt. Here a name is kept."""
    for part in (response.content.parts or []) if response.content is not None else []:
        if part.function_call is not None and not part.function_call.id:
            part.function_call.id = f"adk-{uuid.uuid4()}"


def _count(attempt: Execution, responses: list[LlmResponse]) -> None:
    used = next((one.usage_metadata for one in reversed(responses) if one.usage_metadata is not None), None)
    said = (getattr(used, "candidates_token_count", 0) or 0) + (getattr(used, "thoughts_token_count", 0) or 0)
    attempt.record_usage(input_tokens=getattr(used, "prompt_token_count", 0) or 0, output_tokens=said, model_calls=1)


def stand_between() -> None:
    """Puts this file where ADK asks an agent for its model and runs a tool. A second call does nothing. Raises
    `ValueError` when this version of ADK does it elsewhere."""
    model_of = getattr(LlmAgent, "canonical_model_async", None)
    call, gate = getattr(_caller, CALL, None), getattr(_caller, GATE, None)
    if model_of is None or call is None or gate is None:
        raise ValueError(
            "this version of google-adk works inside in a way that Pilothouse does not know; "
            "pip install 'google-adk>=2.13,<2.14'"
        )
    if hasattr(model_of, "is_between"):
        return

    async def recorded(self: LlmAgent, ctx: Any) -> BaseLlm:
        found: BaseLlm = await model_of(self, ctx)
        if here.get() is None or isinstance(found, RecordedLlm):
            return found
        return RecordedLlm(model=found.model, inner=found, agent=self.name)

    async def called(tool: Any, args: dict[str, Any], tool_context: Any) -> object:
        run = here.get()
        if run is None:
            return await call(tool, args, tool_context)
        return await _call_tool(run, call, tool, args, tool_context)

    async def gated(tool: Any, args: dict[str, Any], tool_context: Any) -> Any:
        answer = await gate(tool, args, tool_context)
        run = here.get()
        if run is None or not scope.get() or answer is None:
            return answer
        return await gate(tool, args, tool_context) if await _confirm_inside(run, tool, args, tool_context) else answer

    recorded.is_between = True  # type: ignore[attr-defined]
    LlmAgent.canonical_model_async = recorded
    setattr(_caller, CALL, called)
    setattr(_caller, GATE, gated)


async def _call_tool(run: _Run, call: Any, tool: Any, args: dict[str, Any], context: Any) -> object:
    call_id = context.function_call_id or ""
    verdict = run.verdicts.get(call_id)
    if verdict is not None and verdict.is_result:
        return {"result": verdict.message}
    if verdict is not None and verdict.arguments is not None:
        args = verdict.arguments
    is_agent = isinstance(tool, AgentTool)
    if is_agent or tool.name == TRANSFER:
        to = tool.agent.name if is_agent else str(args.get("agent_name"))
        other = await hand_over(run.attempt, to, args, call_id=call_id, scope=scope.get())
        if other.arguments is None:
            return {"result": other.message}
        args = other.arguments
    if is_agent:  # its own calls are the steps
        token = scope.set(f"{scope.get()}/{call_id}")
        try:
            return await call(tool, args, context)
        finally:
            scope.reset(token)
    if tool.name in OWN_TOOLS:
        return await call(tool, args, context)

    async def body(chosen: dict[str, Any]) -> tuple[object, Any]:
        return await call(tool, chosen, context), context.actions

    try:
        result, actions = await run.attempt.effect(
            "tool",
            tool.name,
            args,
            body,
            dump=lambda done: _dump_result(*done),
            load=_load_result,
            call_id=call_id,
            scope=scope.get(),
        )
    except ActionDenied as denied:
        return {"error": denied.message}
    _apply(actions, context)
    if scope.get():
        return await _pause_inside(run, call, tool, args, context, result)
    return result


async def _confirm_inside(run: _Run, tool: Any, args: dict[str, Any], context: Any) -> bool:
    """Whether a tool of an agent that is used as a tool has asked for a confirmation, and a person has answered. ADK
    drops the session of such an agent with its answer, so nobody could go on from its pause: it is asked here."""
    call_id = context.function_call_id or ""
    asked = context.actions.requested_tool_confirmations.pop(call_id, None)
    if asked is None or context.tool_confirmation is not None:
        return False
    context.actions.skip_summarization = None
    more = {"hint": asked.hint, "payload": asked.payload}
    verdict = await ask_about_call(run.attempt, FRAMEWORK, tool.name, args, call_id=call_id, more=more)
    run.verdicts[call_id] = verdict
    confirmed = verdict.is_allowed or verdict.is_result
    context.tool_confirmation = ToolConfirmation(hint=asked.hint, payload=asked.payload, confirmed=confirmed)
    return True


async def _pause_inside(run: _Run, call: Any, tool: Any, args: dict[str, Any], context: Any, result: object) -> object:
    if await _confirm_inside(run, tool, args, context):
        return await _call_tool(run, call, tool, args, context)
    if tool.is_long_running and not result:
        question = f"What is the result of {tool.name!r}? Respond with it."
        asked = ask_about_call(
            run.attempt, FRAMEWORK, tool.name, args, call_id=context.function_call_id or "", question=question
        )
        return _result_of(await asked)
    return result


ACTIONS = "$actions"


def _dump_result(result: object, actions: Any) -> Any:
    """What the tool returned; beside it what it did to its event, when it did something."""
    told = {name: value for name, value in dump(actions).items() if value not in ({}, [])}
    kept = dump_tagged(result)
    return {ACTIONS: told, "result": kept} if told else kept


def _load_result(kept: Any) -> tuple[object, dict[str, Any]]:
    if isinstance(kept, dict) and ACTIONS in kept:
        return load_tagged(kept["result"]), kept[ACTIONS]
    return load_tagged(kept), {}


def _apply(told: dict[str, Any], context: Any) -> None:
    """Does to the event of this attempt what the tool did to that of the first. The delta of the state is one object
    with the state that other code looks at, so it is filled and not replaced."""
    actions = context.actions
    if not told:
        return
    kept = type(actions).model_validate(told)
    for name in kept.model_fields_set:
        held, value = getattr(actions, name), getattr(kept, name)
        if isinstance(held, dict) and isinstance(value, dict):
            held.update(value)
        else:
            setattr(actions, name, value)


def _schema_of(tool: BaseTool) -> Any:
    """The JSON schema of its arguments, or None when it does not say."""
    try:
        declared = tool._get_declaration()
    except Exception:  # what its author wrote may be nothing that can be described
        return None
    if declared is None:
        return None
    if declared.parameters_json_schema is not None or declared.parameters is None:
        return declared.parameters_json_schema
    return declared.parameters.json_schema.model_dump(mode="json", exclude_none=True, by_alias=True)


def _text_of(event: Event) -> str:
    parts = (event.content.parts or []) if event.content is not None else []
    return "".join(part.text for part in parts if part.text and not part.thought)


def _codec_or_free(kind: Any) -> Codec:
    try:
        return codec_for(kind)
    except TypeError:
        return FREE_CODEC
