"""The table of frameworks claims nothing that no test shows: each cell names a test, and that test is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "frameworks.md").read_text(encoding="utf-8")
COLUMNS = {
    "LangGraph": "langgraph",
    "Pydantic AI": "pydantic_ai",
    "OpenAI Agents SDK": "openai_agents",
    "Google ADK": "google_adk",
    "CrewAI": "crewai",
    "Agno": "agno",
    "smolagents": "smolagents",
}
CLAUSES = {
    found.name: found
    for found in ast.parse((ROOT / "tests" / "frameworks" / "clauses.py").read_text(encoding="utf-8")).body
    if isinstance(found, ast.ClassDef)
}
NEEDED = {"stream", "steps", "its own pause", "session", "fork", "usage", "cancel"}


def rows():
    table = PAGE[PAGE.index("| | LangGraph") :].split("\n\n")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


HEAD, _, *BODY = rows()
CELLS = [(row[0], name, row[at]) for row in BODY for at, name in enumerate(HEAD) if at]


def named_in(framework):
    """The tests of a framework, and the clauses that it takes over."""
    files = (ROOT / "tests" / "frameworks" / COLUMNS[framework]).rglob("test_*.py")
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    named = re.findall(r"def (test_\w+)", text)
    for clauses in re.findall(r"^class Test\w+\((\w+)\):", text, re.MULTILINE):
        named += clauses_of(clauses)
    return set(named)


def clauses_of(name):
    """The tests of a class of clauses, and of those that it extends."""
    own = [one.name for one in CLAUSES[name].body if isinstance(one, ast.AsyncFunctionDef)]
    return own + [one for base in CLAUSES[name].bases for one in clauses_of(base.id)]


def test_the_table_has_the_rows_that_were_promised():
    assert {row[0] for row in BODY} >= NEEDED


@pytest.mark.parametrize(("feature", "framework", "cell"), CELLS)
def test_a_cell_names_a_test_that_is_there_or_says_what_is_missing(feature, framework, cell):
    named = re.fullmatch(r"`(test_\w+)`", cell)
    if named is None:
        assert cell.startswith("no: "), "a cell names a test, or says no and why"
    else:
        assert named[1] in named_in(framework)


def test_every_framework_of_the_table_is_one_that_is_recognised():
    from pilothouse.sdk.bridges.detection import FRAMEWORKS

    known = {one.name: one.floor for one in FRAMEWORKS}
    for name in HEAD[1:]:
        assert f"| {name} | {known[name]} |" in PAGE
