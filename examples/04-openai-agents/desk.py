"""The licence desk as an agent of the OpenAI Agents SDK. Nothing here knows of Pilothouse: `pilothouse.toml` names the
object.

Every call of the model and of a tool is a step of its run all the same, a session remembers the conversation, and what
`keep_note` writes is written after a person has agreed.
"""

import json
import os
import sys
from pathlib import Path

from agents import Agent, OpenAIChatCompletionsModel, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "01-licence-desk"))

import lookup  # noqa: E402 - it is in the folder beside this one

set_tracing_disabled(True)


@function_tool
def read_record(name: str) -> str:
    """The record of one distribution: licence, holders, obligations, evidence."""
    return json.dumps(lookup.record(name))


@function_tool
def list_records(kind: str) -> str:
    """The distributions of one kind of licence; an empty kind: all."""
    return json.dumps(lookup.records(kind))


@function_tool(needs_approval=True)
def keep_note(text: str) -> str:
    """Keeps a note for everybody."""
    with (HERE / "notes.txt").open("a") as notes:
        notes.write(f"{text}\n")
    return json.dumps({"noted": text})


desk = Agent(
    name="desk",
    instructions=(
        "You are the licence desk. Use the tools, and say only what they give you.\n"
        f"Distributions: {', '.join(lookup.distributions())}"
    ),
    model=OpenAIChatCompletionsModel(os.environ.get("OPENAI_MODEL", "gpt-4o-mini"), AsyncOpenAI()),
    tools=[read_record, list_records, keep_note],
)
