"""SQL as source: named statements from `sql/*.sql`, and one way to run a statement for many rows.

A file holds blocks that begin with `-- name: insert_run`; the lines of comment under it say why the statement is right
under concurrency. `values :rows` takes any number of rows, `/* run */` stands for the columns of a noun (which are the
fields of its class) and `/* wanted */` for a `-- fragment: wanted`. A dialect's own folder may add statements.

A statement for many rows is run in a few shapes only (64, 16, 4 or 1 rows), so that every shape stays prepared.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

import apsw
from msgspec import Struct

from pilothouse.domain.review import Review
from pilothouse.domain.run import Run
from pilothouse.domain.session import Session

SHAPES = (64, 16, 4, 1)
COLUMNS = {
    "run": ", ".join(Run.__struct_fields__),
    "session": ", ".join(Session.__struct_fields__),
    "review": ", ".join(Review.__struct_fields__),
}
FOLDERS = ("sql", "sql/sqlite")

_BLOCK = re.compile(r"^-- (name|fragment): (\w+)$", re.MULTILINE)
_ROWS = re.compile(r"\(([^()]*)\)\s*(?:as|in)?\s*\(?\s*values\s+:rows")


class Prepared(Struct, frozen=True):
    """A named statement. `shapes` has its text for each number of rows; the text for 1 when it takes none."""

    name: str
    text: str
    shapes: dict[int, str]


def parse(source: str) -> tuple[dict[str, str], dict[str, str]]:
    """(statements, fragments) of one file, by name."""
    found: dict[str, dict[str, str]] = {"name": {}, "fragment": {}}
    parts = _BLOCK.split(source)
    for kind, name, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        if name in found["name"] or name in found["fragment"]:
            raise ValueError(f"{name} is named twice")
        lines = [line for line in body.splitlines() if not line.startswith("--")]
        found[kind][name] = "\n".join(lines).strip().removesuffix(";")
    return found["name"], found["fragment"]


def prepare(name: str, text: str, fragments: dict[str, str]) -> Prepared:
    for word, replacement in (*fragments.items(), *COLUMNS.items()):
        text = text.replace(f"/* {word} */", replacement)
    rows = _ROWS.search(text)
    if rows is None:
        return Prepared(name, text, {1: text})
    one = "(" + ", ".join("?" * len(rows[1].split(","))) + ")"
    return Prepared(name, text, {size: text.replace(":rows", ", ".join([one] * size)) for size in SHAPES})


@cache
def load() -> dict[str, Prepared]:
    """All named statements."""
    texts: dict[str, str] = {}
    fragments: dict[str, str] = {}
    for folder in FOLDERS:
        for file in sorted(files(__package__).joinpath(folder).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".sql"):
                named, parts = parse(file.read_text(encoding="utf-8"))
                if twice := named.keys() & texts.keys():
                    raise ValueError(f"{file.name} names {sorted(twice)} again")
                texts |= named
                fragments |= parts
    return {name: prepare(name, text, fragments) for name, text in texts.items()}


def many(connection: apsw.Connection, name: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Runs a statement for all rows; what it returns, in no order."""
    shapes = load()[name].shapes
    answer: list[Any] = []
    start, left = 0, len(rows)
    while left:
        size = 64 if left >= 64 else 16 if left >= 16 else 4 if left >= 4 else 1
        bindings = rows[start] if size == 1 else tuple(chain.from_iterable(rows[start : start + size]))
        answer += connection.execute(shapes[size], bindings).fetchall()
        start += size
        left -= size
    return answer


def ask(connection: apsw.Connection, name: str, **values: Any) -> list[Any]:
    """Runs a statement with named values; its rows."""
    return connection.execute(load()[name].text, values).fetchall()
