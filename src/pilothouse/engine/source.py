"""Messages as verbs: taken in, kept as dead letters, replayed.

Everything that can go wrong with a message is one of two things. It may pass (the node is full, the records are away):
then the message is to come again. Or it will not (it does not fit the agent): then it is kept, with the reason, and the
source is told that it need not come again.
"""

import base64
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jmespath
from jmespath.exceptions import JMESPathError
from msgspec import DecodeError, Struct, json

from pilothouse.domain.ids import SESSION_KEY_LIMIT
from pilothouse.domain.source import MESSAGE_LIMIT, DeadLetter, Message, SourceRule, dead_letter_id, message_run_id
from pilothouse.engine.audit_entry import NODE, entry
from pilothouse.engine.encoding import encode
from pilothouse.engine.run import StartRun, start_run
from pilothouse.engine.world import World
from pilothouse.errors import (
    DeadLetterNotFound,
    Draining,
    HostUnavailable,
    InvalidInput,
    Overloaded,
    PilothouseError,
    RecordsUnavailable,
    RunExists,
)
from pilothouse.ports.change import Change, Conflict, WriteDocument

KIND = "dead_letter"
PASSING = (Overloaded, Draining, HostUnavailable, RecordsUnavailable)
MENDED = frozenset({"agent_not_found", "not_evaluated"})
"""What the operator will mend: the message, or the event, waits for that."""
REASON_LIMIT = 2000

_decode = json.Decoder().decode
_decode_letter = json.Decoder(DeadLetter).decode
Read = Callable[[Any], Any]


class Taken(Struct):
    """What became of a message: a run, now or before, or a dead letter; `again`: it should come again."""

    outcome: Literal["run", "repeat", "dead", "again"]
    run: str | None = None
    reason: str | None = None


class Unfit(Exception):
    """The message can never become a run."""


class Intake:
    """The rule of one source, read. Raises ValueError for an expression that is none."""

    def __init__(self, rule: SourceRule, tenant: str) -> None:
        self.rule, self.tenant = rule, tenant
        self._input = read_expression(rule.input)
        self._key = None if rule.key is None else read_expression(rule.key)
        self._order = None if rule.order is None else read_expression(rule.order)

    def order_of(self, message: Message) -> str | None:
        """What the message must stay in order with. Raises `Unfit`."""
        if self._order is None:
            return None
        return self._text(self._order, message, "order")

    def key_of(self, message: Message) -> str:
        """What the message is: the same key is the same message. Raises `Unfit`."""
        return message.key if self._key is None else self._text(self._key, message, "key")

    def command(self, message: Message) -> StartRun:
        """The run that the message is to become. Raises `Unfit`."""
        if len(message.body) > MESSAGE_LIMIT:
            raise Unfit(f"it is larger than {MESSAGE_LIMIT} bytes")
        found = self._evaluate(self._input, self._document(message), "input")
        key = self.key_of(message)
        return StartRun(
            tenant=self.tenant,
            agent=self.rule.agent,
            input=encode(found),
            session=self.order_of(message),
            metadata=encode({"source": self.rule.name, "message": key[:256]}),
            run_id=message_run_id(self.tenant, self.rule.name, key),
            wants="later",
            by=f"source:{self.rule.name}",
        )

    def _document(self, message: Message) -> dict[str, Any]:
        return {
            "body": read_body(message.body),
            "attributes": message.attributes,
            "key": message.key,
            "source": self.rule.name,
        }

    def _text(self, read: Read, message: Message, name: str) -> str:
        found = self._evaluate(read, self._document(message), name)
        text = found if isinstance(found, str) else None if found is None else encode(found).decode()
        if not text or len(text) > SESSION_KEY_LIMIT or not text.isprintable():
            raise Unfit(f"its {name} ({getattr(self.rule, name)}) is no text of 1 to {SESSION_KEY_LIMIT} characters")
        return text

    @staticmethod
    def _evaluate(read: Read, document: dict[str, Any], name: str) -> Any:
        try:
            return read(document)
        except JMESPathError as fault:
            raise Unfit(f"its {name} cannot be read: {fault}") from None


def read_expression(text: str) -> Read:
    try:
        compiled = jmespath.compile(text)
    except JMESPathError as fault:
        raise ValueError(f"{text!r} is no JMESPath expression: {str(fault).splitlines()[0]}") from None
    found: Read = compiled.search
    return found


def read_body(body: bytes) -> Any:
    """Its JSON; else its text; else, of bytes that are neither, their Base64."""
    try:
        return _decode(body)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()


async def take_in(world: World, intake: Intake, message: Message) -> Taken:
    """The message becomes a run, or finds the one it became before, or a dead letter; whatever is told is durable."""
    run: str | None = None
    try:
        command = intake.command(message)
        run = command.run_id
        await start_run(world, command)
        return Taken("run", run)
    except RunExists:
        return Taken("repeat", run)
    except PASSING as fault:
        return Taken("again", None, f"{fault.code}: {fault.message}")
    except Unfit as fault:
        reason = str(fault)
    except InvalidInput as fault:
        told = "; ".join(f"{one['path']}: {one['message']}" for one in fault.faults[:5])
        reason = f"it does not fit the input of {intake.rule.agent}: {told or fault.message}"
    except PilothouseError as fault:
        if fault.code in MENDED:
            return Taken("again", None, f"{fault.code}: {fault.message}")
        reason = f"{fault.code}: {fault.message}"
    try:
        await keep_dead(world, intake, message, reason)
    except RecordsUnavailable as fault:
        return Taken("again", None, f"{fault.code}: {fault.message}")
    return Taken("dead", None, reason)


async def is_settled(world: World, intake: Intake, key: str, sender_key: str) -> bool:
    """Whether somebody, perhaps another node, has made a run of the message or a dead letter."""
    rule, tenant = intake.rule, intake.tenant
    if await world.records.get_run(tenant, message_run_id(tenant, rule.name, key)) is not None:
        return True
    return await world.records.get_document(tenant, dead_letter_id(rule.name, sender_key)) is not None


async def keep_dead(world: World, intake: Intake, message: Message, reason: str) -> None:
    """Kept once, however often the message comes: the first reason stays."""
    text: str | None = None
    encoding: Literal["utf-8", "base64"] = "utf-8"
    if len(message.body) <= MESSAGE_LIMIT:
        try:
            text = message.body.decode()
        except UnicodeDecodeError:
            text, encoding = base64.b64encode(message.body).decode(), "base64"
    at = world.clock.now()
    letter = DeadLetter(
        source=intake.rule.name,
        key=message.key,
        reason=reason[:REASON_LIMIT],
        at=at,
        text=text,
        encoding=encoding,
        attributes=message.attributes,
    )
    id = dead_letter_id(letter.source, letter.key)
    write = WriteDocument(intake.tenant, id, KIND, 0, letter.source, encode(letter), at)
    told = entry(intake.tenant, id, at, "message.dead", NODE, source=letter.source)
    try:
        await world.records.commit(Change((write, told)))
    except Conflict:
        return


async def list_dead(
    world: World, tenant: str, source: str | None, cursor: str | None, limit: int
) -> tuple[Sequence[tuple[str, DeadLetter]], str | None]:
    """(id, letter), the oldest first, with the next cursor."""
    found, more = await world.records.list_documents(tenant, KIND, source, cursor, limit)
    return [(one.id, _decode_letter(one.body)) for one in found], more


async def replay_dead(world: World, intake: Intake, id: str, by: str) -> Taken:
    """Takes the message in as if it came now; when it becomes a run, it is a dead letter no more."""
    document = await world.records.get_document(intake.tenant, id)
    if document is None or document.kind != KIND or document.state != intake.rule.name:
        raise DeadLetterNotFound(letter=id[:120])
    letter = _decode_letter(document.body)
    if letter.text is None:
        return Taken("dead", None, "its body was too large to be kept; let its sender send it again")
    body = base64.b64decode(letter.text) if letter.encoding == "base64" else letter.text.encode()
    taken = await take_in(world, intake, Message(key=letter.key, body=body, attributes=letter.attributes))
    if taken.outcome in ("run", "repeat"):
        at = world.clock.now()
        gone = WriteDocument(document.tenant, id, KIND, document.version, document.state, None, at)
        with contextlib.suppress(Conflict):  # somebody else has replayed it
            await world.records.commit(Change((gone, entry(document.tenant, id, at, "message.replayed", by))))
    return taken
