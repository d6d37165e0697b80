"""Words that every file has, and words that none may have.

A module says at its head why it exists; a room says it in DESIGN.md. Names that fit everything (the banned ones)
say nothing, so no module, class or function has one. No file names a machine or a package index: what is here has
to work anywhere.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, SRC, name, python_files, tracked

BANNED = {
    "manager",
    "managers",
    "service",
    "services",
    "helper",
    "helpers",
    "util",
    "utils",
    "common",
    "base",
    "core",
    "misc",
    "impl",
    "data",
    "info",
    "infos",
}
# Said by others: an option everybody knows by this name, and a callback of asyncio.Protocol.
ALLOWED = frozenset({"base_url", "data_received"})
DOCSTRING = range(3, 15)

# Put together here, so that this file does not hold what it looks for.
PLACES = re.compile(
    "|".join(
        (
            *(rf"(?<![\w.])/{folder}/" for folder in ("work", "root")),
            "py" + r"pi\.org",
            "python" + r"hosted\.org",
            "registry" + r"\.npmjs",
            r"(?<!emit-)\b(?:extra-)?index" + r"[-_]url\b",
        )
    ),
    re.IGNORECASE,
)


def words(identifier: str) -> set[str]:
    """`RunManager2` and `run_manager` have the words run and manager."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def banned(path: Path) -> Iterator[str]:
    """Names in one file that say nothing."""
    names = [path.stem if path.stem != "__init__" else path.parent.name]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
    return (f"{path.name}: {each}" for each in names if each not in ALLOWED and words(each) & BANNED)


def unexplained(path: Path) -> str | None:
    length = len((ast.get_docstring(ast.parse(path.read_text())) or "").splitlines())
    fits = length >= 1 if path.name == "__init__.py" else length in DOCSTRING
    return None if fits else f"{path.name}: a docstring of {length} lines"


def test_every_module_says_why_it_exists():
    assert {name(path): fault for path in python_files(SRC) if (fault := unexplained(path))} == {}


def test_no_name_is_one_that_fits_everything():
    assert {name(path): faults for path in python_files(SRC) if (faults := list(banned(path)))} == {}


def test_every_room_has_its_design():
    rooms = [path for path in SRC.iterdir() if (path / "__init__.py").is_file()]
    assert rooms
    assert [name(room) for room in rooms if not (room / "DESIGN.md").is_file()] == []


def test_no_tracked_file_names_a_machine_or_an_index():
    files = tracked()
    if not files:
        pytest.skip("not a clone")
    found = {}
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        if hit := PLACES.search(text):
            found[name(path)] = hit.group()
    assert found == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class RunManager: ...", True),
        ("def read_data(): ...", True),
        ("class HTTPService: ...", True),
        ("def base_url(): ...", False),
        ("class Database: ...", False),
        ("def service_level_is_not_said_here(): ...", True),
    ],
)
def test_a_planted_name_is_found(source: str, found: bool, tmp_path: Path):
    path = tmp_path / "planted.py"
    path.write_text(source + "\n")
    assert bool(list(banned(path))) is found


@pytest.mark.parametrize(("lines", "fits"), [(0, False), (2, False), (3, True), (14, True), (15, False)])
def test_a_docstring_of_the_wrong_length_is_found(lines: int, fits: bool, tmp_path: Path):
    path = tmp_path / "planted.py"
    path.write_text(('"""' + "\n".join(["word"] * lines) + '"""\n') if lines else "x = 1\n")
    assert (unexplained(path) is None) is fits


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see /" + "work/main", True),
        ("--index" + "-url https://example.invalid", True),
        ("https://py" + "pi.org/simple", True),
        ("docs/" + "work/plan", False),
        (str(ROOT.name), False),
    ],
)
def test_a_planted_place_is_found(text: str, found: bool):
    assert bool(PLACES.search(text)) is found
