"""How long files and functions may be.

A file that does not fit on a few screens holds two things. The limits are hard; the only list of exceptions is
`long_functions.txt` beside this file, and it may only shrink: an entry that is not needed any more, or longer than
what it excuses, fails here.
"""

import ast
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, SRC, name, python_files

FILE_LIMIT, FILE_P90, TEST_LIMIT, FUNCTION_LIMIT = 600, 400, 800, 60
# How many exceptions there are today. Lower it with the list.
EXCEPTIONS = 0


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def long_functions(path: Path, limit: int = FUNCTION_LIMIT) -> dict[str, int]:
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > limit:
                found[f"{name(path)}::{node.name}"] = length
    return found


def excused() -> dict[str, int]:
    rows = (Path(__file__).parent / "long_functions.txt").read_text().splitlines()
    pairs = (row.rsplit(maxsplit=1) for row in rows if row and not row.startswith("#"))
    return {what: int(length) for what, length in pairs}


def test_no_file_of_the_source_is_over_its_limit():
    assert {name(path): lines(path) for path in python_files(SRC) if lines(path) > FILE_LIMIT} == {}


def test_nine_of_ten_files_of_the_source_are_short():
    sizes = sorted(lines(path) for path in python_files(SRC))
    assert sizes[int(len(sizes) * 0.9)] <= FILE_P90


def test_no_file_of_tests_is_over_its_limit():
    files = python_files(ROOT / "tests", ROOT / "benchmarks", ROOT / "examples")
    assert {name(path): lines(path) for path in files if lines(path) > TEST_LIMIT} == {}


def test_no_function_is_longer_than_the_limit_or_its_exception():
    found = {what: length for path in python_files(SRC) for what, length in long_functions(path).items()}
    assert found == excused(), "shorten what is new, and take from long_functions.txt what became shorter"


def test_the_list_of_exceptions_only_shrinks():
    assert len(excused()) <= EXCEPTIONS


@pytest.mark.parametrize("length", [FUNCTION_LIMIT, FUNCTION_LIMIT + 1])
def test_a_function_over_the_limit_is_found(length: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("tests.architecture.tree.ROOT", tmp_path)
    path = tmp_path / "planted.py"
    path.write_text("def long():\n" + "    pass\n" * (length - 1))
    assert bool(long_functions(path)) is (length > FUNCTION_LIMIT)
