"""Who is asking: the API key of a request, looked up and compared.

Deny is the default. A wrong id, a wrong secret, an expired and a revoked key get the same answer after the same work,
so that nothing can be learnt about the keys there are. An HMAC and a comparison take some 3 us; nothing is cached, so
a revoked key is out with the next request.
"""

from pilothouse.domain.principal import LOCAL, Key, Principal, hash_of, opens, read_key
from pilothouse.engine.principal import counts
from pilothouse.engine.world import World
from pilothouse.errors import Unauthenticated
from pilothouse.ports.door import Door

NOBODY = Key(id="0" * 16, hash=hash_of("0" * 16, "nobody"), name="nobody", tenant="", created_at=0, created_by="",
             revoked_at=0)  # fmt: skip
"""Compared with when there is no such key."""


class KeyDoor(Door):
    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def is_open(self) -> bool:
        return not self._world.keys

    def admit(self, authorization: bytes | None) -> Principal:
        keys = self._world.keys
        if not keys:
            return LOCAL
        if authorization is None or authorization[:7].lower() != b"bearer ":
            raise Unauthenticated(reason="it has no key")
        given = read_key(authorization[7:].decode("latin-1"))
        id, secret = given or ("", "")
        key = keys.get(id, NOBODY)
        at = self._world.clock.now()
        if not opens(key, secret, at) or not counts(self._world, key, at):
            raise Unauthenticated(reason="its key is not one that counts")
        return key.principal
