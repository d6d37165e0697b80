"""The routes of the audit log: its entries as they are hashed, and a signed checkpoint over all of them.

Both are enough to verify the log elsewhere, with the public key and nothing of this node.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilothouse.communication.http.call import Call, tenant_of
from pilothouse.domain.evidence import read_note, verifier_key
from pilothouse.engine import evidence as verbs
from pilothouse.errors import Unsupported
from pilothouse.wire.evidence import CheckpointView, audit_page


class AuditQuery(Struct, forbid_unknown_fields=True):
    after: Annotated[int, Meta(ge=0, le=2**53)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


async def read_audit(call: Call, query: AuditQuery) -> None:
    segments = await verbs.read_audit(call.front.world, tenant_of(call), query.after, query.limit + 1)
    await call.show(audit_page(segments, query.after, query.limit))


async def get_checkpoint(call: Call) -> None:
    world = call.front.world
    if world.signer is None:
        raise Unsupported(what="A signed checkpoint")
    note = await verbs.make_checkpoint(world, tenant_of(call))
    checkpoint, _ = read_note(note)
    await call.show(CheckpointView(note, checkpoint.size, verifier_key(world.signer.name, world.signer.public)))
