"""What users test their agents with, and what third parties prove their adapters with.

Everything named here is promised: it changes as the HTTP contract changes, with notice. It stands on the standard
library and the rooms it tests, so that importing it needs no test framework. What needs more than the sdk (a node keeps
records, and those need apsw) is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pilothouse.testing.clock import ManualClock, ManualEntropy
from pilothouse.testing.model import ScriptedModel
from pilothouse.testing.model_answer import Answer, Fault, Gate, ToolCall, Usage
from pilothouse.testing.model_request import ModelRequest

if TYPE_CHECKING:
    from pilothouse.testing.faulty import FaultyRecords
    from pilothouse.testing.local_blocking import BlockingNode
    from pilothouse.testing.local_life import NodeCrashed
    from pilothouse.testing.local_node import LocalNode
    from pilothouse.testing.local_run import LocalEvent, LocalReview, LocalRun, LocalStep
    from pilothouse.testing.local_verbs import StillWaiting
    from pilothouse.testing.lossy import LossyBus

LATER = {
    "BlockingNode": "local_blocking",
    "FaultyRecords": "faulty",
    "LocalEvent": "local_run",
    "LocalNode": "local_node",
    "LocalReview": "local_run",
    "LocalRun": "local_run",
    "LocalStep": "local_run",
    "LossyBus": "lossy",
    "NodeCrashed": "local_life",
    "StillWaiting": "local_verbs",
}

__all__ = [
    "Answer",
    "BlockingNode",
    "Fault",
    "FaultyRecords",
    "Gate",
    "LocalEvent",
    "LocalNode",
    "LocalReview",
    "LocalRun",
    "LocalStep",
    "LossyBus",
    "ManualClock",
    "ManualEntropy",
    "ModelRequest",
    "NodeCrashed",
    "ScriptedModel",
    "StillWaiting",
    "ToolCall",
    "Usage",
]


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{LATER[name]}"), name)
