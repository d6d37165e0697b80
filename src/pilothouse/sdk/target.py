"""From a target, `module:object`, to an agent that can be called. A target that cannot be loaded is a problem of that
agent alone: it is described with the user's own traceback, and the others are served.

Digesting the releases is left to `release`, calling the objects to `bridges`.
"""

import difflib
import importlib
import os
import sys
import traceback
from typing import Any, get_args

import msgspec
from msgspec import Struct

from pilothouse.domain.retry import Retry
from pilothouse.domain.run import Mode
from pilothouse.errors import TargetInvalid
from pilothouse.sdk.agent import AgentDefinition, Definition, checked_keep
from pilothouse.sdk.bridges.bridge import Bridge
from pilothouse.sdk.bridges.detection import bridge_for
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.failure import speakable
from pilothouse.sdk.release import project_modules, release_digest
from pilothouse.sdk.toolbox import describe_tools, known_tools
from pilothouse.wire.frames import AgentDescription
from pilothouse.wire.host import AgentTarget

PROBLEM_FRAMES = 5
LIBRARY_FRAMES = ("<frozen importlib", f"{os.sep}importlib{os.sep}__init__.py", __file__)


class Loaded(Struct):
    """An agent that was found, or what was in the way."""

    description: AgentDescription
    bridge: Bridge | None


def load_agents(project: str, targets: dict[str, AgentTarget]) -> dict[str, Loaded]:
    """Imports every target. The releases are digested last, when all modules of the project are known."""
    if project not in sys.path:
        sys.path.insert(0, project)
    importlib.invalidate_caches()
    loaded = {name: _load(name, target) for name, target in targets.items()}
    sources = project_modules(project).values()
    for name, one in loaded.items():
        if one.bridge is not None:
            one.description.release = release_digest(targets[name].target, project, sources)
    return loaded


def _load(name: str, target: AgentTarget) -> Loaded:
    try:
        return from_object(name, target, find_object(name, target.target))
    except TargetInvalid as error:
        return Loaded(AgentDescription(name, problem=speakable(error.message)), None)


def from_object(name: str, target: AgentTarget, found: Any) -> Loaded:
    """The agent that an object is. Raises `TargetInvalid`."""
    try:
        bridge = bridge_for(found, Options(target.options))
        bridge.tools.update(known_tools(bridge.tools, target.tools))
        return Loaded(_describe(name, target, found, bridge), bridge)
    except (TypeError, ValueError) as error:
        raise TargetInvalid(agent=name, target=target.target, reason=str(error)) from error


def find_object(agent: str, target: str) -> Any:
    """The object that a target names. Raises `TargetInvalid`."""
    module_name, separator, path = target.partition(":")
    if not separator or not module_name or not path:
        raise TargetInvalid(agent=agent, target=target, reason="it is not of the form module:object")
    try:
        found: Any = importlib.import_module(module_name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | GeneratorExit):
            raise
        raise TargetInvalid(agent=agent, target=target, reason=_last_lines(error)) from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise TargetInvalid(agent=agent, target=target, reason=_missing(found, name)) from None
    return found


def _missing(holder: Any, name: str) -> str:
    near = difflib.get_close_matches(name, [one for one in dir(holder) if not one.startswith("_")], n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"{getattr(holder, '__name__', type(holder).__name__)} has no {name!r}{meant}"


def _last_lines(error: BaseException) -> str:
    """The user's own end of a traceback: where it happened and what it was."""
    shown = traceback.TracebackException.from_exception(error)
    frames = [
        frame
        for frame in shown.stack
        if not frame.filename.startswith(LIBRARY_FRAMES) and LIBRARY_FRAMES[1] not in frame.filename
    ]
    shown.stack = traceback.StackSummary.from_list(frames[-PROBLEM_FRAMES:])
    return "it raised\n" + "".join(shown.format(chain=False)).rstrip()


def _describe(name: str, target: AgentTarget, found: Any, bridge: Bridge) -> AgentDescription:
    definition = found if isinstance(found, AgentDefinition) else None
    mode = target.mode or (definition.mode if definition else "stateless")
    if mode not in get_args(Mode):
        raise ValueError(f"mode is {mode!r}; it is one of {', '.join(get_args(Mode))}")
    keep: float | str | None = None if target.keep is None else checked_keep(target.keep)
    if keep is None:
        keep = definition.keep if definition and definition.keep is not None else 0.0
    retry: Retry | None = definition.retry if definition else None
    return AgentDescription(
        name,
        mode=mode,
        description=speakable(found.description if isinstance(found, Definition) else bridge.description),
        keep=keep,
        retry=msgspec.json.encode(retry),
        timeout=target.timeout if target.timeout is not None else (definition.timeout if definition else None),
        input_schema=bridge.input.schema,
        output_schema=bridge.output.schema,
        free_input=bridge.input.is_free,
        text_input=bridge.input.is_text,
        exact_schema=bridge.input.is_exact,
        keeps_trail=bridge.keeps_trail and mode == "session",
        wants_history=bridge.wants_history and mode == "session",
        tools=describe_tools(bridge.tools),
        decision=msgspec.json.encode(definition.decision if definition else None),
    )
