"""SQL as source: named statements from `sql/*.sql`, and what a database must be able to do with them.

A file holds blocks that begin with `-- name: insert_run`; the lines of comment under it say why the statement is right
under concurrency. `values :rows` takes any number of rows, `/* run */` stands for the columns of a noun (which are the
fields of its class) and `/* wanted */` for a `-- fragment: wanted`. What both databases understand is written once;
the folder of a dialect adds what must differ.
"""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from msgspec import Struct

from pilothouse.domain.delivery import Delivery
from pilothouse.domain.review import Review
from pilothouse.domain.run import Run
from pilothouse.domain.session import Session
from pilothouse.ports.records import Document

SHAPES = (64, 16, 4, 1)
COLUMNS = {
    "document": ", ".join(Document.__struct_fields__),
    "run": ", ".join(Run.__struct_fields__),
    "session": ", ".join(Session.__struct_fields__),
    "review": ", ".join(Review.__struct_fields__),
    "delivery": ", ".join(Delivery.__struct_fields__),
}

_BLOCK = re.compile(r"^-- (name|fragment): (\w+)$", re.MULTILINE)
_WRITES = re.compile(r"^(insert|update)(?= )", re.MULTILINE)
_ROWS = re.compile(r"\(([^()]*)\)\s*(?:as|in)?\s*\(?\s*values\s+:rows")


class Prepared(Struct, frozen=True):
    """A named statement. `shapes` has its text for each number of rows; the text for 1 when it takes none. A statement
    for many rows is run in a few shapes only, so that every shape stays prepared."""

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


def expand(text: str, fragments: dict[str, str]) -> str:
    for word, replacement in (*fragments.items(), *COLUMNS.items()):
        text = text.replace(f"/* {word} */", replacement)
    return text


def prepare(name: str, text: str, fragments: dict[str, str]) -> Prepared:
    text = expand(text, fragments)
    rows = _ROWS.search(text)
    if rows is None:
        return Prepared(name, text, {1: text})
    one = "(" + ", ".join("?" * len(rows[1].split(","))) + ")"
    return Prepared(name, text, {size: text.replace(":rows", ", ".join([one] * size)) for size in SHAPES})


@cache
def load() -> dict[str, Prepared]:
    """All named statements, for SQLite."""
    texts, fragments = read_folders("sql", "sql/sqlite")
    return {name: prepare(name, leave_half(text), fragments) for name, text in texts.items()}


def leave_half(text: str) -> str:
    """A statement for many rows that does not undo its first rows when a later one is refused: to be able to, SQLite
    copies each page aside before it changes it, a third of what a step costs. Nobody needs it: a transaction in which a
    statement was refused is rolled back, or to its savepoint."""
    return _WRITES.sub(r"\1 or fail", text, count=1) if ":rows" in text else text


def read_folders(*folders: str) -> tuple[dict[str, str], dict[str, str]]:
    """(statements, fragments) of all files of these folders. A name is given once."""
    texts: dict[str, str] = {}
    fragments: dict[str, str] = {}
    for folder in folders:
        for file in sorted(files(__package__).joinpath(folder).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".sql"):
                named, parts = parse(file.read_text(encoding="utf-8"))
                if twice := (named.keys() & texts.keys()) | (parts.keys() & fragments.keys()):
                    raise ValueError(f"{file.name} names {sorted(twice)} again")
                texts |= named
                fragments |= parts
    return texts, fragments


class Database(Protocol):
    """A connection to either database, in the middle of a transaction or not."""

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]: ...

    def ask(self, name: str, values: dict[str, Any]) -> list[Any]: ...

    def execute(self, statements: str) -> Any: ...


def many(connection: Database, name: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Runs a statement for all rows; what it returns, in no order."""
    return connection.many(name, rows) if rows else []


def ask(connection: Database, name: str, **values: Any) -> list[Any]:
    """Runs a statement with named values; its rows."""
    return connection.ask(name, values)
