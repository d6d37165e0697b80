"""How things look on a terminal, and as JSON for programs.

What comes from agents is shown without its control characters, so that no output can drive the terminal of its reader.
On a terminal a table is cut to its width, in the column that can bear it; for anybody else (a pipe, a file) it is as
wide as it must be. rich is imported on use: most commands print a line or two.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
STATUS_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "waiting": "magenta",
    "open": "magenta",
}
GAP = 2
LEAST_WIDTH = 8
"""What the column that gives way keeps on the narrowest terminal."""


def printable(text: str) -> str:
    """The text without characters that a terminal would obey."""
    return CONTROL.sub("�", text)


def show_json(value: object) -> None:
    """One JSON document: indented for eyes, on one line for programs."""
    encoded = msgspec.json.encode(value)
    if sys.stdout.isatty():
        encoded = msgspec.json.format(encoded, indent=2)
    click.echo(encoded.decode())


def show_json_line(value: object) -> None:
    """One document of many, each on its line."""
    click.echo(msgspec.json.encode(value).decode())


def readable(value: Any) -> str:
    """A payload as a person reads it: a text as it is, anything else as indented JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return printable(text) if sys.stdout.isatty() else text


def on_one_line(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(" ".join(text.split()))


def style_status(status: str) -> str:
    return styled(status, fg=STATUS_COLOURS.get(status))


def show_fields(fields: Iterable[tuple[str, str | None]]) -> None:
    """Names and values below each other; what is None or empty is left out."""
    shown = [(name, value) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {value}")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], flexible: str = "") -> None:
    """A table; on a terminal the column `flexible` gives way when there is not room for all."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lay_out(columns, rows, flexible, width):
        click.echo(line)


def lay_out(columns: Sequence[str], rows: Iterable[Sequence[str]], flexible: str, width: int | None) -> list[str]:
    """The lines of a table. Only `flexible` is ever cut: what is left of an id is worth nothing."""
    from rich.cells import cell_len, set_cell_size

    cells = [tuple(columns), *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    if width is not None and flexible in columns:
        place = columns.index(flexible)
        others = sum(widths) - widths[place] + GAP * (len(widths) - 1)
        widths[place] = min(widths[place], max(width - others, LEAST_WIDTH))
    lines = []
    for number, row in enumerate(cells):
        fitted = [set_cell_size(cell, width) if cell_len(cell) <= width else f"{set_cell_size(cell, width - 1)}…"
                  for cell, width in zip(row, widths, strict=True)]  # fmt: skip
        shown = (" " * GAP).join(_dress(cell, number == 0) for cell in fitted)
        lines.append(shown.rstrip())
    return lines


def _dress(cell: str, is_header: bool) -> str:
    colour = STATUS_COLOURS.get(cell.strip())
    if is_header or colour:
        return cell.replace(cell.strip(), styled(cell.strip(), fg=colour, bold=is_header))
    return cell


def styled(text: str, **style: Any) -> str:
    """The text with colours; without them when nobody wants any. They never reach a file or a pipe: `click.echo` takes
    them out."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **{name: on for name, on in style.items() if on})


def parse_instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def span(seconds: float) -> str:
    """A span in few figures: 40ms, 1.5s, 12s, 3m, 5h, 2d."""
    if seconds < 1:
        return f"{max(seconds, 0.0) * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s"
    for limit, divisor, unit in ((100, 1, "s"), (6000, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f}{unit}"
    return f"{seconds / 86_400:.0f}d"


def since(instant: str | None, now: datetime | None = None) -> str:
    if not instant:
        return ""
    return span(((now or datetime.now(UTC)) - parse_instant(instant)).total_seconds())


def between(start: str | None, end: str | None) -> str:
    if not start or not end:
        return ""
    return span((parse_instant(end) - parse_instant(start)).total_seconds())
