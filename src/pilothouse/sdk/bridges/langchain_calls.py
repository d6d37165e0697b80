"""Model calls and tool calls of LangChain, made steps wherever a node makes them: invoke, ainvoke, stream and astream.

The framework has no place of its own where a result could be given instead of a call: callbacks only watch, and its
cache is passed by when a node streams. So the few methods of the base classes through which every call goes are
wrapped, once in a process. Outside of a graph that a bridge runs, and inside of a step, they do what they always did.
A call that a node makes on the event loop without awaiting cannot wait for its row: its result is given out at once, as
values are, and is durable before any later step runs anything.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextvars import ContextVar
from functools import wraps
from hashlib import blake2b
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage, ToolMessage, message_chunk_to_message, message_to_dict
from langchain_core.messages import messages_from_dict as read_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.errors import GraphBubbleUp

from pilothouse.errors import ActionDenied
from pilothouse.sdk.bridges.langgraph_saver import packed, unpacked
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.schema import NotJson, read_json, shown_as_json, write_json
from pilothouse.sdk.scope import step_here

OURS = "__pilothouse_wraps__"
SERDE = JsonPlusSerializer()
END = object()


class Calls:
    """The calls of one attempt."""

    def __init__(self, attempt: Execution) -> None:
        self.attempt = attempt
        self.replayed: set[str] = set()
        """Ids of messages that came from the journal: their text was told by the attempt that got them."""

    @property
    def is_on_loop(self) -> bool:
        return threading.get_ident() == self.attempt.surroundings.thread


calls_here: ContextVar[Calls | None] = ContextVar("pilothouse_langchain_calls", default=None)


def active() -> Calls | None:
    """Who keeps calls that are made here; None inside of a step, which is kept as a whole."""
    scope = step_here.get()
    return None if scope is not None and scope.kind in ("model", "tool") else calls_here.get()


def task_here() -> str:
    """The task of the graph in which this runs: it is the same when the task is run again from a checkpoint."""
    config = var_child_runnable_config.get()
    return "" if config is None else str(config.get("configurable", {}).get("checkpoint_ns", ""))


# --- models -----------------------------------------------------------------------------------------------------------


def model_name(model: Any) -> str:
    return str(getattr(model, "model_name", None) or getattr(model, "model", None) or type(model).__name__)


def model_call(model: Any, messages: Sequence[BaseMessage], stop: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Kind, name, what is shown, and what the call is told apart by: all messages, without their ids."""
    plain = [shown_as_json(message_to_dict(one)) for one in messages]
    for one in plain:
        one["data"].pop("id", None)
    tools = shown_as_json(kwargs.get("tools", []))
    digest = blake2b(write_json([plain, stop, tools, sorted(kwargs)], in_order=True), digest_size=16).hexdigest()
    shown = {"messages": len(messages), "last": plain[-1:]}
    return {"kind": "model", "name": model_name(model), "arguments": shown, "call_id": digest}


def dump_result(result: ChatResult) -> dict[str, Any]:
    return {
        "generations": [
            {"message": shown_as_json(message_to_dict(one.message)), "info": shown_as_json(one.generation_info)}
            for one in result.generations
        ],
        "llm_output": shown_as_json(result.llm_output),
    }


def load_result(kept: dict[str, Any]) -> ChatResult:
    return ChatResult(
        generations=[
            ChatGeneration(message=read_messages([one["message"]])[0], generation_info=one["info"])
            for one in kept["generations"]
        ],
        llm_output=kept["llm_output"],
    )


def count_usage(attempt: Execution, messages: Sequence[BaseMessage]) -> None:
    used = [getattr(one, "usage_metadata", None) or {} for one in messages]
    attempt.record_usage(
        input_tokens=sum(one.get("input_tokens", 0) for one in used),
        output_tokens=sum(one.get("output_tokens", 0) for one in used),
        model_calls=1,
    )


async def agenerate(
    original: Any, model: Any, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
) -> ChatResult:
    here = active()
    if here is None:
        return await original(model, messages, stop, run_manager, **kwargs)
    executed: list[bool] = []

    async def body(_: dict[str, Any]) -> ChatResult:
        executed.append(True)
        result: ChatResult = await original(model, messages, stop, run_manager, **kwargs)
        count_usage(here.attempt, [one.message for one in result.generations])
        return result

    call = model_call(model, messages, stop, kwargs)
    result: ChatResult = await here.attempt.effect(**call, body=body, dump=dump_result, load=load_result)
    return _noted(here, result, bool(executed))


def generate(
    original: Any, model: Any, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
) -> ChatResult:
    here = active()
    if here is None:
        return original(model, messages, stop, run_manager, **kwargs)
    executed: list[bool] = []

    def function() -> ChatResult:
        executed.append(True)
        result: ChatResult = original(model, messages, stop, run_manager, **kwargs)
        count_usage(here.attempt, [one.message for one in result.generations])
        return result

    call = model_call(model, messages, stop, kwargs)
    result: ChatResult = _blocking(here, call, function, dump_result, load_result)
    return _noted(here, result, bool(executed))


def _noted(here: Calls, result: ChatResult, executed: bool) -> ChatResult:
    if not executed:
        here.replayed.update(one.message.id for one in result.generations if one.message.id)
    return result


def dump_message(message: BaseMessage) -> dict[str, Any]:
    kept: dict[str, Any] = shown_as_json(message_to_dict(message))
    return kept


def load_message(kept: dict[str, Any]) -> BaseMessage:
    return read_messages([kept])[0]


async def astream(
    original: Any, model: Any, input: Any, config: Any = None, *, stop: Any = None, **kwargs: Any
) -> AsyncIterator[Any]:
    here = active()
    if here is None:
        async for chunk in original(model, input, config, stop=stop, **kwargs):
            yield chunk
        return
    chunks: asyncio.Queue[Any] = asyncio.Queue()

    async def body(_: dict[str, Any]) -> Any:
        whole = None
        async for chunk in original(model, input, config, stop=stop, **kwargs):
            whole = chunk if whole is None else whole + chunk
            chunks.put_nowait(chunk)
        return _counted(here, whole)

    messages = model._convert_input(input).to_messages()
    call = model_call(model, messages, stop, kwargs)
    effect = here.attempt.effect(**call, body=body, dump=dump_message, load=load_message)
    task = asyncio.ensure_future(effect)
    task.add_done_callback(lambda _: chunks.put_nowait(END))
    has_yielded = False
    try:
        while (chunk := await chunks.get()) is not END:
            has_yielded = True
            yield chunk
        message = await task
        if not has_yielded:
            here.replayed.update([message.id] if message.id else [])
            yield message
    finally:
        task.cancel()


def stream(
    original: Any, model: Any, input: Any, config: Any = None, *, stop: Any = None, **kwargs: Any
) -> Iterator[Any]:
    here = active()
    if here is None:
        yield from original(model, input, config, stop=stop, **kwargs)
        return
    messages = model._convert_input(input).to_messages()
    call = model_call(model, messages, stop, kwargs)
    if here.is_on_loop:

        def function() -> Any:
            whole = None
            for chunk in original(model, input, config, stop=stop, **kwargs):
                whole = chunk if whole is None else whole + chunk
            return _counted(here, whole)

        yield _blocking(here, call, function, dump_message, load_message)
        return
    yield from _stream_in_thread(here, call, lambda: original(model, input, config, stop=stop, **kwargs))


def _stream_in_thread(here: Calls, call: dict[str, Any], begin: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    chunks: queue.Queue[Any] = queue.Queue()

    def drain() -> Any:
        whole = None
        for chunk in begin():
            whole = chunk if whole is None else whole + chunk
            chunks.put(chunk)
        return _counted(here, whole)

    async def body(_: dict[str, Any]) -> Any:
        return await here.attempt.in_step_thread(drain, (), {})

    async def effect() -> Any:
        return await here.attempt.effect(**call, body=body, dump=dump_message, load=load_message)

    job = asyncio.run_coroutine_threadsafe(effect(), here.attempt.loop)
    job.add_done_callback(lambda _: chunks.put(END))
    has_yielded = False
    try:
        while (chunk := chunks.get()) is not END:
            has_yielded = True
            yield chunk
        message = job.result()
        if not has_yielded:
            here.replayed.update([message.id] if message.id else [])
            yield message
    finally:
        job.cancel()


def _counted(here: Calls, whole: Any) -> Any:
    """A whole streamed answer. It stays a chunk: who streams adds chunks up."""
    count_usage(here.attempt, [] if whole is None else [message_chunk_to_message(whole)])
    return whole


# --- tools ------------------------------------------------------------------------------------------------------------


async def arun(original: Any, tool: Any, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
    here = active()
    if here is None:
        return await original(tool, tool_input, *args, **kwargs)

    async def body(arguments: dict[str, Any]) -> Any:
        return await original(tool, with_arguments(tool_input, arguments, shown), *args, **kwargs)

    call, shown = tool_call(tool, tool_input, kwargs.get("tool_call_id"))
    try:
        return told(
            tool,
            call,
            await here.attempt.effect(**call, body=body, dump=dump_output, load=load_output, passing=(GraphBubbleUp,)),
        )
    except ActionDenied as denied:
        return refusal(tool, call, denied)


def run(original: Any, tool: Any, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
    here = active()
    if here is None:
        return original(tool, tool_input, *args, **kwargs)
    call, shown = tool_call(tool, tool_input, kwargs.get("tool_call_id"))

    def function(arguments: dict[str, Any] | None = None) -> Any:
        given = tool_input if arguments is None else with_arguments(tool_input, arguments, shown)
        return original(tool, given, *args, **kwargs)

    try:
        return told(tool, call, _blocking(here, call, function, dump_output, load_output))
    except ActionDenied as denied:
        return refusal(tool, call, denied)


def told(tool: Any, call: dict[str, Any], output: Any) -> Any:
    """The output of a tool. A text in answer to a model's call is what a person has said in place of the tool."""
    if call["call_id"] and isinstance(output, str):
        return ToolMessage(output, name=tool.name, tool_call_id=call["call_id"])
    return output


def refusal(tool: Any, call: dict[str, Any], denied: ActionDenied) -> ToolMessage:
    """The error of a tool as the framework tells it to the model that called it. Raises the denial where no model did:
    then it is for the code of the node."""
    if not call["call_id"]:
        raise denied
    return ToolMessage(denied.message, name=tool.name, tool_call_id=call["call_id"], status="error")


def tool_call(tool: Any, tool_input: Any, call_id: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The step of a tool call, and the arguments it shows: those of the model, not what the graph puts in."""
    is_named = isinstance(tool_input, dict)
    shown: dict[str, Any] = tool._filter_injected_args(tool_input) if is_named else {"input": tool_input}
    once = bool((tool.metadata or {}).get("once"))
    call = {
        "kind": "tool",
        "name": tool.name,
        "arguments": shown,
        "call_id": call_id or "",
        "once": once,
    }
    return call, shown


def with_arguments(tool_input: Any, arguments: dict[str, Any], shown: dict[str, Any]) -> Any:
    """The input of a tool with the arguments that it is to be called with, when they were edited."""
    if arguments is shown:
        return tool_input
    return {**tool_input, **arguments} if isinstance(tool_input, dict) else arguments["input"]


def dump_output(output: Any) -> dict[str, Any]:
    """A tool's output: a message as itself, plain JSON as itself, anything else packed by the framework."""
    if type(output) is ToolMessage and output.artifact is None:
        return {"message": shown_as_json(message_to_dict(output))}
    try:
        if read_json(write_json(output)) == output:
            return {"value": output}
    except NotJson:
        pass
    return {"packed": packed(SERDE.dumps_typed(output))}


def load_output(kept: Any) -> Any:
    if isinstance(kept, str):  # what a person has answered in place of the tool
        return kept
    if "message" in kept:
        return read_messages([kept["message"]])[0]
    return kept["value"] if "value" in kept else SERDE.loads_typed(unpacked(kept["packed"]))


# --- calls that block -------------------------------------------------------------------------------------------------


def _blocking(here: Calls, call: dict[str, Any], function: Callable[..., Any], dump: Any, load: Any) -> Any:
    """A call from a sync node: its thread waits. On the event loop nobody can wait."""
    attempt = here.attempt
    if here.is_on_loop:
        call.pop("once", None)
        return attempt.effect_at_once(**call, function=function, dump=dump, load=load, passing=(GraphBubbleUp,))
    is_tool = call["kind"] == "tool"

    async def body(arguments: dict[str, Any]) -> Any:
        return await attempt.in_step_thread(function, (arguments,) if is_tool else (), {})

    return attempt.from_thread(
        lambda: attempt.effect(**call, body=body, dump=dump, load=load, passing=(GraphBubbleUp,))
    )


# --- the wraps --------------------------------------------------------------------------------------------------------


def _wrap(kind: type, name: str, ours: Callable[..., Any]) -> None:
    original = getattr(kind, name)
    if hasattr(original, OURS):
        return

    @wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return ours(original, self, *args, **kwargs)

    setattr(wrapped, OURS, True)
    setattr(kind, name, wrapped)


def install() -> None:
    """Wraps the framework's methods. A second call does nothing."""
    _wrap(BaseChatModel, "_agenerate_with_cache", agenerate)
    _wrap(BaseChatModel, "_generate_with_cache", generate)
    _wrap(BaseChatModel, "astream", astream)
    _wrap(BaseChatModel, "stream", stream)
    _wrap(BaseTool, "arun", arun)
    _wrap(BaseTool, "run", run)
