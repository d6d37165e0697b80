"""LangGraph: a compiled graph or an `@entrypoint`, as its users write it, on a copy that has our checkpointer.

Two records carry a run. The checkpoints: a new attempt goes on at the last one, so a node that ended is not run again.
And the journal: inside of a node that had not ended, every model call and tool call is a step (`langchain_calls`),
counted in the task of the graph, whose id the checkpoint fixes. An interrupt is a review; its answer resumes the graph.
A turn keeps what it changed in the state of the graph. A checkpointer of the user's own is not used.
"""

import asyncio
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.types import Command

from pilothouse.domain.policy import Tool
from pilothouse.errors import InvalidInput
from pilothouse.sdk.bridges.langchain_calls import Calls, calls_here, install, task_here
from pilothouse.sdk.bridges.langgraph_pause import ask_about
from pilothouse.sdk.bridges.langgraph_saver import NAME, Journal, Saver
from pilothouse.sdk.bridges.langgraph_state import Described, StateCodec, fields_of, schema_of
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.bridges.pause import ask_freely
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.function import step_name
from pilothouse.sdk.schema import FREE_CODEC, Codec
from pilothouse.sdk.scope import counting_here
from pilothouse.sdk.toolbox import tool_of

FAULTS_LIMIT = 100
DELTA = "DeltaChannel"


class LangGraphBridge:
    """The input is any part of the graph's state, or what an entrypoint takes."""

    wants_history = False
    keeps_trail = True

    def __init__(self, graph: Any, options: Options) -> None:
        install()
        self._graph = graph
        self._config, self._context = _config_of(options), options.table("context")
        self.tools: dict[str, Tool] = {}
        _find_tools(graph, self.tools)
        self.description = ""
        self._model: Any = None
        self.input: Codec = self._input_codec()
        self.output: Codec = self._output_codec()

    def _input_codec(self) -> Codec:
        builder = getattr(self._graph, "builder", None)
        try:
            return StateCodec(builder.input_schema)  # type: ignore[union-attr]
        except (AttributeError, TypeError):
            pass
        try:
            self._model = self._graph.get_input_schema()
            return Described(self._graph.get_input_jsonschema())
        except Exception:  # a type that has no schema
            return FREE_CODEC

    def _output_codec(self) -> Codec:
        builder = getattr(self._graph, "builder", None)
        try:
            return Described(schema_of(fields_of(builder.output_schema)))  # type: ignore[union-attr]
        except (AttributeError, TypeError):
            pass
        try:
            return Described(self._graph.get_output_jsonschema())
        except Exception:
            return FREE_CODEC

    def read(self, raw: bytes) -> Any:
        value = self.input.read(raw)
        if not hasattr(self._model, "model_validate"):
            return value
        try:
            read = self._model.model_validate(value)
        except ValueError as error:
            raise InvalidInput(faults=_faults(error)) from None
        if hasattr(read, "root"):
            return read.root
        return {name: getattr(read, name) for name in read.model_fields_set}

    async def run(self, attempt: Execution, value: Any) -> object:
        return await GraphRun(self._graph, attempt, self._config, self._context).finish(value)


class Stopped(RuntimeError):
    """A person did not let a graph go on after a breakpoint."""


class GraphRun:
    """One attempt at one run."""

    def __init__(self, graph: Any, attempt: Execution, config: dict[str, Any], context: dict[str, Any] | None) -> None:
        self._attempt = attempt
        thread = attempt.session.key or attempt.run_id
        self._saver = Saver(Journal(attempt), thread, getattr(graph.checkpointer, "serde", None))
        self._saver.restore(attempt.session.trails, attempt.journal.checkpoints(NAME))
        self._graph = graph.copy(update={"checkpointer": self._saver})
        self._config = {**config, "configurable": {**config["configurable"], "thread_id": thread}}
        self._context = context
        self._calls = Calls(attempt)
        self._output: Any = None
        self._passed: set[str] = set()
        """Checkpoints of breakpoints that a person let the graph pass."""

    async def finish(self, value: Any) -> Any:
        given = value
        if self._saver.has_begun:
            self._attempt.journal.replay.pass_over()
            given = await self._answers()
        token, counting = calls_here.set(self._calls), counting_here.set(task_here)
        try:
            while True:
                await self._stream(given)
                passed = len(self._passed)
                given = await self._answers()
                if given is None and len(self._passed) == passed:
                    break
        finally:
            calls_here.reset(token)
            counting_here.reset(counting)
        await self._keep_trail()
        return self._output

    # --- streaming ---

    async def _stream(self, given: Any) -> None:
        attempt = self._attempt
        modes = ["values", *(("updates", "custom", "messages") if attempt.start.stream else ())]
        async for ns, mode, said in self._graph.astream(
            given, self._config, context=self._context, stream_mode=modes, subgraphs=True, durability="sync"
        ):
            if mode == "values":
                if not ns and not _is_interrupt(said):
                    self._output = said
            elif mode == "messages":
                await self._tell_text(said[0])
            else:
                body = {"namespace": list(ns), mode: said} if ns else {mode: said}
                await attempt.emit_event(NAME, mode, body)

    async def _tell_text(self, message: Any) -> None:
        """The text of a model's answer, piece by piece. Tools speak through the model."""
        if isinstance(message, AIMessage) and message.id not in self._calls.replayed:
            text = message.text if isinstance(message.text, str) else message.text()
            if text:
                await self._attempt.emit(str(text))

    # --- interrupts ---

    async def _answers(self) -> Any:
        """What the graph is gone on with, or None when it waits for nobody: people are asked about all open interrupts
        at once."""
        state = await self._graph.aget_state(self._config, subgraphs=True)
        waiting = {one.id: one.value for one in state.interrupts if self._saver.waits(one.id)}
        if not waiting:
            await self._pass_breakpoint(state)
            return None
        asked = [ask_about(self._attempt, interrupt, value) for interrupt, value in sorted(waiting.items())]
        answers = await asyncio.gather(*asked)
        return Command(resume=dict(zip(sorted(waiting), answers, strict=True)))

    async def _pass_breakpoint(self, state: Any) -> None:
        """At a breakpoint that the graph was compiled with a person must approve. It is known by its checkpoint, so an
        attempt that comes here again finds the answer."""
        before, after = self._graph.interrupt_before_nodes, self._graph.interrupt_after_nodes
        if not state.next or not (before or after):
            return
        stops = [f"before {name}" for name in state.next if before == "*" or name in before]
        stops += [f"after {name}" for name in self._saver.ended_before(state) if after == "*" or name in after]
        if not stops:
            return
        where = {"stopped": stops, "checkpoint": state.config["configurable"]["checkpoint_id"]}
        answer = await ask_freely(self._attempt, NAME, f"The graph stopped {', '.join(stops)}. May it go on?", where)
        if answer.verdict != "approve":
            raise Stopped(f"A person did not let the graph go on {', '.join(stops)}. {answer.reason}".strip())
        self._passed.add(where["checkpoint"])

    # --- the session ---

    async def _keep_trail(self) -> None:
        session = self._attempt.session
        if session.key is None:
            return
        deltas = await self._deltas()
        if session.wants_whole(self._saver.size):
            session.keep_whole(self._saver.trail(deltas, whole=True))
        else:
            session.keep_trail(self._saver.trail(deltas))

    async def _deltas(self) -> dict[str, Any]:
        """The values of channels that a checkpoint does not hold, since they follow from the writes before it."""
        channels = getattr(self._graph, "channels", {})
        names = [name for name, channel in channels.items() if type(channel).__name__ == DELTA]
        if not names:
            return {}
        values = (await self._graph.aget_state(self._config)).values
        return {name: values[name] for name in names if name in values}


def _config_of(options: Options) -> dict[str, Any]:
    """The `RunnableConfig` of every run of the graph."""
    numbers = {name: options.number(name) for name in ("recursion_limit", "max_concurrency")}
    config: dict[str, Any] = {name: number for name, number in numbers.items() if number is not None}
    return {**config, "configurable": options.table("configurable") or {}}


def _find_tools(graph: Any, found: dict[str, Tool]) -> None:
    """The tools of its tool nodes, and of those of the graphs in it. A tool that a node calls by itself is known when
    it is called."""
    for node in getattr(graph, "nodes", {}).values():
        bound = getattr(node, "bound", None)
        for name, tool in getattr(bound, "tools_by_name", {}).items():
            try:
                schema = tool.tool_call_schema
                schema = schema if isinstance(schema, dict) else schema.model_json_schema()
            except Exception:  # arguments of types that have no schema
                schema = None
            found[step_name(name)] = tool_of(name, schema, tool.metadata)
        if bound is not None and getattr(bound, "nodes", None):
            _find_tools(bound, found)


def _is_interrupt(said: Any) -> bool:
    return isinstance(said, dict) and "__interrupt__" in said


def _faults(error: ValueError) -> list[dict[str, str]]:
    told = getattr(error, "errors", None)
    if told is None:
        return [{"path": "$", "message": str(error)}]
    found = []
    for one in told()[:FAULTS_LIMIT]:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in one["loc"])
        found.append({"path": f"${path}", "message": one["msg"]})
    return found
