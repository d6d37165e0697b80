"""The licence desk as an agent of Google ADK. Nothing here knows of Pilothouse: `pilothouse.toml` names the object.

Every call of the model and of a tool is a step of its run all the same, a session remembers the conversation, and what
`keep_note` writes is written after a person has agreed.
"""

import os
import sys
from pathlib import Path
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.tools import FunctionTool

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "01-licence-desk"))

import lookup  # noqa: E402 - it is in the folder beside this one


def read_record(name: str) -> dict[str, Any]:
    """The record of one distribution: licence, holders, obligations, evidence."""
    return lookup.record(name)


def list_records(kind: str) -> dict[str, Any]:
    """The distributions of one kind of licence; an empty kind: all."""
    return lookup.records(kind)


def keep_note(text: str) -> dict[str, str]:
    """Keeps a note for everybody."""
    with (HERE / "notes.txt").open("a") as notes:
        notes.write(f"{text}\n")
    return {"noted": text}


desk = LlmAgent(
    name="desk",
    model=os.environ.get("GEMINI_MODEL", "gemini-2.5-flash"),
    instruction=(
        "You are the licence desk. Use the tools, and say only what they give you.\n"
        f"Distributions: {', '.join(lookup.distributions())}\n"
    ),
    tools=[read_record, list_records, FunctionTool(keep_note, require_confirmation=True)],
)
