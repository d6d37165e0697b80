"""Which framework an object is of, told by its type alone.

Nothing is imported to find out: an object of a framework has that framework's classes among its ancestors, and their
modules are loaded already. The names here are the frameworks' public ones. A framework that is older than its floor is
refused with both versions, because it would fail in the middle of a run instead.
"""

import importlib
import importlib.util
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from pilothouse.sdk.agent import Definition
from pilothouse.sdk.bridges.bridge import Bridge
from pilothouse.sdk.bridges.function import FunctionBridge
from pilothouse.sdk.bridges.options import Options
from pilothouse.sdk.schema import type_name


class Framework(Struct, frozen=True):
    """`package` is where its classes live, `types` the names of those that are agents, `unready` of those that become
    one, with what to write. `stem` is the bridge's file here, whose class is `bridge`."""

    name: str
    package: str
    types: frozenset[str]
    stem: str
    bridge: str
    distribution: str
    floor: str
    what: str
    unready: dict[str, str] = {}


FRAMEWORKS = (
    Framework(
        "LangGraph",
        "langgraph",
        frozenset({"Pregel"}),
        "langgraph",
        "LangGraphBridge",
        "langgraph",
        "1.2",
        "a compiled LangGraph graph or @entrypoint",
        {"StateGraph": "write graph.compile()", "_TaskFunction": "name the @entrypoint that calls this @task"},
    ),
    Framework(
        "Pydantic AI",
        "pydantic_ai",
        frozenset({"AbstractAgent"}),
        "pydantic_ai",
        "PydanticAiBridge",
        "pydantic-ai-slim",
        "2.68",
        "a Pydantic AI Agent",
    ),
    Framework(
        "OpenAI Agents SDK",
        "agents",
        frozenset({"Agent"}),
        "openai_agents",
        "OpenAiAgentsBridge",
        "openai-agents",
        "0.24",
        "an Agent of the OpenAI Agents SDK",
    ),
    Framework(
        "Google ADK",
        "google.adk",
        frozenset({"BaseAgent", "App"}),
        "google_adk",
        "GoogleAdkBridge",
        "google-adk",
        "2.13",
        "an agent or App of Google ADK",
    ),
    Framework("CrewAI", "crewai", frozenset({"Crew"}), "crewai", "CrewAiBridge", "crewai", "1.15", "a CrewAI Crew"),
    Framework(
        "Agno",
        "agno",
        frozenset({"Agent", "Team"}),
        "agno",
        "AgnoBridge",
        "agno",
        "3.1",
        "an Agno Agent or Team",
    ),
    Framework(
        "smolagents",
        "smolagents",
        frozenset({"MultiStepAgent"}),
        "smolagents",
        "SmolagentsBridge",
        "smolagents",
        "1.26",
        "an agent of smolagents",
    ),
)
FUNCTIONS = "an async or sync function or generator"


def bridge_for(found: Any, options: Options | None = None) -> Bridge:
    """The bridge of an object. Raises `TypeError` or `ValueError` with what was found and what would work."""
    options = Options({}) if options is None else options
    framework = None if isinstance(found, Definition) else framework_of(found)
    if framework is not None:
        bridge = _load(framework)(found, options)
        options.all_taken(framework.name)
        return bridge
    if not callable(found):
        raise TypeError(f"{_shown(found)} is no agent; what works: {', '.join(all_that_works())}")
    options.all_taken("a function")
    return FunctionBridge(found.function if isinstance(found, Definition) else found)


def framework_of(found: Any) -> Framework | None:
    """The framework whose agent this object is. Raises `TypeError` for what only becomes an agent."""
    if isinstance(found, type):
        return None
    for kind in type(found).__mro__:
        for framework in FRAMEWORKS:
            if not _is_in(kind.__module__, framework.package) or _version_of(framework) is None:
                continue
            if kind.__name__ in framework.types:
                return framework
            if kind.__name__ in framework.unready:
                raise TypeError(f"{_shown(found)} cannot run as it is: {framework.unready[kind.__name__]}")
    return None


def all_that_works() -> list[str]:
    """What a target may name, in words."""
    return [FUNCTIONS, *(one.what for one in FRAMEWORKS if _is_bridged(one))]


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _is_bridged(framework: Framework) -> bool:
    return importlib.util.find_spec(f"{__package__}.{framework.stem}") is not None


def _load(framework: Framework) -> Callable[[Any, Options], Bridge]:
    version = _version_of(framework) or ""
    if _release(version) < _release(framework.floor):
        raise ValueError(
            f"{framework.name} {version} is installed here, and {framework.floor} is the oldest that works; "
            f"pip install '{framework.distribution}>={framework.floor}'"
        )
    if not _is_bridged(framework):
        raise TypeError(
            f"it is {framework.what}, for which there is no bridge yet; call it from {FUNCTIONS} and name that instead"
        )
    try:
        module = importlib.import_module(f"{__package__}.{framework.stem}")
    except Exception as error:  # another version of the framework than the bridge was written for
        text = f"{type(error).__name__}: {error}"
        raise ValueError(f"the bridge for {framework.name} does not load beside version {version} ({text})") from error
    bridge: Callable[[Any, Options], Bridge] = getattr(module, framework.bridge)
    return bridge


def _version_of(framework: Framework) -> str | None:
    """The installed version, or None: then a package of this name is the user's own."""
    from importlib.metadata import PackageNotFoundError, version  # 1 MB that a host without a framework can spare

    try:
        return version(framework.distribution)
    except PackageNotFoundError:
        return None


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, as far as they are numbers: pre-releases count as the release they lead to."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _shown(found: Any) -> str:
    return f"a {type_name(type(found))}"
