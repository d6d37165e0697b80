"""Plots beside RESULTS.md: lines over two logarithmic axes, as SVG, which pages and reviewers show as they are.

A few dozen points do not need a library: a plot is made of the rows that RESULTS.json has, so that it can be drawn
again from that (`python -m benchmarks.chart`). What does not grow is a
flat line; what is linear goes up with the slope of one power for each.
"""

import math
from pathlib import Path
from typing import Any

import msgspec

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 40, 50
COLOURS = ("#1b6ca8", "#c1440e", "#2e7d32", "#7b1fa2", "#8d6e00", "#00838f", "#ad1457", "#455a64")
CHARTS = {"growth": ("growth.svg",), "footprint": ("session.svg",)}
"""The plots of each table."""
GROWTH = {
    "claim_us": "claim one", "insert_us": "insert one", "step_us": "append a step", "page_us": "newest page",
    "deep_us": "a page in the middle", "queue_us": "count the queue", "events_us": "events of a run",
    "load_us": "journal of 1,000 steps",
}  # fmt: skip

Lines = dict[str, list[tuple[float, float]]]


def draw(title: str, across: str, upward: str, lines: Lines) -> str:
    """All values are over 0."""
    points = [point for line in lines.values() for point in line]
    x_axis = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    y_axis = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="{title}"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(LEFT, 22, title, 'font-size="15"'),
    ]
    for value in x_axis.marks:
        x = x_axis.at(value)
        parts += [rule(x, TOP, x, HEIGHT - BOTTOM), text(x, HEIGHT - BOTTOM + 18, shown(value), MIDDLE)]
    for value in y_axis.marks:
        y = y_axis.at(value)
        parts += [rule(LEFT, y, WIDTH - RIGHT, y), text(LEFT - 6, y + 4, shown(value), 'text-anchor="end"')]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, across, MIDDLE))
    parts.append(text(8, TOP - 8, upward))
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        placed = [(x_axis.at(x), y_axis.at(y)) for x, y in line]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        parts.append(text(WIDTH - RIGHT + 14, TOP + 12 + 18 * number, name, f'fill="{colour}"'))
    return "\n".join([*parts, "</svg>"]) + "\n"


class Axis:
    """From the power of ten below the least value to the one above the largest."""

    def __init__(self, values: list[float], first: float, last: float) -> None:
        self._low = math.floor(math.log10(min(values)) + 1e-9)
        self._high = max(math.ceil(math.log10(max(values)) - 1e-9), self._low + 1)
        self._first, self._last = first, last

    @property
    def marks(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]

    def at(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._first + share * (self._last - self._first)


MIDDLE = 'text-anchor="middle"'


def text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{words}</text>'


def rule(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="#ddd"/>'


def shown(value: float) -> str:
    for size, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{name}"
    return f"{value:g}"


def charts_of(tables: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """By the names of their files, those whose table has two points or more."""
    drawn = {}
    growth = tables.get("growth", [])
    if len(growth) > 1:
        lines = {
            name: [(row["ended_runs"], row[key]) for row in growth] for key, name in GROWTH.items() if key in growth[0]
        }
        title = "Single operations beside runs, steps and events that are over"
        drawn["growth.svg"] = draw(title, "ended runs, with as many steps and events", "us, p50", lines)
    for row in tables.get("footprint", [])[:1]:
        line = [(int(key.rpartition("_")[2]), value * int(key.rpartition("_")[2]))
                for key, value in row.items() if key.startswith("bytes_a_turn_of_")]  # fmt: skip
        if len(line) > 1:
            linear = [(turns, line[0][1] / line[0][0] * turns) for turns, _ in line]
            lines = {"records": line, "linear from the first": linear}
            drawn["session.svg"] = draw("What a session's turns add to the records", "turns", "bytes", lines)
    return drawn


def draw_all(results: Any) -> dict[str, str]:
    return charts_of({one.key: one.raw for one in results.tables})


def main() -> None:
    folder = Path(__file__).parent
    for name, drawn in charts_of(msgspec.json.decode((folder / "RESULTS.json").read_bytes())["tables"]).items():
        (folder / name).write_text(drawn)


if __name__ == "__main__":
    main()
