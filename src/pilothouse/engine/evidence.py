"""The audit log as evidence: reading it, committing to it with signed checkpoints, and the keys of its digests.

Entries are written by the verbs, each in the Change that it tells of. Here the log is only read: its tree grows from
the last checkpoint by what came since, so a checkpoint costs what is new and never the whole log. Two nodes that make
one at the same time make the same one; the version of the document lets the slower one look again.
"""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pilothouse.domain.evidence import AuditSegment, Checkpoint, Frontier, leaf_hash, leaves_of, note_of
from pilothouse.engine.encoding import encode
from pilothouse.engine.outbox import BELL, tell_checkpoint
from pilothouse.engine.world import World
from pilothouse.errors import RecordsUnavailable, Unsupported
from pilothouse.ports.change import Change, Conflict, WriteDocument
from pilothouse.ports.records import Document

CHECKPOINT = "checkpoint"
SEAL = "seal"
PAGE = 256
"""Segments that are read, and hashed beside the loop, at once."""
TRIES = 5
OWED = 100
"""Checkpoints that wait for the archive, the newest: each is over all that the ones before it are over."""


class LastCheckpoint(Struct, frozen=True):
    """What is kept of the last checkpoint of a tenant: the note, the tree to go on from, and the notes that the archive
    has not taken yet."""

    note: str
    size: int
    frontier: str
    owed: tuple[str, ...] = ()


_read_last = msgspec.json.Decoder(LastCheckpoint).decode


async def read_audit(world: World, tenant: str, after: int, limit: int) -> Sequence[AuditSegment]:
    """Segments with entries over `after`; together they hold at least `limit` entries, or all there are."""
    found: list[AuditSegment] = []
    have = after
    while have - after < limit:
        page = await world.records.read_audit(tenant, have, min(PAGE, limit))
        if not page:
            break
        found += page
        have = page[-1].seq + page[-1].count - 1
    return found


async def make_checkpoint(world: World, tenant: str) -> str:
    """A signed note over the whole log of the tenant as it is now; the last one when nothing came since. Durable, and
    at the witnesses, when this returns. Raises `Unsupported` when this node has no key."""
    if world.signer is None:
        raise Unsupported(what="A signed checkpoint")
    for _ in range(TRIES):
        kept = await world.records.get_document(tenant, CHECKPOINT)
        last = None if kept is None else _read_last(kept.body)
        tree = Frontier() if last is None else Frontier.unpack(last.size, b64decode(last.frontier))
        await _grow(world, tenant, tree)
        if last is not None and last.size == tree.size and _is_by(world, last.note):
            return last.note
        checkpoint = Checkpoint(f"{world.signer.name}/{tenant}", tree.size, tree.root())
        signature = await asyncio.to_thread(world.signer.sign, checkpoint.text().encode())  # the first loads a library
        note = note_of(checkpoint, world.signer.name, world.signer.public, signature)
        owed = () if world.archive is None else (*(last.owed if last else ()), note)[-OWED:]
        if await _keep(world, tenant, kept, LastCheckpoint(note, tree.size, b64encode(tree.pack()).decode(), owed)):
            for witness in world.witnesses:
                await witness.publish(tenant, note)
            return note
    raise RecordsUnavailable


async def checkpoint_all(world: World) -> bool:
    """A checkpoint of each log that grew since its last one."""
    if world.signer is not None:
        for tenant, size in await world.records.count_audit():
            kept = await world.records.get_document(tenant, CHECKPOINT)
            if kept is None or _read_last(kept.body).size < size:
                await make_checkpoint(world, tenant)
    return False


async def archive_all(world: World) -> list[str]:
    """Gives the archive what it is owed, the oldest first. Returns, in sentences, which checkpoints it has another one
    in the place of: those are given up. Raises `RecordsUnavailable` when it cannot be reached; they stay owed."""
    refused: list[str] = []
    if world.archive is None:
        return refused
    for tenant, _ in await world.records.count_audit():
        kept = await world.records.get_document(tenant, CHECKPOINT)
        last = None if kept is None else _read_last(kept.body)
        if kept is None or last is None or not last.owed:
            continue
        for note in last.owed:
            if not await world.archive.keep(note):
                origin, size = note.split("\n")[:2]
                refused.append(f"another checkpoint of {origin} over {size} entries is kept there already, and stays")
        body = encode(replace(last, owed=()))
        write = WriteDocument(tenant, CHECKPOINT, CHECKPOINT, kept.version, "", body, world.clock.now())
        with suppress(Conflict):  # another node made the next one meanwhile: what it owes is given once more
            await world.records.commit(Change((write,)))
    return refused


async def _grow(world: World, tenant: str, tree: Frontier) -> None:
    while page := await world.records.read_audit(tenant, tree.size, PAGE):
        await asyncio.to_thread(_hash, tree, page)


def _hash(tree: Frontier, page: Sequence[AuditSegment]) -> None:
    for segment in page:
        for _, leaf in leaves_of(segment, tree.size):
            tree.append(leaf_hash(leaf))


def _is_by(world: World, note: str) -> bool:
    """Whether the note is signed under the name that this node has now."""
    return world.signer is not None and f" {world.signer.name} " in note


async def _keep(world: World, tenant: str, kept: Document | None, last: LastCheckpoint) -> bool:
    version = 0 if kept is None else kept.version
    write = WriteDocument(tenant, CHECKPOINT, CHECKPOINT, version, "", encode(last), world.clock.now())
    told = tell_checkpoint(world, tenant, last.note, last.size)
    try:
        await world.records.commit(Change((write, *told)))
    except Conflict:
        return False
    if told:
        world.bus.ring(BELL)
    return True


# --- the keys of digests ----------------------------------------------------------------------------------------------


async def ready_seal(world: World, tenant: str, subject: str | None) -> None:
    """Makes the key of a subject known here, and makes it when there is none. A second call costs nothing."""
    if world.seals.knows(tenant, subject):
        return
    id = seal_id(subject)
    for _ in range(TRIES):
        kept = await world.records.get_document(tenant, id)
        if kept is not None:
            world.seals.put(tenant, subject, bytes.fromhex(msgspec.json.decode(kept.body)["key"]))
            return
        key = b"".join(world.entropy.bits().to_bytes(8, "big") for _ in range(4))
        body = encode({"key": key.hex()})
        try:
            await world.records.commit(Change((WriteDocument(tenant, id, SEAL, 0, "", body, world.clock.now()),)))
        except Conflict:
            continue
        world.seals.put(tenant, subject, key)
        return
    raise RecordsUnavailable


async def seal_dropped(world: World, tenant: str, subject: str) -> tuple[WriteDocument, ...]:
    """What destroys the key of a subject: its digests in the log say nothing from then on, and the log still verifies.
    Empty when there is none."""
    world.seals.forget(tenant, subject)
    kept = await world.records.get_document(tenant, seal_id(subject))
    if kept is None:
        return ()
    return (WriteDocument(tenant, kept.id, SEAL, kept.version, "", None, world.clock.now()),)


def seal_id(subject: str | None) -> str:
    return SEAL if subject is None else f"{SEAL}:{subject}"
