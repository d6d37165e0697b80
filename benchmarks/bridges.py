"""What a bridge adds to a framework: processor time of one run with one model call, by the framework alone and by us.

The same object in the same environment: once in a bare program that calls it in a loop, once as an agent of a node,
asked run after run over HTTP. So our side holds the request, the run, its events, the recorded step and the commit.
Only frameworks whose environment `make frameworks` has made are measured. CrewAI and smolagents have no bridge of
their own at the model: what their calls take is in the table of outgoing calls.
"""

import os
import subprocess
from pathlib import Path

from benchmarks.outgoing import serving_node
from benchmarks.plan import Plan, Table, median
from benchmarks.server import ROOT
from pilothouse.client import Client
from pilothouse.testing import Answer, ScriptedModel, Usage

ENVIRONMENTS = ROOT / ".venv-frameworks"
HEAD = ["framework", "alone, CPU us", "as an agent, CPU us of node and host", "more"]
WARM = 10
BARE = """
import asyncio, sys, time
import one
async def main(count):
    for number in range(count + 10):
        if number == 10:
            began = time.process_time()
        await one.alone("hello " + str(number))
    print((time.process_time() - began) / count * 1e6)
asyncio.run(main(int(sys.argv[1])))
"""
PROGRAMS = {
    "pydantic_ai": """
import os
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

agent = Agent(OpenAIChatModel(os.environ["OPENAI_MODEL"], provider=OpenAIProvider()), instructions="Be brief.")

async def alone(text):
    await agent.run(text)
""",
    "openai_agents": """
import os
from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)
agent = Agent(name="one", model=OpenAIChatCompletionsModel(os.environ["OPENAI_MODEL"], AsyncOpenAI(max_retries=0)))

async def alone(text):
    await Runner.run(agent, text)
""",
    "langgraph": """
import os
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

agent = create_agent(ChatOpenAI(model=os.environ["OPENAI_MODEL"], max_retries=0), [])

async def alone(text):
    await agent.ainvoke({"messages": [{"role": "user", "content": text}]})
""",
    "google_adk": """
import os
from google.adk.agents import LlmAgent
from google.adk.runners import InMemoryRunner
from google.genai import types

agent = LlmAgent(name="one", model="gemini-scripted", instruction="Be brief.")
runner = None

async def alone(text):
    global runner
    if runner is None:
        runner = InMemoryRunner(agent, app_name="one")
    session = await runner.session_service.create_session(app_name="one", user_id="u")
    message = types.Content(role="user", parts=[types.Part(text=text)])
    async for _ in runner.run_async(user_id="u", session_id=session.id, new_message=message):
        pass
""",
    "agno": """
import os
from agno.agent import Agent
from agno.models.openai import OpenAIChat

agent = Agent(name="one", model=OpenAIChat(os.environ["OPENAI_MODEL"]), telemetry=False)

async def alone(text):
    await agent.arun(text)
""",
}


def measure_bridges(plan: Plan, folder: Path) -> Table:
    count, repeats = (100, 3) if plan.repeats > 1 else (20, 1)
    lines: list[list[str]] = []
    raw = []
    with ScriptedModel(
        lambda request: Answer("yes", usage=Usage(10, 20)), models=["scripted", "gemini-scripted"]
    ) as model:
        for name, program in PROGRAMS.items():
            environment = ENVIRONMENTS / name
            if not (environment / "made").exists():
                lines.append([name, "not measured: run `make frameworks`", "", ""])
                continue
            home = folder / f"bridge-{name}"
            home.mkdir(parents=True)
            (home / "one.py").write_text(program)
            (home / "pilothouse.toml").write_text(
                f'[server]\nport = 0\n[egress]\nmode = "open"\n[providers.local]\nurl = "{model.base_url}"\n'
                f'[agents.one]\ntarget = "one:agent"\nmode = "event"\nenvironment = "{environment}"\n'
            )
            alone = median([_alone(environment, home, model, count) for _ in range(repeats)])
            ours = _as_agent(home, model, name, count, repeats)
            lines.append([name, f"{alone:,.0f}", f"{ours:,.0f}", f"{ours - alone:+,.0f}"])
            raw.append({"framework": name, "alone_us": alone, "agent_us": ours})
    note = (
        f"One model call a run, {count} runs one after the other, median of {repeats}; the model server is not in it."
    )
    return Table("bridges", "Bridges: what a run costs beside the framework alone", HEAD, lines, raw, note)


def _alone(environment: Path, home: Path, model: ScriptedModel, count: int) -> float:
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-c", BARE, str(count)],
        cwd=home, env={**os.environ, **model.environment}, capture_output=True, check=True, text=True,
    )  # fmt: skip
    return float(done.stdout.splitlines()[-1])


def _as_agent(home: Path, model: ScriptedModel, name: str, count: int, repeats: int) -> float:
    samples = []
    with serving_node(home, model.environment) as (url, processor_time), Client(url) as client:

        def run(number: int) -> None:
            text = f"hello {number}"
            given = {"messages": [{"role": "user", "content": text}]} if name == "langgraph" else text
            found = client.start_run("one", given, wait=60)
            assert found.status == "succeeded", found

        for number in range(WARM):
            run(number)
        for _ in range(repeats):
            before = processor_time()
            for number in range(count):
                run(number)
            samples.append((processor_time() - before) / count * 1e6)
    return median(samples)
