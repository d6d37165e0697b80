"""The lease: the right of one worker to advance one run until an instant, and the epoch that fences its writes.

Leases bound how long a dead worker holds work (I8); the epoch, matched in the same statement as each write, keeps a
worker that only seemed dead from writing (I6). Renewal happens at a third of the term, so that two lost renewals do
not lose a lease.
"""

TERM = 10_000_000
"""Microseconds a lease lasts."""

RENEW_EVERY = TERM // 3
LOSSES_LIMIT = 3
"""How many attempts may lose their host before the run is failed with `host_lost`."""


def lease_until(at: int) -> int:
    return at + TERM


def is_expired(until: int | None, at: int) -> bool:
    return until is None or until < at
