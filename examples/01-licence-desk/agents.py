"""The agents of the licence desk: one for each execution model.

`extract` reads one document, `desk` talks about them, `audit` walks them all and asks a person about what is copyleft
or unknown. Every call of the model is a step, so that it is never paid for twice; its usage is recorded inside it. What
a document is comes from `licences`, what a record is from `records`.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import model_client
from licences import DocumentMissing, canonical, list_documents, read_document
from model_client import Reply, ToolUse
from msgspec import Struct, field
from reading import read
from records import Record, ask_for_record
from report import Decision, Report, write_report
from spdx import KINDS, kind_of

from pilothouse import Context, Retry, agent, tool
from pilothouse.errors import ActionDenied

RETRY = Retry(attempts=5, delay=0.2, max_delay=10.0, on=("ModelUnavailable",))
STEP_SECONDS = 120.0
AT_ONCE = 4
REVIEW_WITHIN = timedelta(days=3)
TOOL_ROUNDS = 4
HISTORY_TURNS = 20
NOTES_LIMIT = 100
NOTE_LENGTH = 2_000
RECORDS_KEPT = 50
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]},
        },
    }
    for name, key, description in (
        ("read_record", "name", "The record of one distribution: licence, holders, obligations, evidence."),
        ("list_records", "kind", f"The distributions of one kind of licence ({', '.join(KINDS)}); empty: all."),
        ("keep_note", "text", "Keeps a note of the user for later turns."),
    )
]


class Listed(Struct):
    """One line of the quick look over everything."""

    name: str
    version: str
    spdx: str
    kind: str


class AuditRequest(Struct, forbid_unknown_fields=True):
    """What to audit: a folder (without it, this Python environment), so many at most, and only these names."""

    folder: str | None = None
    limit: int | None = None
    only: list[str] | None = None


async def examine(ctx: Context, text: str) -> Record:
    """Inside a step: the record of a document, and what it cost."""
    record, reply = await ask_for_record(text)
    if reply.input_tokens:
        ctx.record_usage(input_tokens=reply.input_tokens, output_tokens=reply.output_tokens)
    return record


async def examine_document(ctx: Context, name: str, folder: str | None) -> Record:
    """Inside a step: reads one document and has the model read it."""
    document = await asyncio.to_thread(read_document, name, folder)
    record = await examine(ctx, document.text)
    record.name, record.version = record.name or document.name, record.version or document.version
    return record


# --- stateless ---


@agent
async def extract(ctx: Context, text: str) -> Record:
    """Reads the text of a licence or a METADATA file and gives its record."""

    async def examine_text() -> Record:
        return await examine(ctx, text)

    return await ctx.step(examine_text, name="examine", retry=RETRY, timeout=STEP_SECONDS)


# --- session ---


@agent(mode="session")
async def desk(ctx: Context, message: str) -> str:
    """Talks about the licences of this Python environment, and keeps notes."""
    names = await ctx.step(list_documents, name="list distributions")
    state = ctx.session.state
    messages = [{"role": "system", "content": desk_prompt(names, state.get("notes", []))}]
    for turn in ctx.session.history[-HISTORY_TURNS:]:
        if turn.output is not None:
            messages.append({"role": "user", "content": str(turn.input)})
            messages.append({"role": "assistant", "content": str(turn.output)})
    messages.append({"role": "user", "content": message})
    for number in range(1, TOOL_ROUNDS + 1):
        # The last round has no tools: it must end in words.
        tools = TOOLS if number < TOOL_ROUNDS else []
        reply = await ctx.step(
            speaker(ctx, messages, tools), name=f"answer {number}", retry=RETRY, timeout=STEP_SECONDS
        )
        if not reply.tools:
            return reply.text
        messages.append(as_message(reply))
        results = await asyncio.gather(*(use_tool(ctx, state, use) for use in reply.tools))
        for use, result in zip(reply.tools, results, strict=True):
            messages.append({"role": "tool", "tool_call_id": use.id, "content": result})
    return "I have no answer to that."


def desk_prompt(names: list[str], notes: list[str]) -> str:
    noted = "\n".join(f"Note: {' '.join(note.split())}" for note in notes)
    return (
        "You are the licence desk: you answer questions about the licences of installed software. Use the tools, say"
        " only what they give you, and name the line that shows it. Keep a note when you are asked to.\n"
        f"Distributions: {', '.join(names)}\n{noted}"
    )


def speaker(
    ctx: Context, messages: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> Callable[[], Coroutine[Any, Any, Reply]]:
    """A call of the model whose words go out while they come. A second try says again only what is new."""
    said = 0

    async def ask_model() -> Reply:
        heard = 0

        def say(piece: str) -> None:
            nonlocal said, heard
            heard += len(piece)
            if heard > said:
                ctx.emit(piece[-(heard - said) :])
                said = heard

        reply = await model_client.complete(messages, tools=tools, on_text=say)
        ctx.record_usage(input_tokens=reply.input_tokens, output_tokens=reply.output_tokens)
        return reply

    return ask_model


def as_message(reply: Reply) -> dict[str, Any]:
    calls = [
        {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments}}
        for use in reply.tools
    ]
    return {"role": "assistant", "content": reply.text or None, "tool_calls": calls}


async def use_tool(ctx: Context, state: dict[str, Any], use: ToolUse) -> str:
    """What a tool gives, as JSON; what is wrong with the call is told to the model, which may do better."""
    try:
        given = json.loads(use.arguments or "{}")
        argument = str(next(iter(given.values()), "")) if isinstance(given, dict) else ""
    except ValueError:
        return json.dumps({"error": f"The arguments of {use.name} are no JSON."})
    match use.name:
        case "read_record":
            return await record_for(ctx, state, argument)
        case "list_records":
            listed = await ctx.step(survey, name="survey")
            chosen = [each for each in listed if not argument or each.kind == argument]
            shown = [{"name": each.name, "version": each.version, "spdx": each.spdx} for each in chosen]
            return json.dumps({"kind": argument, "total": len(listed), "records": shown})
        case "keep_note":
            notes = state.setdefault("notes", [])
            notes.append(argument[:NOTE_LENGTH])
            del notes[:-NOTES_LIMIT]
            return json.dumps({"noted": argument[:NOTE_LENGTH]}, ensure_ascii=False)
    return json.dumps({"error": f"There is no tool {use.name}."})


async def record_for(ctx: Context, state: dict[str, Any], name: str) -> str:
    """A record as JSON: read once in a session, then remembered."""
    records: dict[str, str] = state.setdefault("records", {})
    key = canonical(name)
    if key in records:
        return records[key]
    listed = await ctx.step(list_documents, None, None, [name], name=f"find {key}")
    if not listed:
        return json.dumps({"error": f"There is no distribution {name} here."})

    async def examine_listed() -> Record:
        return await examine_document(ctx, listed[0], None)

    record = await ctx.step(examine_listed, name=f"examine {key}", retry=RETRY, timeout=STEP_SECONDS)
    records[key] = json.dumps(as_json(record), ensure_ascii=False)
    while len(records) > RECORDS_KEPT:
        del records[next(iter(records))]
    return records[key]


def survey() -> list[Listed]:
    """A quick look at every distribution, by rules alone."""
    found = []
    for name in list_documents():
        document = read_document(name)
        spdx = read(document.text).spdx
        found.append(Listed(document.name, document.version, spdx, kind_of(spdx)))
    return found


def as_json(record: Record) -> dict[str, Any]:
    return {
        "name": record.name,
        "version": record.version,
        "spdx": record.spdx,
        "kind": record.kind,
        "holders": record.holders,
        "obligations": record.obligations,
        "evidence": [{"line": each.line, "text": each.text} for each in record.evidence],
    }


# --- event ---


class Progress(Struct):
    """What the audit says while it works."""

    done: int
    total: int
    name: str
    spdx: str
    kind: str


class Seen(Struct):
    """How many documents are done."""

    total: int
    done: int = 0
    unread: list[str] = field(default_factory=list)


@agent(mode="event")
async def audit(ctx: Context, request: AuditRequest) -> Report:
    """Audits the licences of every distribution; asks a person about each that is copyleft or unknown."""
    names = await ctx.step(list_documents, request.folder, request.limit, request.only, name="list documents")
    seen, seats = Seen(len(names)), asyncio.Semaphore(AT_ONCE)
    records = await asyncio.gather(*(audit_one(ctx, name, request.folder, seen, seats) for name in names))
    asked = [record for record in records if record.needs_person]
    decisions = list(await asyncio.gather(*(decide(ctx, record) for record in asked)))
    return write_report(list(records), decisions, ctx.now())


async def audit_one(ctx: Context, name: str, folder: str | None, seen: Seen, seats: asyncio.Semaphore) -> Record:
    """One distribution: one step."""

    async def examine_one() -> Record:
        try:
            return await examine_document(ctx, name, folder)
        except (DocumentMissing, OSError):
            # It was there a moment ago: a person should know.
            return Record(name=name)

    async with seats:
        record = await ctx.step(examine_one, name=f"examine {name}", retry=RETRY, timeout=STEP_SECONDS)
    seen.done += 1
    await ctx.emit(Progress(seen.done, seen.total, record.name, record.spdx, record.kind))
    return record


async def decide(ctx: Context, record: Record) -> Decision:
    """Asks a person about one licence, and waits: no worker is held meanwhile."""
    what = f"{record.name} {record.version}".strip()
    under = "a licence nobody knows" if record.kind == "unknown" else f"{record.spdx} ({record.kind})"
    answer = await ctx.review(f"May {what} be used? It is under {under}.", as_json(record), REVIEW_WITHIN)
    edited = answer.edited if isinstance(answer.edited, dict) else {}
    spdx = str(edited.get("spdx") or record.spdx)
    verdict, reason = answer.verdict, answer.reason or answer.response
    if verdict in ("approve", "edit") and kind_of(spdx) == "copyleft":
        try:
            reason = await ctx.call_tool(exempt, package=record.name, version=record.version, spdx=spdx)
        except ActionDenied as denied:
            verdict, reason = "reject", denied.text
    return Decision(record.name, record.version, spdx, kind_of(spdx), verdict, reason, answer.by)


@tool(risk="consequential")
async def exempt(package: str, version: str, spdx: str) -> str:
    """Lets a package be used although its licence is copyleft. Under `exempt.cedar` two people must agree first."""
    return f"{package} {version} is exempt from the rule against {spdx}"
