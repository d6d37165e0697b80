"""Costs on their way into the records: the rows of one call, and a book for those that have no Change to go with.

A call of a kept run is counted in the Change that keeps its step. Runs that are not kept have none: their costs are
added up here and written once a second, so a node that is killed loses at most the last second of those.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from pilothouse.domain.price import Price, Tokens
from pilothouse.domain.run import Run
from pilothouse.errors import RecordsUnavailable
from pilothouse.ports.change import AddCost, Change, Conflict, Receipt
from pilothouse.ports.outgoing import CallResult

WRITES_AFTER = 1.0
BOOK_LIMIT = 10_000
"""Sums in memory; with more of them they are written at once."""


def costs_of(run: Run, provider: str, model: str, price: Price | None, result: CallResult, now: int) -> list[AddCost]:
    """The rows of one call that was made: of the agent's day, and of the session's."""
    day = datetime.fromtimestamp(now / 1e6, UTC).date().isoformat()
    tokens = result.tokens or Tokens()
    amounts = (
        1, int(price is None), int(result.tokens is None), tokens.input, tokens.output, tokens.cache_read,
        round(result.cost * 1e9), now,
    )  # fmt: skip
    sessions = ("",) if run.session is None else ("", run.session)
    return [AddCost(run.tenant, run.agent, session, day, provider, model, *amounts) for session in sessions]


class CostBook:
    """Costs that wait to be written. `submit` hands a Change to the records."""

    def __init__(self) -> None:
        self.submit: Callable[[Change, Callable[[Receipt | Conflict | Exception], None]], None] | None = None
        self._sums: dict[tuple[str, ...], AddCost] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_clear = asyncio.Event()
        self._is_clear.set()

    def add(self, rows: list[AddCost]) -> None:
        for row in rows:
            key = (row.tenant, row.id, row.session, row.day, row.provider, row.model)
            known = self._sums.get(key)
            self._sums[key] = row if known is None else _sum(known, row)
        self._is_clear.clear()
        if len(self._sums) >= BOOK_LIMIT:
            self.write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITES_AFTER, self.write)

    def write(self) -> None:
        """Hands over what there is; it is tried again until the records take it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows = list(self._sums.values())
        self._sums = {}
        if not rows or self.submit is None:
            self._is_clear.set()
            return

        def done(result: Receipt | Conflict | Exception) -> None:
            if isinstance(result, RecordsUnavailable):
                self.add(rows)
            elif not self._sums:
                self._is_clear.set()

        self.submit(Change(tuple(rows)), done)

    async def close(self, within: float) -> None:
        """Everything is written, unless the records cannot be reached."""
        self.write()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_clear.wait(), within)


def _sum(one: AddCost, other: AddCost) -> AddCost:
    sums = {name: getattr(one, name) + getattr(other, name) for name in AMOUNTS}
    return msgspec.structs.replace(one, **sums, at=other.at)


AMOUNTS = ("calls", "unpriced", "untold", "input_tokens", "output_tokens", "cache_tokens", "cost_nano")
