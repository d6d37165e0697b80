"""A dataset version in the formats that fine-tuning takes, a line of JSON for each example.

`openai`: chat messages, the last one the wanted answer. `messages`: the same as Anthropic and Hugging Face write it,
with the system prompt beside. `openai-preference` and `dpo` (TRL): what was wanted and what was not, of examples that
have both. What an example cannot give is left out and counted.
"""

import json
from collections.abc import Iterable
from typing import Any

FORMATS = ("openai", "messages", "openai-preference", "dpo", "examples")
GOOD = 0.5
"""The score from which on an output is one to learn from."""


def lines(items: Iterable[dict[str, Any]], form: str, system: str | None) -> tuple[list[str], int]:
    """(lines, how many examples could not be written so)."""
    found: list[str] = []
    left_out = 0
    for item in items:
        row = _row(item["example"], form, system)
        if row is None:
            left_out += 1
        else:
            found.append(json.dumps(row, ensure_ascii=False))
    return found, left_out


def _row(example: dict[str, Any], form: str, system: str | None) -> dict[str, Any] | None:
    if form == "examples":
        return example
    ask = [] if system is None else [{"role": "system", "content": system}]
    user = {"role": "user", "content": _text(example["input"])}
    if form in ("openai-preference", "dpo"):
        if "expected" not in example or "output" not in example or example["expected"] == example["output"]:
            return None
        chosen, rejected = ([_said(example[name])] for name in ("expected", "output"))
        if form == "dpo":
            return {"prompt": [*ask, user], "chosen": chosen, "rejected": rejected}
        return {"input": {"messages": [*ask, user]}, "preferred_output": chosen, "non_preferred_output": rejected}
    answer = _wanted(example)
    if answer is None:
        return None
    if form == "messages":
        return ({} if system is None else {"system": system}) | {"messages": [user, answer]}
    return {"messages": [*ask, user, answer]}


def _wanted(example: dict[str, Any]) -> dict[str, str] | None:
    """What somebody said it should have been, or an output that somebody liked."""
    if "expected" in example:
        return _said(example["expected"])
    if "output" in example and (example["score"] is None or example["score"] >= GOOD):
        return _said(example["output"])
    return None


def _said(value: Any) -> dict[str, str]:
    return {"role": "assistant", "content": _text(value)}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
