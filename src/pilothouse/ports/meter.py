"""What the rooms tell of their work as they do it, so that operators can count it.

Small conversations, one for each room that has something to tell. Each method is called on the path of a request or a
run: it does not block, does not raise, and costs about a microsecond. A method is always called from one thread, which
may be another one for each method. Names that callers choose (agents) are bounded by whoever counts.
"""

from collections.abc import Mapping
from typing import Protocol

from pilothouse.domain.journal import StepRow
from pilothouse.domain.run import Run


class RequestMeter(Protocol):
    """Told by communication."""

    def request_ended(self, route: str, status: int, seconds: float) -> None:
        """`route` is the path with its placeholders; a stream has ended when its last byte was sent."""
        ...

    def stream_opened(self) -> None: ...

    def stream_closed(self) -> None: ...


class MetricsPage(RequestMeter, Protocol):
    """Who counts for communication also gives the page that operators read."""

    def render(self) -> bytes: ...


class RunMeter(Protocol):
    """Told by compute, of attempts of this node; of the ends of runs by whoever listens to the engine."""

    def run_started(self, agent: str, waited: float) -> None:
        """For the first time. `waited`: seconds since it was created, delays that were asked for included."""
        ...

    def run_spoke(self, agent: str, seconds: float) -> None:
        """It emitted its first piece of output, so long after it was created."""
        ...

    def run_ended(self, agent: str, status: str, seconds: float, usage: bytes | None) -> None:
        """`seconds` since the run was created; `usage` is JSON over all its attempts."""
        ...

    def step_ended(self, agent: str, kind: str, status: str, seconds: float) -> None:
        """A step that was executed here; a replayed one is not told."""
        ...

    def claimed(self, count: int) -> None:
        """A claim was made, and found so many runs."""
        ...

    def leases_taken_over(self, count: int) -> None:
        """Runs that another worker held went back to the queue."""
        ...

    def host_lost(self) -> None: ...

    def host_held(self, host: str, used: int) -> None:
        """Resident bytes of a host process; 0 when it has ended."""
        ...

    def queue_counted(self, ready: int, held: int, running: int, waiting: int) -> None: ...

    def reviews_counted(self, open: Mapping[str, tuple[int, float]]) -> None:
        """By agent: how many reviews are open, and how many seconds ago the oldest of them was asked."""
        ...


class DeliveryMeter(Protocol):
    """Told by communication, of what goes out."""

    def delivery_tried(self, verdict: str, status: str) -> None:
        """`verdict` of this one try (delivered, again, dead, gone), and the status that it leaves the delivery in."""
        ...


class Tracer(Protocol):
    """Told by compute of what was executed on this node: a replayed step is not told, so no span is recorded twice; and
    of runs that this node gave their end, by whoever listens to the engine.
    `traceparent` is that of the request which started the run."""

    def step_ended(self, run: Run, traceparent: str | None, row: StepRow) -> None: ...

    def run_ended(self, run: Run, traceparent: str | None) -> None: ...


class CommitMeter(Protocol):
    """Told by storage."""

    def committed(self, changes: int, seconds: float) -> None:
        """One transaction with this many Changes, from its begin until it was durable."""
        ...

    def audited(self, entry: bytes) -> None:
        """An entry of the audit log became durable."""
        ...
