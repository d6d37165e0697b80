"""Agents as users of the OpenAI Agents SDK write them; nothing here is for Pilothouse."""

import asyncio
import os
from dataclasses import dataclass

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    RunConfig,
    RunContextWrapper,
    function_tool,
    handoff,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from outside import tell
from pydantic import BaseModel

set_tracing_disabled(True)


def model() -> OpenAIChatCompletionsModel:
    return OpenAIChatCompletionsModel(os.environ["OPENAI_MODEL"], AsyncOpenAI(max_retries=0))


class Shelf(BaseModel):
    what: str
    place: int


@function_tool
async def look(what: str) -> str:
    """Looks for something."""
    await asyncio.to_thread(tell, f"look {what}")
    return f"{what} is here"


@function_tool
def count(what: str) -> int:
    """Counts letters."""
    tell(f"count {what}")
    return len(what)


@function_tool
async def shelf(what: str) -> Shelf:
    """Where it lies."""
    await asyncio.to_thread(tell, f"shelf {what}")
    return Shelf(what=what, place=7)


@function_tool(needs_approval=True)
async def refund(order: str, cents: int) -> str:
    """Pays back."""
    await asyncio.to_thread(tell, f"refund {order} {cents}")
    return f"refunded {cents}"


@function_tool(failure_error_function=None)
async def broken() -> str:
    """Fails."""
    tell("broken")
    raise LookupError("the shelf is empty")


@function_tool
async def fussy(word: str) -> str:
    """Wants a polite word."""
    tell(f"fussy {word}")
    if word != "please":
        raise ValueError("say please")
    return "fine"


support = Agent(
    name="support",
    handoff_description="Answers customers.",
    instructions="Be brief.",
    model=model(),
    tools=[look, count, shelf, refund, broken, fussy],
)

by_name = Agent(name="by_name", model=os.environ["OPENAI_MODEL"], tools=[look])

billing = Agent(name="billing", instructions="You do bills.", model=model(), tools=[count, refund])
front = Agent(name="front", instructions="You hand over.", model=model(), handoffs=[billing], tools=[look])
finder = Agent(name="finder", instructions="You find.", model=model(), tools=[look])
lead = Agent(name="lead", instructions="You hand over.", model=model(), handoffs=[finder])
formal = Agent(name="formal", model=model(), handoffs=[handoff(billing, tool_name_override="to_billing")])

expert = Agent(name="expert", instructions="You know it all.", model=model(), tools=[look, refund])
asker = Agent(
    name="asker",
    instructions="Ask the expert.",
    model=model(),
    tools=[expert.as_tool("ask_expert", "Asks the expert."), count],
)

shelver = Agent(name="shelver", model=model(), tools=[shelf], tool_use_behavior="stop_on_first_tool", output_type=Shelf)


class Verdict(BaseModel):
    allowed: bool
    reason: str


@dataclass
class Customer:
    name: str
    points: int = 0


def about(ctx: RunContextWrapper[Customer], agent: Agent[Customer]) -> str:
    return f"The customer is {ctx.context.name} with {ctx.context.points} points."


judge = Agent[Customer](name="judge", instructions=about, model=model(), output_type=Verdict)

config = RunConfig(model_settings=ModelSettings(temperature=0.25))
