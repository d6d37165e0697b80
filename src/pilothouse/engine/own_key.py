"""Secret keys that an installation makes for itself and all its nodes share: documents of the records, made once.

Of two nodes that make one at once the first one's counts. Who can read the records can read them.
"""

import contextlib

import msgspec

from pilothouse.engine.encoding import encode
from pilothouse.engine.world import World
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import Change, Conflict, WriteDocument

BUS_KEY = "bus_key"
NOBODY = ""
"""The tenant of what belongs to the installation."""
TRIES = 5


async def own_key(world: World, tenant: str, kind: str) -> bytes:
    """32 bytes: the tenant's key of that kind, made when there is none. Raises `RecordsUnavailable`."""
    for _ in range(TRIES):
        kept = await world.records.get_document(tenant, kind)
        if kept is not None:
            return bytes.fromhex(msgspec.json.decode(kept.body)["key"])
        key = b"".join(world.entropy.bits().to_bytes(8, "big") for _ in range(4))
        write = WriteDocument(tenant, kind, kind, 0, "", encode({"key": key.hex()}), world.clock.now())
        with contextlib.suppress(Conflict):
            await world.records.commit(Change((write,)))
    raise RecordsUnavailable
