"""The local model server: rules behind the OpenAI chat API, so that the example runs without a key.

It gets what any model would get, messages, tools and a schema, and answers from the words in them: `reading` reads a
document, the desk's questions are understood by their words. It keeps nothing between two requests. How requests travel
is left to `ScriptedModel`.
"""

import json
import re
from typing import Any

from reading import read
from spdx import KINDS, kind_of, obligations_of

from pilothouse.testing import Answer, ModelRequest, ScriptedModel, ToolCall

SHOWN_LIMIT = 25
_NOTE = re.compile(r"(?is)^\s*(?:please\s+)?(?:note|remember|write down)(?:\s+that|:)?\s+(.+)$")
_NOTES = re.compile(r"(?i)\b(my|the|your|which|what) notes?\b|what did (i|we) note|remember(ed)?\?")
_ASKED = re.compile(r"(?i)what (did|have|was) (i|we)\b.*\bask|asked (before|first|last|so far)|previous question")
_LIST = re.compile(r"(?i)\b(how many|list|which|all|every|any|overview|summary|are there|show)\b")
_AGAIN = re.compile(r"(?i)\b(it|its|that one|this one)\b")
_DISTRIBUTIONS = re.compile(r"(?m)^Distributions: (.*)$")
_NOTED = re.compile(r"(?m)^Note: (.*)$")


def local_model(port: int = 0) -> ScriptedModel:
    """A model server on loopback that answers by the rules below."""
    return ScriptedModel(answer, models=("licence-rules",), port=port)


def answer(request: ModelRequest) -> Answer:
    """One answer: a record where a schema is asked for, else a turn of a conversation."""
    if request.schema is not None:
        return Answer(json.dumps(record_of(request.text), ensure_ascii=False))
    return converse(request.messages, request.tool_names)


def record_of(text: str) -> dict[str, Any]:
    """The record of a document, as the schema of the desk has it."""
    reading = read(text)
    return {
        "name": reading.name,
        "version": reading.version,
        "spdx": reading.spdx,
        "kind": kind_of(reading.spdx),
        "holders": reading.holders,
        "obligations": obligations_of(reading.spdx),
        "evidence": [{"line": line, "text": shown} for line, shown in reading.evidence],
    }


def converse(messages: list[dict[str, Any]], tools: list[str]) -> Answer:
    """The next turn: what the tools gave said in words, or the tool that the question needs."""
    asked_at = max((at for at, each in enumerate(messages) if each.get("role") == "user"), default=-1)
    given = [str(each.get("content")) for each in messages[asked_at + 1 :] if each.get("role") == "tool"]
    if given:
        return Answer("\n".join(_told(each) for each in given))
    question = str(messages[asked_at].get("content") or "") if asked_at >= 0 else ""
    before = messages[:asked_at] if asked_at >= 0 else []
    system = "\n".join(str(each.get("content")) for each in messages if each.get("role") == "system")
    note = _NOTE.match(question)
    if note and "keep_note" in tools and not question.rstrip().endswith("?"):
        return Answer(tool_calls=[ToolCall("keep_note", {"text": note[1].strip()})])
    if _ASKED.search(question):
        return Answer(_list_of("You asked", [str(each["content"]) for each in before if each.get("role") == "user"]))
    if _NOTES.search(question):
        return Answer(_list_of("Your notes", _NOTED.findall(system)))
    return _look_up(question, before, system, tools)


def _look_up(question: str, before: list[dict[str, Any]], system: str, tools: list[str]) -> Answer:
    """The tool that a question about licences needs."""
    names = [name for line in _DISTRIBUTIONS.findall(system) for name in line.split(", ")]
    meant = _named_in(question, names)
    if not meant and _AGAIN.search(question):
        said = [str(each["content"]) for each in before if each.get("content") and each.get("role") != "system"]
        meant = next((found for each in reversed(said) if (found := _named_in(each, names))), [])[:1]
    if meant and "read_record" in tools:
        return Answer(tool_calls=[ToolCall("read_record", {"name": name}) for name in meant[:5]])
    low = question.lower()
    kind = next(
        (each for each in sorted(KINDS, key=len, reverse=True) if each in low.replace("public domain", KINDS[0])), ""
    )
    if (kind or _LIST.search(question)) and "list_records" in tools:
        return Answer(tool_calls=[ToolCall("list_records", {"kind": kind})])
    return Answer(
        "Ask me about a distribution by its name, which ones are copyleft, permissive or unknown, or say"
        ' "note that ..." and I keep it.'
    )


def _named_in(text: str, names: list[str]) -> list[str]:
    """The distributions whose names are in a text, in the order in which they are said."""
    words = [word.strip(".,;:!?()'\"`").lower().replace("_", "-") for word in text.split()]
    by_word = {name.lower().replace("_", "-"): name for name in names}
    return list(dict.fromkeys(by_word[word] for word in words if word in by_word))


def _told(result: str) -> str:
    """What a tool gave, in words."""
    try:
        given = json.loads(result)
    except ValueError:
        return result
    if not isinstance(given, dict) or "error" in given:
        return str(given.get("error")) if isinstance(given, dict) else result
    if "noted" in given:
        return f"Noted: {given['noted']}"
    if "records" in given:
        return _told_list(given)
    return _told_record(given)


def _told_list(given: dict[str, Any]) -> str:
    records, total = given["records"], given["total"]
    what = f"are {given['kind']}" if given.get("kind") else "are here"
    shown = [f"{each['name']} {each['version']} ({each['spdx']})".replace("  ", " ") for each in records[:SHOWN_LIMIT]]
    more = f", and {len(records) - SHOWN_LIMIT} more" if len(records) > SHOWN_LIMIT else ""
    return f"{len(records)} of {total} {what}" + (f": {', '.join(shown)}{more}." if shown else ".")


def _told_record(record: dict[str, Any]) -> str:
    said = f"{record['name']} {record['version']}".strip()
    said += f" is under {record['spdx']} ({record['kind']})"
    if record["holders"]:
        said += f", held by {', '.join(record['holders'][:5])}"
    said += "."
    if record["obligations"]:
        said += f" It asks: {' '.join(record['obligations'])}"
    if record["evidence"]:
        first = record["evidence"][0]
        said += f' Line {first["line"]} says "{first["text"]}".'
    return said


def _list_of(title: str, items: list[str]) -> str:
    if not items:
        return f"{title}: nothing yet."
    return "\n".join([f"{title}:", *(f"{number}. {item}" for number, item in enumerate(items, 1))])
