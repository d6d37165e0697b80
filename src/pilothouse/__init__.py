"""Pilothouse runs the AI agent you already have in production. What agent authors use is here; besides
`pilothouse.testing`, nothing else is promised. Importing it needs msgspec and the standard library.
"""

from pilothouse.domain.decision import Decision
from pilothouse.domain.retry import Retry
from pilothouse.domain.review import Answer
from pilothouse.errors import (
    CallFailed,
    HotStoreUnavailable,
    JournalDiverged,
    LimitReached,
    NotKept,
    NotUndone,
    PilothouseError,
    ScratchRefused,
    SignalTimeout,
    StepFailed,
    StepTimeout,
    TooLarge,
    UnknownOutcome,
)
from pilothouse.sdk.agent import agent, tool
from pilothouse.sdk.context import BlockingContext, Context
from pilothouse.sdk.scope import idempotency_key, now

__all__ = [
    "Answer",
    "BlockingContext",
    "CallFailed",
    "Context",
    "Decision",
    "HotStoreUnavailable",
    "JournalDiverged",
    "LimitReached",
    "NotKept",
    "NotUndone",
    "PilothouseError",
    "Retry",
    "ScratchRefused",
    "SignalTimeout",
    "StepFailed",
    "StepTimeout",
    "TooLarge",
    "UnknownOutcome",
    "agent",
    "idempotency_key",
    "now",
    "tool",
]
