"""Agents as users of Pydantic AI write them; nothing here is for Pilothouse."""

import asyncio
import os
from dataclasses import dataclass

from outside import tell
from pydantic import BaseModel
from pydantic_ai import Agent, CallDeferred, ModelRetry, RunContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def model() -> OpenAIChatModel:
    return OpenAIChatModel(os.environ["OPENAI_MODEL"], provider=OpenAIProvider())


support = Agent(model(), name="support", description="Answers customers.", instructions="Be brief.")


@support.tool_plain
async def look(what: str) -> str:
    await asyncio.to_thread(tell, f"look {what}")
    return f"{what} is here"


@support.tool_plain
def count(what: str) -> int:
    tell(f"count {what}")
    return len(what)


@support.tool_plain(requires_approval=True)
async def refund(order: str, cents: int) -> str:
    await asyncio.to_thread(tell, f"refund {order} {cents}")
    return f"refunded {cents}"


@support.tool_plain
async def fussy(word: str) -> str:
    if word != "please":
        raise ModelRetry("say please")
    return "fine"


@support.tool_plain
async def broken() -> str:
    tell("broken")
    raise LookupError("the shelf is empty")


@support.tool_plain
async def ask_colleague(question: str) -> str:
    raise CallDeferred


class Verdict(BaseModel):
    allowed: bool
    reason: str


@dataclass
class Customer:
    name: str
    points: int = 0


judge = Agent(model(), name="judge", deps_type=Customer, output_type=Verdict)


@judge.instructions
def about(ctx: RunContext[Customer]) -> str:
    return f"The customer is {ctx.deps.name} with {ctx.deps.points} points."
