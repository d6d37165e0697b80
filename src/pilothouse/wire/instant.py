"""Instants as they travel: RFC 3339 in UTC with microseconds, always 27 characters.

Inside the house an instant is an integer of microseconds. The calendar is asked once a second: on the hot path nearly
all instants lie in the second of the one before.
"""

import time

_second = -1
_prefix = ""
_at = -1
_text = ""


def stamp(at: int) -> str:
    """`2026-11-22T10:00:00.000000Z` for microseconds since 1970."""
    global _second, _prefix, _at, _text
    if at == _at:  # a run that starts at once has two instants that are one
        return _text
    second, micros = divmod(at, 1_000_000)
    if second != _second:
        _prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        _second = second
    _at, _text = at, f"{_prefix}{micros:06d}Z"
    return _text


def stamp_if(at: int | None) -> str | None:
    return None if at is None else stamp(at)
