"""Agents as users of Google ADK write them; nothing here is for Pilothouse."""

import asyncio
import os

from google.adk.agents import LlmAgent, ParallelAgent, SequentialAgent
from google.adk.apps import App
from google.adk.artifacts import InMemoryArtifactService
from google.adk.tools import AgentTool, FunctionTool, LongRunningFunctionTool, ToolContext
from google.genai import types
from outside import tell
from pydantic import BaseModel

MODEL = os.environ.get("GEMINI_MODEL", "gemini-2.5-flash")


async def look(what: str) -> dict:
    """Looks for something."""
    await asyncio.to_thread(tell, f"look {what}")
    return {"found": f"{what} is here"}


def count(what: str) -> int:
    """Counts letters."""
    tell(f"count {what}")
    return len(what)


def note(what: str, tool_context: ToolContext) -> str:
    """Keeps something in mind."""
    tell(f"note {what}")
    tool_context.state["noted"] = what
    return "noted"


async def refund(order: str, cents: int) -> dict:
    """Pays back."""
    await asyncio.to_thread(tell, f"refund {order} {cents}")
    return {"refunded": cents}


async def broken() -> str:
    """Fails."""
    tell("broken")
    raise LookupError("the shelf is empty")


def ask_colleague(question: str) -> None:
    """Somebody else answers, later."""


support = LlmAgent(
    name="support",
    description="Answers customers.",
    instruction="Be brief. Noted: {noted?}",
    model=MODEL,
    tools=[
        look,
        count,
        note,
        FunctionTool(refund, require_confirmation=True),
        broken,
        LongRunningFunctionTool(ask_colleague),
    ],
)
app = App(name="desk_app", root_agent=support)

billing = LlmAgent(name="billing", description="Bills.", instruction="You do bills.", model=MODEL, tools=[count])
front = LlmAgent(name="front", instruction="You hand over.", model=MODEL, tools=[look], sub_agents=[billing])

finder = LlmAgent(name="finder", description="Finds.", instruction="You find.", model=MODEL, tools=[look])
lead = LlmAgent(name="lead", instruction="You hand over.", model=MODEL, sub_agents=[finder])

expert = LlmAgent(name="expert", description="Knows.", instruction="You know it all.", model=MODEL, tools=[look])
asker = LlmAgent(name="asker", instruction="Ask the expert.", model=MODEL, tools=[AgentTool(expert), count])

left = LlmAgent(name="left", instruction="You are left.", model=MODEL, tools=[look], output_key="left")
right = LlmAgent(name="right", instruction="You are right.", model=MODEL, tools=[look], output_key="right")
last = LlmAgent(name="last", instruction="Left said {left}, right said {right}.", model=MODEL)
both = SequentialAgent(name="both", sub_agents=[ParallelAgent(name="sides", sub_agents=[left, right]), last])


class Verdict(BaseModel):
    allowed: bool
    reason: str


class Request(BaseModel):
    name: str
    points: int = 0


judge = LlmAgent(name="judge", instruction="Judge it.", model=MODEL, input_schema=Request, output_schema=Verdict)

payer = LlmAgent(
    name="payer",
    description="Pays.",
    instruction="You pay.",
    model=MODEL,
    tools=[FunctionTool(refund, require_confirmation=True)],
)
boss = LlmAgent(name="boss", instruction="Let others pay.", model=MODEL, tools=[AgentTool(payer)])

artifacts = InMemoryArtifactService()


async def put_away(what: str, tool_context: ToolContext) -> str:
    """Keeps something."""
    await tool_context.save_artifact("kept.txt", types.Part(text=what))
    return "kept"


async def take_out(tool_context: ToolContext) -> str:
    """Gives back what was kept."""
    found = await tool_context.load_artifact("kept.txt")
    return "" if found is None else str(found.text)


filer = LlmAgent(name="filer", instruction="You keep things.", model=MODEL, tools=[put_away, take_out])
