"""The bus: wake-ups and live events between those who write and those who watch.

It may lose, repeat or delay anything; nothing is wrong then, only slower. Whoever watches a kept run reads the records
first and after every gap.
"""

from collections.abc import Callable
from typing import Protocol

from pilothouse.domain.event import Segment

Watcher = Callable[[Segment], None]
"""Called on the loop; must not block and must bound what it keeps."""


class Bus(Protocol):
    post_limit: int
    """Bytes of one message to one node; 0: there is no other node to write to."""

    def post(self, to: str, message: bytes) -> None:
        """Tells one who receives under that name, in this node or another. Never blocks. Raises `ValueError` when the
        message is longer than the limit."""
        ...

    def receive(self, name: str, hear: Callable[[bytes], None]) -> Callable[[], None]:
        """From now on `hear` gets what is posted to the name; what is returned ends that and may be called twice."""
        ...

    def publish(self, tenant: str, segment: Segment) -> None: ...

    def watch(self, tenant: str, run: str, watcher: Watcher) -> Callable[[], None]:
        """From now on `watcher` gets the segments of the run; what is returned ends that and may be called twice."""
        ...

    def watch_all(self, tenant: str, watcher: Watcher) -> Callable[[], None]:
        """Like `watch`, for the runs of a tenant: of those that this node works on, and what else the bus has here."""
        ...

    def ring(self, bell: str, key: str = "", node: str = "") -> None:
        """Tells everybody who answers the bell: `work` (something is ready, of the agent that the key of
        `domain.roster.work_bell` names), `timer` (something is due earlier than was thought), `resolved` (key
        `tenant/run`: a wait of it has ended), `cancel` (a cancel of it was asked for), `delivery` (something is to go
        out), `schedule` (a schedule was made or changed), `breaker` (key JSON of provider, model and pause: one opened
        for so many seconds; 0: it closed). With a `node`, which the key names as well, only that one must hear it."""
        ...

    def answer(self, bell: str, ringer: Callable[[str], None]) -> Callable[[], None]: ...
