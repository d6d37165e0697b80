"""Names of things: readable prefixes, sortable by time, so that unique indexes grow at their right edge.

Ids are made from values that are passed in; the random bits come from the caller. A child run's id is derived from
its parent and the step that calls it, so that a repeated attempt finds the same child instead of starting another.
"""

import hashlib
import re
from typing import NewType

Tenant = NewType("Tenant", str)
RunId = NewType("RunId", str)
ReviewId = NewType("ReviewId", str)
StepKey = NewType("StepKey", str)

DEFAULT_TENANT = Tenant("default")

RUN_ID = re.compile(r"run_[A-Za-z0-9_-]{1,64}\Z")
DELIVERY_ID = re.compile(r"dlv_[A-Za-z0-9_-]{1,64}\Z")
AGENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}\Z")
SIGNAL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}\Z")
SESSION_KEY_LIMIT = 256
"""Characters of a session key: any text without control characters."""


def run_id(at: int, bits: int) -> RunId:
    """A new run id from an instant (microseconds) and 64 random bits."""
    return RunId(f"run_{at:014x}{bits:016x}")


def review_id(at: int, bits: int) -> ReviewId:
    """A new review id from an instant (microseconds) and 64 random bits."""
    return ReviewId(f"rev_{at:014x}{bits:016x}")


def delivery_id(at: int, bits: int) -> str:
    """A new delivery id from an instant (microseconds) and 64 random bits."""
    return f"dlv_{at:014x}{bits:016x}"


def child_run_id(parent: str, key: str) -> RunId:
    """The id of the run that the step `key` of `parent` calls: the same on every attempt."""
    return RunId("run_" + hashlib.blake2b(f"{parent}\n{key}".encode(), digest_size=16).hexdigest())


def valid_session_key(key: str) -> bool:
    return 0 < len(key) <= SESSION_KEY_LIMIT and key.isprintable()


def call_review_id(run: str, key: str) -> ReviewId:
    """The id of the review that the step `key` of `run` asks for: the same on every attempt."""
    return ReviewId("rev_" + hashlib.blake2b(f"{run}\n{key}".encode(), digest_size=16).hexdigest())
