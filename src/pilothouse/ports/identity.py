"""What the room that takes posts asks of `security`: is this token of somebody who may send here?

Whoever sends to a source may prove itself by a token that its own cloud signed (OpenID Connect) instead of a secret
that both would have to keep.
"""

from typing import Protocol


class KeysAway(Exception):
    """The keys of the issuer cannot be fetched now, and none are known."""


class Identity(Protocol):
    """The identity tokens that one source takes."""

    async def check(self, token: str, now: float) -> None:
        """Returns when the token counts; `now`: seconds since 1970. Raises `SignatureRefused` for a token that is
        none, is not for us or is too old, `Forbidden` for one of somebody who may not send here, and
        `KeysAway` when nobody can tell."""
        ...
