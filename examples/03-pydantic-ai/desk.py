"""The licence desk as a Pydantic AI agent. Nothing here knows of Pilothouse: `pilothouse.toml` names the object.

Every call of the model and of a tool is a step of its run all the same, a session remembers the conversation, and what
`keep_note` writes is written after a person has agreed.
"""

import os
import sys
from pathlib import Path
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "01-licence-desk"))

import lookup  # noqa: E402 - it is in the folder beside this one

desk = Agent(
    OpenAIChatModel(os.environ.get("OPENAI_MODEL", "gpt-4o-mini")),
    name="desk",
    system_prompt=(
        "You are the licence desk. Use the tools, and say only what they give you.\n"
        f"Distributions: {', '.join(lookup.distributions())}"
    ),
)


@desk.tool_plain
def read_record(name: str) -> dict[str, Any]:
    """The record of one distribution: licence, holders, obligations, evidence."""
    return lookup.record(name)


@desk.tool_plain
def list_records(kind: str) -> dict[str, Any]:
    """The distributions of one kind of licence; an empty kind: all."""
    return lookup.records(kind)


@desk.tool_plain(requires_approval=True)
def keep_note(text: str) -> dict[str, str]:
    """Keeps a note for everybody."""
    with (HERE / "notes.txt").open("a") as notes:
        notes.write(f"{text}\n")
    return {"noted": text}
