"""The run as an agent sees it, `ctx.run`: facts that do not change while the attempt lives.

It is made from what the node said at the start; nothing here asks or tells.
"""

from functools import cached_property
from typing import Any

from pilothouse.sdk.schema import read_json
from pilothouse.wire.frames import Start


class RunFacts:
    """What a run is. `metadata` is what the caller sent along, decoded when it is looked at."""

    def __init__(self, start: Start) -> None:
        self._metadata = start.metadata
        self.id = start.run
        self.attempt = start.attempt
        self.agent = start.agent
        self.release = start.release
        self.mode = start.mode
        self.tenant = start.tenant
        self.subject = start.subject
        self.retry_of = start.retry_of
        self.traceparent = start.traceparent
        """W3C Trace Context for what the agent calls; None: nobody traces."""

    @cached_property
    def metadata(self) -> dict[str, Any]:
        return read_json(self._metadata)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"RunFacts(id={self.id!r}, attempt={self.attempt}, agent={self.agent!r})"
