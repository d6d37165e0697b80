"""Agents and teams of Agno: streamed, on a copy for each run; every call of a tool is a step.

Agno's own `tool_hooks` stand around a tool call, members of a team included. Model calls are steps by the client
library that the model uses (`sdk/egress`). A session is Agno's own, kept as trails of ours; an agent with a database of
its own keeps it there. A run that pauses for a person (`requires_confirmation`) ends with an error that says so.
"""

import contextlib
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import Any

import msgspec
from agno.db.in_memory import InMemoryDb
from agno.run.agent import RunErrorEvent, RunOutput, RunPausedEvent
from agno.run.team import TeamRunOutput
from agno.session.agent import AgentSession
from agno.session.team import TeamSession
from agno.tools.function import Function
from agno.tools.toolkit import Toolkit
from agno.utils.team import get_member_id
from msgspec import Struct

from pilothouse.domain.policy import Tool
from pilothouse.errors import Unsupported
from pilothouse.sdk.bridges.hand_off import EVERYBODY, hand_off_action, hand_over
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.bridges.tagged import dump_tagged, load_tagged
from pilothouse.sdk.execution import Execution
from pilothouse.sdk.function import step_name
from pilothouse.sdk.schema import FREE_CODEC, Codec, codec_for, shown_as_json, write_json
from pilothouse.sdk.session import SessionMemory
from pilothouse.sdk.toolbox import schema_of, tool_of

FRAMEWORK = "agno"
DELEGATING = ("delegate_task_to_member", "delegate_task_to_members")
"""How a team hands over: what its members then call are the steps."""
DELTAS = ("RunContent", "TeamRunContent")


class _Here(Struct):
    attempt: Execution
    blocking: set[str]


here: ContextVar[_Here | None] = ContextVar("agno_attempt", default=None)


class AgnoBridge:
    wants_history = False
    keeps_trail = True

    def __init__(self, agent: Any, options: Options) -> None:
        self._agent = agent
        self.tools: dict[str, Tool] = {}
        self._blocking: set[str] = set()
        """Sync tools with no hooks around them: they run in a thread, or they would stop the host."""
        self._find_tools(agent)
        wanted = getattr(agent, "input_schema", None)
        self.input: Codec = codec_for(str | dict[str, Any]) if not isinstance(wanted, type) else codec_for(wanted)
        given = getattr(agent, "output_schema", None)
        self.output: Codec = codec_for(given) if isinstance(given, type) else FREE_CODEC
        self.description = getattr(agent, "description", None) or ""

    def _find_tools(self, agent: Any) -> None:
        tools = agent.tools if isinstance(agent.tools, list) else []
        for tool in tools:
            if isinstance(tool, Toolkit):
                functions = [*tool.functions.values(), *tool.async_functions.values()]
            elif isinstance(tool, Function):
                functions = [tool]
            elif callable(tool):
                functions = [Function.from_callable(tool)]
            else:
                continue
            for one in functions:
                schema = one.parameters if one.entrypoint is None else msgspec.json.decode(schema_of(one.entrypoint))
                self.tools[step_name(one.name)] = tool_of(one.name, schema)
                if not (agent.tool_hooks or one.tool_hooks or iscoroutinefunction(one.entrypoint)):
                    self._blocking.add(one.name)
        members = getattr(agent, "members", None)
        members = members if isinstance(members, list) else []
        for member in members:
            self.tools.update(hand_off_action(str(get_member_id(member))))
            self._find_tools(member)
        if members:
            self.tools.update(hand_off_action(EVERYBODY))

    def read(self, raw: bytes) -> Any:
        return self.input.read(raw)

    async def run(self, attempt: Execution, value: Any) -> object:
        own = self._agent.deep_copy()
        _record(own)
        memory = attempt.session
        kept = None if memory.key is None or own.db is not None else _restored(own, memory)
        token = here.set(_Here(attempt, self._blocking))
        try:
            output = await self._listen(attempt, own, value)
        finally:
            here.reset(token)
        if kept is not None:
            _keep(kept, memory)
        return output

    async def _listen(self, attempt: Execution, own: Any, value: Any) -> object:
        final: Any = None
        session = attempt.session.key
        events = own.arun(
            value, stream=True, stream_events=True, yield_run_output=True, session_id=session, run_id=attempt.run_id
        )
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


def _restored(own: Any, memory: SessionMemory) -> InMemoryDb:
    """Agno's session of the turns before, in a database of its own that lives for this attempt."""
    runs = [run for trail in memory.trails for run in trail["runs"]]
    data = memory.trails[-1]["data"] if memory.trails else None
    db, is_team = InMemoryDb(), hasattr(own, "members")
    read, kind = (TeamSession.from_dict, "team_id") if is_team else (AgentSession.from_dict, "agent_id")
    if memory.trails:
        session = read({"session_id": memory.key, kind: own.id, "session_data": data, "runs": runs})
        assert session is not None
        db.upsert_session(session)
    own.db = db
    return db


def _keep(db: InMemoryDb, memory: SessionMemory) -> None:
    """What this turn added: its runs, those of members of a team among them, and the state of the session."""
    stored = next(iter(db._sessions.values()), None)
    if stored is None:
        return
    runs = shown_as_json(stored.get("runs") or [])
    data = shown_as_json(stored.get("session_data"))
    before = sum(len(trail["runs"]) for trail in memory.trails)
    if memory.wants_whole(len(write_json(runs))):
        memory.keep_whole({"runs": runs, "data": data})
    else:
        memory.keep_trail({"runs": runs[before:], "data": data})


def _record(agent: Any) -> None:
    agent.tool_hooks = [recorded, *(agent.tool_hooks or [])]
    for member in getattr(agent, "members", None) or []:
        _record(member)


async def recorded(function_name: str, function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Stands around a tool call; outside of a run of ours it only calls. Agno calls the tool with the very arguments
    that it shows to hooks, so those that somebody has edited are put into them."""
    known = here.get()
    if known is None:
        result = function_call(**arguments)
        return await result if isawaitable(result) else result
    attempt = known.attempt

    def use(chosen: dict[str, Any]) -> None:
        for name in shown:
            del arguments[name]
        arguments.update(chosen)

    async def body(chosen: dict[str, Any]) -> Any:
        if chosen is not shown:
            use(chosen)
        result = function_call(**arguments)
        if function_name in known.blocking and iscoroutine(result):
            return await attempt.in_step_thread(_driven, (result,), {})
        return await result if isawaitable(result) else result

    shown = {name: value for name, value in arguments.items() if not isinstance(value, Function)}
    if function_name in DELEGATING:
        other = await hand_over(attempt, str(shown.get("member_id", EVERYBODY)), shown)
        if other.arguments is None:
            return other.message
        use(other.arguments)
        result = function_call(**arguments)
        return await result if isawaitable(result) else result
    return await attempt.effect("tool", function_name, shown, body, dump=dump_tagged, load=load_tagged)


def _driven(call: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that awaits nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    call.close()
    raise RuntimeError("a tool that is no coroutine function has awaited something")
