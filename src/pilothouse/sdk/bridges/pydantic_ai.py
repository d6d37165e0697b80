"""Pydantic AI: an agent object, as its users write it, run through the framework's own interface for durable engines.

`Durability` is a capability that is attached for one run only. Model requests and tool calls are steps; the framework
runs its loop again from the top on every attempt and gets the recorded results. Requests are keyed by their order,
which the loop fixes, not by their content, which holds instants. Deferred tool calls are answered by reviews, inside
the run. The history of a session is the messages of its turns, each kept once, with the turn that brought them.
"""

from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from dataclasses import MISSING
from typing import Any

import msgspec
from pydantic_ai import DeferredToolRequests, DeferredToolResults, RunContext, ToolApproved, ToolDenied
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    DurableOperation,
    DurableOperationBackend,
    EventStreamHandlerId,
    ModelRequestId,
    ModelRequestParams,
    durable_unit_scope,
    record_durable_unit,
    replay_scope,
)
from pydantic_ai.exceptions import (
    ApprovalRequired,
    CallDeferred,
    ModelRetry,
    ToolFailed,
    ToolFailedError,
    ToolRetryError,
)
from pydantic_ai.messages import (
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelMessagesTypeAdapter,
    ModelResponse,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    ToolReturn,
    ToolReturnContent,
)
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import FunctionToolset
from pydantic_ai.usage import UsageLimits

from pilothouse.domain.policy import Tool
from pilothouse.domain.review import Answer
from pilothouse.errors import ActionDenied
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.bridges.pause import EXPIRED, REJECTED, ask_about_call, ask_freely
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.function import step_name
from pilothouse.sdk.schema import FREE_CODEC, Codec, FreeCodec, codec_for, params_codec
from pilothouse.sdk.toolbox import tool_of

FRAMEWORK = "pydantic_ai"
OUTCOMES = (ApprovalRequired, CallDeferred, ModelRetry, ToolFailed, ToolRetryError, ToolFailedError)
"""How a tool tells the loop what to do next: results of the tool, not failures of its step."""

TOLD_ELSEWHERE = (FunctionToolCallEvent, FunctionToolResultEvent, PartEndEvent)
"""Events that our own say already: steps begin and end, and what a part holds at its end was streamed."""


class OutputCodec(FreeCodec):
    """The agent's output type as the framework describes it; the framework has checked what comes out."""

    is_free = False
    is_text = False
    is_exact = False

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = msgspec.json.encode(schema)


class PydanticAiBridge:
    """An agent takes a prompt as text; one with `deps_type` takes `{"prompt", "deps"}`, `deps` read as that type."""

    wants_history = False
    keeps_trail = True

    def __init__(self, agent: Any, options: Options) -> None:
        self._agent = agent
        limits, settings = options.table("usage_limits"), options.table("model_settings")
        self._limits = None if limits is None else _read_limits(limits)
        self._settings: Any = settings
        self.tools = _tools_of(agent)
        self.description = str(agent.description or "")
        self._takes_deps = False
        self._makes_deps: Callable[[], Any] = lambda: None
        self.input: Codec = self._input_codec(agent.deps_type)
        self.output: Codec = _output_codec(agent)
        Durability(None, agent.name or "agent").for_agent(agent)  # what cannot be bound is told when it is loaded

    def _input_codec(self, deps_type: Any) -> Codec:
        if deps_type in (None, type(None), object, Any):
            return codec_for(str)
        try:
            codec = params_codec([("prompt", str, MISSING), ("deps", deps_type, MISSING)])
        except TypeError as error:
            try:
                deps_type()
            except Exception:
                raise TypeError(
                    f"its dependencies cannot come with an input: {error}; make them with defaults, or call the agent "
                    "from an async function that makes them, and name that function"
                ) from None
            self._makes_deps = deps_type
            return codec_for(str)
        self._takes_deps = True
        return codec

    def read(self, raw: bytes) -> Any:
        return self.input.read(raw)

    async def run(self, attempt: Execution, value: Any) -> object:
        prompt, deps = (value.prompt, value.deps) if self._takes_deps else (value, self._makes_deps())
        session = attempt.session
        past = [message for trail in session.trails for message in trail["messages"]]
        with replay_scope():
            result = await self._agent.run(
                prompt,
                deps=deps,
                message_history=ModelMessagesTypeAdapter.validate_python(past),
                conversation_id=session.key or attempt.run_id,
                run_id=attempt.run_id,
                infer_name=False,
                usage_limits=self._limits,
                model_settings=self._settings,
                capabilities=[Durability(attempt, self._agent.name or attempt.run.agent)],
            )
        new = ModelMessagesTypeAdapter.dump_python(result.new_messages(), mode="json")
        session.keep_trail({"messages": new})
        return result.output


def _read_limits(table: dict[str, Any]) -> UsageLimits:
    try:
        return UsageLimits(**table)
    except (TypeError, ValueError) as error:
        raise ValueError(f"options.usage_limits: {error}") from None


def _tools_of(agent: Any) -> dict[str, Tool]:
    """The tools of its function toolsets. Those of servers are known when they are called."""
    found: dict[str, Tool] = {}

    def look(toolset: Any) -> None:
        for name, tool in (toolset.tools if isinstance(toolset, FunctionToolset) else {}).items():
            found[step_name(name)] = tool_of(name, tool.function_schema.json_schema, tool.metadata)

    for toolset in agent.toolsets:
        toolset.apply(look)
    return found


def _output_codec(agent: Any) -> Codec:
    try:
        return OutputCodec(agent.output_json_schema())
    except Exception:  # output functions whose result the framework cannot describe
        return FREE_CODEC


class Durability(BaseDurabilityCapability):
    """What the framework asks an engine for durable execution to be. Toolsets are not wrapped: `wrap_tool_execute`
    sees every call of every toolset, also of those that have no id. `attempt` None: only to see whether it binds."""

    engine_spec = DurabilityEngineSpec(
        engine_name="Pilothouse",
        durable_unit_noun="step",
        durable_container_noun="run",
        codec=JSON_CODEC,
        wrapped_toolset_kinds=frozenset(),
        journal_discovery=False,
    )

    def __init__(self, attempt: Execution | None, name: str) -> None:
        watched = attempt is not None and attempt.start.stream
        super().__init__(name=name, event_stream_handler=self._stream if watched else None)
        self._attempt = attempt

    @property
    def attempt(self) -> Execution:
        assert self._attempt is not None
        return self._attempt

    @property
    def in_durable_context(self) -> bool:
        return self._attempt is not None

    def get_durable_operation_backend(self) -> DurableOperationBackend[None]:
        return Backend(self._attempt)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: Callable[[dict[str, Any]], Awaitable[Any]],
    ) -> Any:
        async def body(arguments: dict[str, Any]) -> dict[str, Any]:
            seen.executed = True
            with durable_unit_scope():
                return await _outcome_of(handler(arguments))

        seen = Seen()
        once = bool((tool_def.metadata or {}).get("once"))
        try:
            outcome = await self.attempt.effect(
                "tool", call.tool_name, args, body, call_id=call.tool_call_id, once=once
            )
        except ActionDenied as denied:
            record_durable_unit(executed=False)
            raise ToolFailed(denied.message) from denied
        record_durable_unit(executed=seen.executed)
        return _result_of(outcome)

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Asks a person about all of them at once; each answer is recorded by itself."""
        asked = []
        for call in requests.approvals:
            more = requests.metadata.get(call.tool_call_id)
            asked.append(
                ask_about_call(
                    self.attempt,
                    FRAMEWORK,
                    call.tool_name,
                    call.args_as_dict(),
                    call_id=call.tool_call_id,
                    more={"metadata": more} if more else None,
                )
            )
        free = [self._ask_for_result(call, requests) for call in requests.calls]
        results = DeferredToolResults()
        for call, waiting in zip(requests.approvals, asked, strict=True):
            verdict = await waiting
            results.approvals[call.tool_call_id] = (
                ToolApproved(override_args=verdict.arguments) if verdict.is_allowed else ToolDenied(verdict.message)
            )
        for call, asking in zip(requests.calls, free, strict=True):
            results.calls[call.tool_call_id] = _given(await asking)
        return results

    def _ask_for_result(self, call: ToolCallPart, requests: DeferredToolRequests) -> Awaitable[Answer]:
        value = {
            "tool": call.tool_name,
            "arguments": call.args_as_dict(),
            "call_id": call.tool_call_id,
            "metadata": requests.metadata.get(call.tool_call_id),
        }
        question = f"What is the result of the tool {call.tool_name!r}? Answer with respond, or edit for JSON."
        return ask_freely(self.attempt, FRAMEWORK, question, value)

    async def _stream(self, ctx: RunContext[Any], events: AsyncIterable[Any]) -> None:
        attempt = self.attempt
        async for event in events:
            text = _text_of(event)
            if text is not None:
                if text:
                    await attempt.emit(text)
            elif not isinstance(event, TOLD_ELSEWHERE) and not isinstance(
                getattr(event, "delta", None), ToolCallPartDelta
            ):
                await attempt.emit_event(FRAMEWORK, event.event_kind, event)


def _text_of(event: Any) -> str | None:
    """The text that an event adds to the output, or None when it is about something else."""
    text: str | None = None
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        text = event.part.content
    elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        text = event.delta.content_delta
    return text


class Seen:
    """Whether a step ran here, or was answered from the journal."""

    executed = False


async def _outcome_of(execution: Awaitable[Any]) -> dict[str, Any]:
    """What a tool call came to, as JSON: its value, or what it asks of the loop."""
    try:
        value = await execution
    except OUTCOMES as said:
        match said:
            case ApprovalRequired():
                return {"kind": "approval", "metadata": said.metadata}
            case CallDeferred():
                return {"kind": "deferred", "metadata": said.metadata, "call_kind": said.kind}
            case ModelRetry() | ToolRetryError():
                return {"kind": "retry", "message": str(said)}
            case _:
                return {"kind": "failed", "message": str(said)}
    if isinstance(value, ToolReturn):
        return {"kind": "return", "value": JSON_CODEC.dump(ToolReturn, value)}
    return {"kind": "value", "value": JSON_CODEC.dump(ToolReturnContent, value)}


def _result_of(outcome: Any) -> Any:
    if isinstance(outcome, str):  # what a person has answered in place of the tool
        return outcome
    match outcome["kind"]:
        case "approval":
            raise ApprovalRequired(metadata=outcome["metadata"])
        case "deferred":
            raise CallDeferred(metadata=outcome["metadata"], kind=outcome["call_kind"])
        case "retry":
            raise ModelRetry(outcome["message"])
        case "failed":
            raise ToolFailed(outcome["message"])
        case "return":
            return JSON_CODEC.load(ToolReturn, outcome["value"])
    return JSON_CODEC.load(ToolReturnContent, outcome["value"])


def _given(answer: Answer) -> Any:
    """The result of a call that somebody else makes, as a person gave it."""
    match answer.verdict:
        case "respond":
            return answer.response
        case "edit":
            return answer.edited
        case "approve":
            return "approved"
        case "reject":
            return ToolFailed(answer.reason or REJECTED)
        case _:
            return ToolFailed(EXPIRED)


class Bound:
    """One operation of the framework, as a step."""

    def __init__(self, attempt: Execution | None, operation: DurableOperation[Any, Any, Any]) -> None:
        self._attempt = attempt
        self._operation = operation

    @property
    def operation(self) -> DurableOperation[Any, Any, Any]:
        return self._operation

    async def __call__(self, params: Any, *, config: object | None = None) -> Any:
        operation, attempt = self._operation, self._attempt
        assert attempt is not None
        if isinstance(operation.operation_id, EventStreamHandlerId):
            return await operation.handler(params)  # events are told, not kept

        async def body(_: dict[str, Any]) -> Any:
            seen.executed = True
            with durable_unit_scope():
                result = await operation.handler(params)
            if isinstance(result, ModelResponse):
                record_usage(attempt, result)
            return result

        seen = Seen()
        kind, name, arguments, call_id = _named(operation, params)
        result = await attempt.effect(
            kind,
            name,
            arguments,
            body,
            dump=operation.result_codec.dump,
            load=operation.result_codec.load,
            call_id=call_id,
        )
        record_durable_unit(executed=seen.executed)
        return result


def _named(operation: DurableOperation[Any, Any, Any], params: Any) -> tuple[Any, str, dict[str, Any], str]:
    """(kind, name, what is shown of the arguments, id) of the step of an operation."""
    of = operation.operation_id
    if isinstance(of, ModelRequestId) and isinstance(params, ModelRequestParams):
        shown = {
            "messages": len(params.messages),
            "last": ModelMessagesTypeAdapter.dump_python(params.messages[-1:], mode="json"),
            "tools": sorted(one.name for one in params.model_request_parameters.function_tools),
        }
        return "model", of.model_name, shown, f"request {params.run_context.run_step}"
    label = operation.invocation_label(params) if operation.invocation_label is not None else ""
    name = "-".join([FRAMEWORK, type(of).__name__, *filter(None, [getattr(of, "operation", ""), label])])
    return ("model" if operation.config_role == "model" else "step"), name, {}, name


def record_usage(attempt: Execution, response: ModelResponse) -> None:
    """Counts one model call; what it cost is counted when the framework knows the price."""
    try:
        cost = float(response.cost().total_price)
    except Exception:
        cost = 0.0
    used = response.usage
    attempt.record_usage(
        input_tokens=used.input_tokens or 0, output_tokens=used.output_tokens or 0, model_calls=1, cost_usd=cost
    )


class Backend(DurableOperationBackend[None]):
    """Binds the framework's operations to an attempt."""

    def __init__(self, attempt: Execution | None) -> None:
        self._attempt = attempt

    def bind(self, operation: DurableOperation[Any, Any, Any]) -> Any:
        return Bound(self._attempt, operation)

    def config_for_tool(self, operation: DurableOperation[Any, Any, Any], *, tool: object, tool_name: str) -> None:
        return None

    def registrations(self) -> Sequence[Callable[..., object]]:
        return ()
