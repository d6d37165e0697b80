"""What a host has told of an attempt and is not durable yet: rows and events in order, and who wants to hear of it.

Steps are appended. The end of a wait may be written by somebody else as well (a signal that comes as its time runs
out), so it is an expectation: when it falls, it is taken out, its event with it, and the rest stands.
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from pilothouse.domain.journal import StepRow
from pilothouse.domain.run import Run
from pilothouse.ports.change import AppendEvents, AppendStep, Fence, ResolveStep, Row, Statement, WakeRun


class Told(Struct, eq=False):
    """`size` is in bytes of events."""

    size: int = 0
    after: list[Callable[[], None]] = []
    """What follows once all of this is durable."""
    kept: list[Callable[[], None]] = []
    """The same, also when the attempt ends with it."""
    is_answer: bool = False
    """The node itself has ended a wait. Its host may have parked before it can hear that: a park then is overtaken,
    as by any answer from outside."""
    lines: list[bytes] = []
    """Events as `domain.event.line` makes them; a piece may hold several."""
    _count: int = 0
    """Of events."""
    _rows: list[Row] = []
    _refs: list[int] = []
    _ends: dict[str, tuple[StepRow, bytes, int | None]] | None = None
    """By step key: the end of a wait, its event, and the ref under which its host told it."""

    def __bool__(self) -> bool:
        return bool(self._count or self._rows or self._refs or self._ends)

    def add_line(self, line: bytes) -> None:
        self.lines.append(line)
        self._count += 1
        self.size += len(line)

    def add_step(self, run: Run, row: StepRow, lines: bytes = b"", count: int = 0) -> None:
        """A row of the journal, with the events that tell of it."""
        self._rows.append(AppendStep(run.tenant, run.id, row))
        if count:
            self.lines.append(lines)
            self._count += count
            self.size += len(lines)

    def add_ended(self, run: Run, row: StepRow, lines: bytes, ref: int) -> None:
        """A step that began and ended: its row, its two events, and that the host waits for it."""
        self._rows.append(AppendStep(run.tenant, run.id, row))
        self._refs.append(ref)
        self.lines.append(lines)
        self._count += 2
        self.size += len(lines)

    def add_row(self, row: Row) -> None:
        self._rows.append(row)

    def add_ref(self, ref: int) -> None:
        """The host waits until all that it told so far is durable."""
        self._refs.append(ref)

    def add_end(self, row: StepRow, line: bytes, ref: int | None) -> None:
        if self._ends is None:
            self._ends = {}
        self._ends[row.key] = (row, line, ref)
        self.add_line(line)

    @property
    def ends(self) -> frozenset[str]:
        return frozenset(self._ends or ())

    def drop_ends(self, keys: Iterable[str]) -> None:
        """These waits were ended by others."""
        for key in keys:
            if self._ends and key in self._ends:
                _, line, _ = self._ends.pop(key)
                self.lines.remove(line)
                self._count -= 1

    def refs(self) -> list[int]:
        if not self._ends:
            return self._refs
        return self._refs + [ref for _, _, ref in self._ends.values() if ref is not None]

    def statements(self, run: Run, at: int, last: bytes = b"", fence: Fence | None = None) -> list[Statement]:
        """Acts first. `last` are the lines that end the attempt."""
        found: list[Statement] = [] if fence is None else [fence]
        if self._ends:
            found += [ResolveStep(run.tenant, run.id, row) for row, _, _ in self._ends.values()]
        if self.is_answer:
            found.append(WakeRun(run.tenant, run.id))
        found += self._rows
        count = self._count + last.count(b"\n")
        if count:
            lines = self.lines
            data = lines[0] if len(lines) == 1 and not last else b"".join((*lines, last))
            found.append(AppendEvents(run.tenant, run.id, at, count, data))
        return found
