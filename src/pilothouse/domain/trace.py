"""Traces: which spans a run is, named so that every node and every attempt gives them the same ids.

The **trace** of a run is that of the request that started it (W3C Trace Context, `traceparent`), else one of its own.
Its span and those of its steps have ids that follow from the run's id and the step's key. So a called run finds its
place below the run that called it, an attempt on another node goes on in the same trace, and nothing is remembered.
"""

import hashlib
import re

from msgspec import Struct

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")
SAMPLED = 1


class TraceContext(Struct, frozen=True):
    """Where a run stands in a trace. `above` is the span that started it; None: it is the root."""

    trace: int
    above: int | None
    is_sampled: bool
    """The caller records this trace: so do we."""


def context_of(run: str, traceparent: str | None) -> TraceContext:
    """The place of a run. A `traceparent` that cannot be read is none."""
    found = TRACEPARENT.match(traceparent) if traceparent is not None else None
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return TraceContext(_digest(run, "", 16), None, False)
    return TraceContext(int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & SAMPLED))


def span_of(run: str, step: str = "") -> int:
    """The id of a step's span; without a step that of the run."""
    return _digest(run, step, 8)


def traceparent_below(run: str, traceparent: str | None) -> str:
    """What is sent along with what the run calls."""
    if traceparent is None:
        return f"00-{_hex_digest(run, 16)}-{_hex_digest(run, 8)}-00"
    context = context_of(run, traceparent)
    return f"00-{context.trace:032x}-{span_of(run):016x}-{SAMPLED if context.is_sampled else 0:02x}"


def _digest(run: str, step: str, size: int) -> int:
    found = int.from_bytes(hashlib.blake2b(f"{run}\0{step}".encode(), digest_size=size).digest())
    return found or 1  # zero is no id


def _hex_digest(run: str, size: int) -> str:
    """As `_digest` of the run, in half of its time: it is made for each attempt."""
    found = hashlib.blake2b(f"{run}\0".encode(), digest_size=size).hexdigest()
    return found if found.strip("0") else f"{1:0{size * 2}x}"


def is_recorded(share: float, run: str, traceparent: str | None) -> bool:
    """Whether its caller records the trace of a run, or the share of all traces takes it in."""
    if share >= 1 or (share <= 0 and traceparent is None):
        return share >= 1
    context = context_of(run, traceparent)
    return context.is_sampled or is_drawn(context.trace, share)


def is_drawn(trace: int, share: float) -> bool:
    """Whether a share of all traces takes this one in: the same answer on every node (as OpenTelemetry's
    TraceIdRatioBased does it, over the last 64 bits)."""
    return (trace & (2**64 - 1)) < share * 2**64
