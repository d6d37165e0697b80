"""The trace of a run, for a project that traces itself: its spans join ours below the run's span.

OpenTelemetry is the project's, or is not there: it is used when the project has imported it, and never imported for
this. Without it, or without a trace, nothing is done.
"""

import importlib
import sys


def join_trace(traceparent: str | None) -> None:
    """Makes the run's span the parent of what the current task and its children record."""
    context = sys.modules.get("opentelemetry.context")
    if traceparent is None or context is None:
        return
    propagate = importlib.import_module("opentelemetry.propagate")
    context.attach(propagate.extract({"traceparent": traceparent}))
