"""Cursors of lists: a position and a mark of the list that gave it out, as text that says nothing to its holder.

The mark covers the list, the tenant and the filter: a cursor of another list is refused and never shows a wrong page.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from struct import Struct
from struct import error as struct_error

from pilothouse.errors import BadCursor

_FORM = Struct(">8sQ")
TEXT_LIMIT = 64


def make(position: int, *of: object) -> str:
    return urlsafe_b64encode(_FORM.pack(_mark(of), position)).decode().rstrip("=")


def read(cursor: str, *of: object) -> int:
    """The position of a cursor that `make` gave out for the same list."""
    try:
        if len(cursor) > TEXT_LIMIT:
            raise ValueError
        packed = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        mark, position = _FORM.unpack(packed)
    except (Error, ValueError, struct_error) as error:
        raise BadCursor from error
    if mark != _mark(of) or make(position, *of) != cursor or position > 2**63 - 1:
        raise BadCursor
    return int(position)


def _mark(of: tuple[object, ...]) -> bytes:
    return hashlib.blake2b(repr(of).encode(), digest_size=8).digest()
