"""All sources of a node by name: those that are posted to, and those that a loop takes from.

What is counted here is counted since the node started; what became of messages is in the records.
"""

from collections.abc import Iterable, Iterator

from pilothouse.communication.triggers.loop import Counts, SourceLoop
from pilothouse.communication.triggers.push import Desk
from pilothouse.engine.source import Intake, Taken

PREFIX, SUFFIX = "/v1/sources/", "/messages"


class Sources:
    """`start`, then `stop`. Stopping twice does nothing."""

    def __init__(
        self, desks: dict[str, Desk] | None = None, loops: dict[str, tuple[str, SourceLoop]] | None = None
    ) -> None:
        self.desks, self._loops = desks or {}, loops or {}
        self._counts = {name: Counts() for name in self.desks}

    def start(self) -> None:
        for _, loop in self._loops.values():
            loop.start()

    async def stop(self) -> None:
        for _, loop in self._loops.values():
            await loop.stop()

    def proves_itself(self, path: str) -> bool:
        """Whether a post to this path is signed by its sender, and so needs no key of this deployment."""
        if not path.startswith(PREFIX) or not path.endswith(SUFFIX):
            return False
        desk = self.desks.get(path[len(PREFIX) : -len(SUFFIX)])
        return desk is not None and desk.verify != "key"

    def all(self) -> Iterator[tuple[str, str, Intake, Counts]]:
        for name, desk in self.desks.items():
            yield name, "http", desk.intake, self._counts[name]
        for name, (kind, loop) in self._loops.items():
            yield name, kind, loop.intake, loop.counts

    def count(self, name: str, taken: Iterable[Taken]) -> None:
        counts = self._counts[name]
        for one in taken:
            counts.taken += one.outcome == "run"
            counts.repeated += one.outcome == "repeat"
            counts.dead += one.outcome == "dead"
            counts.given_back += one.outcome == "again"
