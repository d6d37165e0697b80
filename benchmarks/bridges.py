"""What a bridge adds to a framework: processor time of one run with one model call, by the framework alone and by us.

The same object in the same environment, run after run: in a bare program, as its author calls it; there streamed with
all its events, as a server must; as an agent of a node. And a function that only gives its text back, in that very
environment: what a run of ours costs without any framework. What is more than the two together is the bridge: the
model call as a step, the events, their commits. All four take turns, block by block, and the program waits for a line
before each run, as an agent waits for a request: on a busy machine a hot loop would be compared with a cold process.
Only frameworks whose environment `make frameworks` has made are measured.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks.outgoing import serving_node
from benchmarks.plan import Plan, Table, median
from benchmarks.server import ROOT
from pilothouse.client import Client
from pilothouse.testing import Answer, ScriptedModel, ToolCall, Usage

ENVIRONMENTS = ROOT / ".venv-frameworks"
HEAD = ["framework", "alone", "alone, streamed", "an empty run: host + node", "as an agent: host + node", "the bridge"]
WARM = 10
BARE = """
import asyncio, sys
import one
async def main():
    for line in sys.stdin:
        await getattr(one, line.strip())("hello")
        print("\\ndone", flush=True)
asyncio.run(main())
"""
ECHO = "async def echo(text: str) -> str:\n    return text\n"
INPUTS: dict[str, Callable[[str], Any]] = {
    "langgraph": lambda text: {"messages": [{"role": "user", "content": text}]},
    "crewai": lambda text: {"text": text},
}
PROGRAMS = {
    "pydantic_ai": """
import os
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

agent = Agent(OpenAIChatModel(os.environ["OPENAI_MODEL"], provider=OpenAIProvider()), instructions="Be brief.")

async def alone(text):
    await agent.run(text)

async def streamed(text):
    async with agent.run_stream_events(text) as events:
        async for _ in events:
            pass
""",
    "openai_agents": """
import os
from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)
agent = Agent(name="one", model=OpenAIChatCompletionsModel(os.environ["OPENAI_MODEL"], AsyncOpenAI(max_retries=0)))

async def alone(text):
    await Runner.run(agent, text)

async def streamed(text):
    async for _ in Runner.run_streamed(agent, text).stream_events():
        pass
""",
    "langgraph": """
import os
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

agent = create_agent(ChatOpenAI(model=os.environ["OPENAI_MODEL"], max_retries=0), [])

async def alone(text):
    await agent.ainvoke({"messages": [{"role": "user", "content": text}]})

async def streamed(text):
    given = {"messages": [{"role": "user", "content": text}]}
    async for _ in agent.astream(given, stream_mode=["updates", "messages", "custom"]):
        pass
""",
    "google_adk": """
import os
from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.runners import InMemoryRunner
from google.genai import types

agent = LlmAgent(name="one", model="gemini-scripted", instruction="Be brief.")
runner = None

async def alone(text, config=None):
    global runner
    if runner is None:
        runner = InMemoryRunner(agent, app_name="one")
    session = await runner.session_service.create_session(app_name="one", user_id="u")
    message = types.Content(role="user", parts=[types.Part(text=text)])
    async for _ in runner.run_async(user_id="u", session_id=session.id, new_message=message, run_config=config):
        pass

async def streamed(text):
    await alone(text, RunConfig(streaming_mode=StreamingMode.SSE))
""",
    "agno": """
import os
from agno.agent import Agent
from agno.models.openai import OpenAIChat

agent = Agent(name="one", model=OpenAIChat(os.environ["OPENAI_MODEL"]), telemetry=False)

async def alone(text):
    await agent.arun(text)

async def streamed(text):
    async for _ in agent.arun(text, stream=True, stream_events=True, yield_run_output=True):
        pass
""",
    "crewai": """
import asyncio, os
from crewai import LLM, Agent, Crew, Task

model = LLM(model="openai/" + os.environ["OPENAI_MODEL"], base_url=os.environ["OPENAI_BASE_URL"], api_key="unused")
one = Agent(role="one", goal="answer", backstory="You answer.", llm=model, verbose=False)
task = Task(description="Answer {text}.", expected_output="An answer.", agent=one)
agent = Crew(agents=[one], tasks=[task], tracing=False, verbose=False)

async def alone(text):
    await asyncio.to_thread(agent.copy().kickoff, {"text": text})

def read(text):
    own = agent.copy()
    own.stream = True
    for _ in own.kickoff({"text": text}):
        pass

async def streamed(text):
    await asyncio.to_thread(read, text)
""",
    "smolagents": """
import asyncio, copy, os
from smolagents import OpenAIModel, ToolCallingAgent

agent = ToolCallingAgent([], OpenAIModel(os.environ["OPENAI_MODEL"]), verbosity_level=0)

async def alone(text):
    await asyncio.to_thread(agent.run, text)

def read(text):
    own = copy.copy(agent)
    own.stream_outputs = True
    for _ in own.run(text, stream=True):
        pass

async def streamed(text):
    await asyncio.to_thread(read, text)
""",
}


def measure_bridges(plan: Plan, folder: Path) -> Table:
    count, blocks = (20, 7) if plan.repeats > 1 else (5, 2)
    lines: list[list[str]] = []
    raw = []
    with ScriptedModel(_answer, models=["scripted", "gemini-scripted"]) as model:
        for name in PROGRAMS:
            if not (ENVIRONMENTS / name / "made").exists():
                lines.append([name, "not measured: run `make frameworks`", "", "", "", ""])
                continue
            found = _measure(name, model, folder / f"bridge-{name}", count, blocks)
            alone, streamed, empty, ours = (found[kind] for kind in ("alone", "streamed", "echo", "one"))
            shown = [f"{sum(one):,.0f}" + (f" = {one[0]:,.0f} + {one[1]:,.0f}" if one[1] else "")
                     for one in (alone, streamed, empty, ours)]  # fmt: skip
            lines.append([name, *shown, f"{sum(ours) - sum(streamed) - sum(empty):+,.0f}"])
            raw.append({"framework": name, **{f"{kind}_us": one for kind, one in found.items()}})
    note = (
        f"Processor time of a run with one model call in us; {blocks} blocks of {count} runs by turns, the median; the "
        "model server is not in it."
    )
    return Table("bridges", "Bridges: what a run costs beside the framework alone", HEAD, lines, raw, note)


def _answer(request: Any) -> Answer:
    """smolagents ends with a tool."""
    tools = [one["function"]["name"] for one in request.body.get("tools") or () if "function" in one]
    if "final_answer" in tools:
        return Answer(tool_calls=[ToolCall("final_answer", {"answer": "yes"}, "end")], usage=Usage(10, 20))
    return Answer("yes", usage=Usage(10, 20))


def _measure(name: str, model: ScriptedModel, home: Path, count: int, blocks: int) -> dict[str, tuple[float, float]]:
    """(processor time of the program or the host, of the node) of a run in us, by what was run."""
    environment = ENVIRONMENTS / name
    home.mkdir(parents=True)
    (home / "one.py").write_text(PROGRAMS[name])
    (home / "echo.py").write_text(ECHO)
    text = f'[server]\nport = 0\n[egress]\nmode = "open"\n[providers.local]\nurl = "{model.base_url}"\n'
    for agent, target in (("one", "one:agent"), ("echo", "echo:echo")):
        text += f'[agents.{agent}]\ntarget = "{target}"\nmode = "event"\nenvironment = "{environment}"\n'
    (home / "pilothouse.toml").write_text(text)
    given = INPUTS.get(name, lambda said: said)
    with (
        _bare(environment, home, model) as (bare, run_bare),
        serving_node(home, model.environment) as (url, _),
        Client(url) as client,
    ):

        def run(agent: str) -> None:
            ended = client.start_run(agent, "hello" if agent == "echo" else given("hello"), wait=60)
            assert ended.status == "succeeded", ended

        node = next(one for one in psutil.Process().children() if one.pid != bare)
        hosts = [one.pid for one in node.children(recursive=True)]
        ways = {
            "alone": (run_bare, [bare], []),
            "streamed": (run_bare, [bare], []),
            "echo": (run, hosts, [node.pid]),
            "one": (run, hosts, [node.pid]),
        }
        samples: dict[str, list[tuple[float, float]]] = {kind: [] for kind in ways}
        for block in range(-1, blocks):
            for kind, (do, first, second) in ways.items():
                before = _used(first), _used(second)
                for _ in range(count if block >= 0 else WARM):
                    do(kind)
                spent = ((_used(first) - before[0]) / count, (_used(second) - before[1]) / count)
                if block >= 0:
                    samples[kind].append(spent)
    return {
        kind: (median([one[0] for one in some]), median([one[1] for one in some])) for kind, some in samples.items()
    }


@contextlib.contextmanager
def _bare(environment: Path, home: Path, model: ScriptedModel) -> Iterator[tuple[int, Callable[[str], None]]]:
    with subprocess.Popen(
        [str(environment / "bin" / "python"), "-c", BARE], cwd=home, env={**os.environ, **model.environment},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as program:  # fmt: skip
        assert program.stdin is not None
        assert program.stdout is not None
        stdin, stdout = program.stdin, program.stdout

        def run(kind: str) -> None:
            stdin.write(f"{kind}\n")
            stdin.flush()
            while (line := stdout.readline()) != "done\n":
                assert line, "the program ended"

        yield program.pid, run
        stdin.close()


def _used(pids: list[int]) -> float:
    """Processor time of these processes in us, threads that have ended included. The clock of a process is numbered as
    `clock_getcpuclockid(3)` of Linux numbers it; the ticks of /proc are too coarse here."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids) * 1e6
