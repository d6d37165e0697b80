"""Reads each source of settings to what it really set, and says what it does not know.

A default never travels through here, so that one source cannot clobber another with values nobody wrote. What is
found is a list of `Given` (which setting, which value, said where) and a list of faults in words; nothing is
converted yet. An unknown name is a fault with the nearest known one: a typing error is never silently ignored.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import fields

from pilothouse.domain.ids import AGENT_NAME
from pilothouse.errors import SettingsInvalid
from pilothouse.settings.tree import NAMED, SECTIONS

PREFIX = "PILOTHOUSE_"
FILE_LIMIT = 1024 * 1024

PROGRAM_VARIABLES = {
    "PILOTHOUSE_CONFIG": "the settings file to read",
    "PILOTHOUSE_URL": "the address of the node that commands talk to",
    "PILOTHOUSE_KEY": "the API key that commands send to the node",
    "PILOTHOUSE_DEBUG": "show the traceback of an unexpected fault",
}
"""Variables that are no settings of a node."""

SERVICE_LINK = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)\Z")
"""What Kubernetes sets in every container beside a Service named pilothouse or pilothouse-...: nobody's word."""

LATER: dict[str, str] = {}
"""Keys of an agent that the contract names and a later release brings."""


ONE = {
    "agents": "agent", "receivers": "receiver", "schedules": "schedule", "sources": "source",
    "providers": "provider", "secrets": "secret",
}  # fmt: skip
ARTICLE = {name: f"{'an' if one[0] == 'a' else 'a'} {one}" for name, one in ONE.items()}


class Given(Struct, frozen=True):
    """One setting as a source said it. `is_text`: it comes from a variable, where everything is text."""

    path: tuple[str, ...]
    value: object
    source: str
    is_text: bool = False


class Reading(Struct):
    given: list[Given]
    faults: list[str]


def names_of(kind: type[Struct]) -> list[str]:
    return [one.name for one in fields(kind)]


def variable(section: str, name: str) -> str:
    return f"{PREFIX}{section}_{name}".upper()


def guess(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, when one is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


# --- pilothouse.toml ----------------------------------------------------------------------------------------------


def read_file(path: Path, shown: str) -> Reading:
    """What a settings file sets. Raises SettingsInvalid when it cannot be read as TOML at all."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsInvalid(reason=f"{shown} cannot be read ({(error.strerror or 'error').lower()})") from None
    if len(content) > FILE_LIMIT:
        raise SettingsInvalid(reason=f"{shown} is larger than {FILE_LIMIT} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsInvalid(reason=f"{shown}:{line} is not UTF-8 text") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        line = int(found[2]) if found and found[2] else text.count("\n") + 1
        what = found[1] if found else str(error)
        raise SettingsInvalid(reason=f"{shown}:{line} is not TOML: {what[:1].lower()}{what[1:]}") from None
    return _FileReader(shown, line_numbers(text)).read(tree)


class _FileReader:
    def __init__(self, shown: str, lines: dict[tuple[str, ...], int]) -> None:
        self.shown = shown
        self.lines = lines
        self.given: list[Given] = []
        self.faults: list[str] = []

    def read(self, tree: dict[str, object]) -> Reading:
        for name, table in tree.items():
            if name in NAMED:
                self._read_named(name, table)
            elif name in SECTIONS:
                self._read_table((name,), table, names_of(SECTIONS[name]), {})
            else:
                homes = [f"[{section}] {key}" for section, key in _all_settings() if key == name]
                known = f"; did you mean {homes[0]}?" if homes else guess(name, [*SECTIONS, *NAMED])
                self._fault((name,), f"there is no section {name}{known}")
        return Reading(self.given, self.faults)

    def _read_named(self, section: str, tables: object) -> None:
        if not isinstance(tables, dict):
            one = ONE[section]
            self._fault((section,), f"{section} is a table with one table for each {one}, as in [{section}.echo]")
            return
        for name, table in tables.items():
            if not AGENT_NAME.match(name):
                self._fault((section, name), f"{name!r} is no name for {ARTICLE[section]}; it starts with a letter and "
                            "has up to 63 letters, digits, dots, dashes and underscores")  # fmt: skip
                continue
            later = LATER if section == "agents" else {}
            self._read_table((section, name), table, names_of(NAMED[section]), later)

    def _read_table(self, path: tuple[str, ...], table: object, known: list[str], later: dict[str, str]) -> None:
        if not isinstance(table, dict):
            self._fault(path, f"{'.'.join(path)} is a table; write [{'.'.join(path)}] and its keys below")
            return
        for key, value in table.items():
            name = ".".join((*path, key))
            if key in known:
                self.given.append(Given((*path, key), value, self._place((*path, key))))
            elif key in later:
                self._fault((*path, key), f"{name}: {later[key]}")
            else:
                self._fault((*path, key), f"there is no setting {name}{guess(key, known)}")

    def _fault(self, path: tuple[str, ...], text: str) -> None:
        self.faults.append(f"{self._place(path)}: {text}")

    def _place(self, path: tuple[str, ...]) -> str:
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.shown}:{self.lines[path]}" if path else self.shown


def line_numbers(text: str) -> dict[tuple[str, ...], int]:
    """The line on which each table and key first stands. A sketch, for messages: lines of a multi-line string may
    add names that are not there, and the keys of an inline table are found at the table."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+([^\[\]]+)\]+\s*(#.*)?$", line):
            table = _split(header[1])
            path = table
        elif key := re.match(r"\s*([\w\s.\"'-]+?)\s*=", line):
            path = table + _split(key[1])
        else:
            continue
        for end in range(1, len(path) + 1):
            lines.setdefault(path[:end], number)
    return lines


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


# --- the environment ------------------------------------------------------------------------------------------------


def read_environment(environ: Mapping[str, str]) -> Reading:
    """What PILOTHOUSE_* variables set. An empty one sets nothing."""
    settings = {variable(section, name): (section, name) for section, name in _all_settings()}
    reading = Reading([], [])
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name in PROGRAM_VARIABLES or not value:
            continue
        is_link = SERVICE_LINK.match(name) is not None
        if name in settings and not (is_link and "://" in value):
            reading.given.append(Given(settings[name], value, name, is_text=True))
        elif name not in settings and not is_link:
            reading.faults.append(_unknown_variable(name, settings))
    return reading


def _unknown_variable(name: str, known: Iterable[str]) -> str:
    for section in NAMED:
        if name.startswith(f"{PREFIX}{section.upper()}_"):
            return f"{name}: {section} are set in pilothouse.toml only"
    return f"there is no variable {name}{guess(name, [*known, *PROGRAM_VARIABLES])}"


def _all_settings() -> Iterator[tuple[str, str]]:
    for section, kind in SECTIONS.items():
        for name in names_of(kind):
            yield section, name
