"""What the engine asks of those who keep the keys and the copies of checkpoints.

The node signs with a key that only `security` holds; a witness keeps checkpoints where whoever can write the records
cannot: that is what makes a cut end or a second history visible.
"""

from typing import Protocol


class Signer(Protocol):
    """An Ed25519 key under a name."""

    name: str

    @property
    def public(self) -> bytes: ...

    def sign(self, text: bytes) -> bytes: ...


class Witness(Protocol):
    async def publish(self, tenant: str, note: str) -> None:
        """Keeps a signed checkpoint for ever. Raises what kept it from that; it is then given the next one."""
        ...


class Archive(Protocol):
    """A witness that is owed each checkpoint until it has taken it, through restarts."""

    async def keep(self, note: str) -> bool:
        """Keeps a signed checkpoint for ever; once more the same is no fault. False: it has another one in that place,
        which stays. Raises `RecordsUnavailable` when it cannot be reached."""
        ...
