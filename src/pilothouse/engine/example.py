"""Feedback, the examples that it becomes, and the versions of datasets made of them (G9).

What somebody says of a run is kept as an example with the input and the output that it is about, since the run will be
gone one day. An example is a document that is never edited. Erasing a subject removes theirs, and with that the entries
of every version that named them: a version holds ids and digests and no content, so there is no copy to be forgotten,
also not by a version that is being made at that moment.
"""

import contextlib
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from pilothouse.domain.example import (
    RATING_LIMIT,
    Choice,
    DatasetVersion,
    Example,
    ExampleSource,
    Item,
    digest_example,
    digest_items,
    make_items,
    split_withdrawn,
)
from pilothouse.domain.principal import Principal
from pilothouse.domain.run import Run
from pilothouse.engine.audit_entry import entry
from pilothouse.engine.encoding import encode
from pilothouse.engine.evidence import ready_seal
from pilothouse.engine.run import get_run
from pilothouse.engine.sampling import sampling_key
from pilothouse.engine.world import World
from pilothouse.errors import Forbidden, InvalidInput, LimitReached, NotOnRecord, RunActive, StateConflict, TooLarge
from pilothouse.ports.change import Act, Change, Conflict, Row, WriteDocument
from pilothouse.ports.records import Document

EXAMPLE, DATASET = "example", "dataset"
PAGE = 500
CONTENT_LIMIT = 1024 * 1024
"""Bytes of an example."""
ITEMS_LIMIT = 20_000
"""Examples of one dataset version."""
EXAMPLES_LIMIT = 500_000
"""Examples that are looked through."""

FeedbackKind = Literal["thumb", "rating", "correction"]

_read = msgspec.json.Decoder(Example).decode
_read_version = msgspec.json.Decoder(DatasetVersion).decode


class Feedback(Struct, kw_only=True):
    """`value` of a thumb: 1 or -1, of a rating: 1 to 5; a correction has what the output should have been."""

    kind: FeedbackKind
    value: int | None = None
    expected: bytes | None = None
    comment: str = ""


def make_example(
    world: World,
    run: Run,
    by: str,
    source: ExampleSource,
    *,
    expected: bytes | None = None,
    score: float | None = None,
    comment: str = "",
) -> Example:
    at = world.clock.now()
    given: Raw | UnsetType = UNSET if run.output is None else Raw(run.output)
    wanted: Raw | UnsetType = UNSET if expected is None else Raw(expected)
    return Example(
        id=f"exm_{at:014x}{world.entropy.bits():016x}",
        run=run.id,
        agent=run.agent,
        release=run.release,
        source=source,
        input=Raw(run.input),
        output=given,
        expected=wanted,
        score=score,
        comment=comment,
        subject=run.subject,
        by=by,
        at=at,
    )


def example_rows(world: World, run: Run, one: Example) -> tuple[Act, Row]:
    """What keeps an example. Nothing of its content is in the log."""
    write = WriteDocument(run.tenant, one.id, EXAMPLE, 0, run.agent, encode(one), one.at)
    subject = world.seals.digest(run.tenant, run.subject, run.subject)
    facts = {"run": run.id, "source": one.source, "digest": world.seals.digest(run.tenant, run.subject, encode(one))}
    return write, entry(run.tenant, one.id, one.at, "example.opened", one.by, subject=subject, **facts)


async def give_feedback(world: World, by: Principal, run: str, feedback: Feedback) -> Example:
    """Raises `RunNotFound`, `RunActive`, `InvalidInput`, `TooLarge`, `Forbidden`."""
    if by.kind == "agent":
        raise Forbidden(reason="agents do not judge themselves", hint="Use the key of a person or a program.")
    found = await get_run(world, by.tenant, run)
    if not found.is_terminal:
        raise RunActive(run=run, status=found.status)
    score = _score(feedback)
    one = make_example(
        world, found, by.name, feedback.kind, expected=feedback.expected, score=score, comment=feedback.comment
    )
    if len(encode(one)) > CONTENT_LIMIT:
        raise TooLarge(what="The example", limit=CONTENT_LIMIT)
    await ready_seal(world, by.tenant, found.subject)
    await world.records.commit(Change(example_rows(world, found, one)))
    return one


def _score(feedback: Feedback) -> float | None:
    value = feedback.value
    match feedback.kind:
        case "thumb" if value in (1, -1):
            return float(value == 1)
        case "rating" if value is not None and 1 <= value <= RATING_LIMIT:
            return (value - 1) / (RATING_LIMIT - 1)
        case "correction" if feedback.expected is not None and value is None:
            return 0.0
    wanted = {"thumb": "`value` 1 or -1", "rating": f"`value` from 1 to {RATING_LIMIT}", "correction": "`expected`"}
    raise InvalidInput(faults=[{"path": "$.value", "message": f"a {feedback.kind} has {wanted[feedback.kind]}"}])


async def list_examples(
    world: World, tenant: str, agent: str | None, cursor: str | None, limit: int
) -> tuple[list[Example], str | None]:
    """Newest first."""
    page, following = await world.records.list_documents(tenant, EXAMPLE, agent, cursor, limit, newest=True)
    return [_read(one.body) for one in page], following


async def _examples(world: World, tenant: str, agent: str | None) -> list[tuple[Document, Example]]:
    found: list[tuple[Document, Example]] = []
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(tenant, EXAMPLE, agent, cursor, PAGE)
        found += [(document, _read(document.body)) for document in page]
        if len(found) > EXAMPLES_LIMIT:
            raise LimitReached(what="The examples", limit=EXAMPLES_LIMIT)
        if cursor is None:
            return found


async def withdraw_examples(world: World, by: Principal, subject: str) -> int:
    """Withdraws the examples of a subject; how many it were. Versions that were built from them lose them in the same
    moment. A second call withdraws what came since."""
    withdrawn = 0
    for document, one in await _examples(world, by.tenant, None):
        if one.subject != subject:
            continue
        at = world.clock.now()
        write = WriteDocument(by.tenant, one.id, EXAMPLE, document.version, "", None, at)
        told = entry(by.tenant, one.id, at, "example.withdrawn", by.name, run=one.run)
        with contextlib.suppress(Conflict):  # somebody else has withdrawn it
            await world.records.commit(Change((write, told)))
            withdrawn += 1
    return withdrawn


# --- datasets ---------------------------------------------------------------------------------------------------------


class Contents(Struct, frozen=True, kw_only=True):
    """A version with what is left of it. `withdrawn`: the ids of examples that were erased since it was made."""

    version: DatasetVersion
    items: tuple[tuple[Item, Example], ...]
    withdrawn: tuple[str, ...]


async def make_version(world: World, by: Principal, name: str, choice: Choice) -> Contents:
    """The next version of a dataset, of the examples that there are now. The same examples as in the last version make
    no new one. Raises `InvalidInput` when there are none, `LimitReached`."""
    if by.kind == "agent":
        raise Forbidden(reason="agents make no datasets", hint="Use the key of a person or a program.")
    key = await sampling_key(world, by.tenant)
    found = [one for _, one in await _examples(world, by.tenant, choice.agent) if choice.takes(one)]
    items = make_items(key, found, choice.test_share)
    if not items:
        fault = {"path": "$", "message": "no example fits; GET /v1/examples lists those there are"}
        raise InvalidInput("The dataset would be empty.", faults=[fault])
    if len(items) > ITEMS_LIMIT:
        raise LimitReached(what="The dataset", limit=ITEMS_LIMIT, hint="Choose a shorter span, or fewer sources.")
    before = await list_versions(world, by.tenant, name)
    digest, at = digest_items(items), world.clock.now()
    if before and before[-1].digest == digest:
        return await read_version(world, by.tenant, name, before[-1].number)
    version = DatasetVersion(
        name=name, number=len(before) + 1, digest=digest, choice=choice, items=items, by=by.name, at=at
    )
    write = WriteDocument(by.tenant, _id(name, version.number), DATASET, 0, name, encode(version), at)
    told = entry(by.tenant, _id(name, version.number), at, "dataset.made", by.name, digest=digest, examples=len(items))
    try:
        await world.records.commit(Change((write, told)))
    except Conflict:
        raise StateConflict("Somebody else has made a version at the same moment.", hint="Ask again.", session=name,
                            version=version.number) from None  # fmt: skip
    return await read_version(world, by.tenant, name, version.number)


def _id(name: str, number: int) -> str:
    return f"{DATASET}:{name}:{number}"


async def list_versions(world: World, tenant: str, name: str | None) -> list[DatasetVersion]:
    """Oldest first."""
    found: list[DatasetVersion] = []
    cursor: str | None = None
    while True:
        page, cursor = await world.records.list_documents(tenant, DATASET, name, cursor, PAGE)
        found += [_read_version(one.body) for one in page]
        if cursor is None:
            return found


async def read_version(world: World, tenant: str, name: str, number: int | None) -> Contents:
    """`number` None: the last one. Raises `NotOnRecord`."""
    if number is None:
        versions = await list_versions(world, tenant, name)
        number = versions[-1].number if versions else 0
    kept = await world.records.get_document(tenant, _id(name, number))
    if kept is None:
        raise NotOnRecord(kind="dataset version", name=f"{name[:80]}:{number}", place="/v1/datasets")
    version = _read_version(kept.body)
    found: dict[str, Example] = {}
    for item in version.items:
        document = await world.records.get_document(tenant, item.example)
        if document is not None and digest_example(one := _read(document.body)) == item.digest:
            found[item.example] = one
    left, withdrawn = split_withdrawn(version, found)
    return Contents(version=version, items=tuple(left), withdrawn=tuple(withdrawn))
