"""Agents as users of Agno write them; nothing here is for Pilothouse."""

import asyncio
import os

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.team import Team
from outside import tell
from pydantic import BaseModel


async def look(what: str) -> str:
    """Looks for something."""
    await asyncio.to_thread(tell, f"look {what}")
    return f"{what} is here"


support = Agent(name="support", model=OpenAIChat(os.environ["OPENAI_MODEL"]), tools=[look], telemetry=False)
chat = Agent(name="chat", model=OpenAIChat(os.environ["OPENAI_MODEL"]), add_history_to_context=True, telemetry=False)

finder = Agent(
    id="finder",
    name="finder",
    instructions="You find things.",
    model=OpenAIChat(os.environ["OPENAI_MODEL"]),
    tools=[look],
    telemetry=False,
)
crew = Team(name="crew", model=OpenAIChat(os.environ["OPENAI_MODEL"]), members=[finder], telemetry=False)


class Question(BaseModel):
    name: str
    points: int = 0


class Verdict(BaseModel):
    allowed: bool
    reason: str


judge = Agent(
    name="judge",
    model=OpenAIChat(os.environ["OPENAI_MODEL"]),
    input_schema=Question,
    output_schema=Verdict,
    telemetry=False,
)
