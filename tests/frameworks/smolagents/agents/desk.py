"""Agents as users of smolagents write them; nothing here is for Pilothouse."""

import os

from outside import tell
from smolagents import CodeAgent, OpenAIModel, ToolCallingAgent, tool


@tool
def look(what: str) -> str:
    """Looks for something.

    Args:
        what: the thing
    """
    tell(f"look {what}")
    return f"{what} is here"


support = ToolCallingAgent([look], OpenAIModel(os.environ["OPENAI_MODEL"]), verbosity_level=0)
finder = ToolCallingAgent(
    [look], OpenAIModel(os.environ["OPENAI_MODEL"]), name="finder", description="Finds things.", verbosity_level=0
)
lead = ToolCallingAgent([], OpenAIModel(os.environ["OPENAI_MODEL"]), managed_agents=[finder], verbosity_level=0)
coder = CodeAgent([look], OpenAIModel(os.environ["OPENAI_MODEL"]), verbosity_level=0)
