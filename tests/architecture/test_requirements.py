"""What is locked is all that is asked for, by digest, and from no particular index.

`make setup` installs with `--require-hashes`, so a requirement without a hash would stop every new clone; a name of
pyproject.toml that the lock does not know would be missing only where somebody starts it.
"""

import re
import tomllib
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

LOCKS = ["standard", "dev"]
FRAMEWORKS = sorted(path.stem for path in (ROOT / "requirements" / "frameworks").glob("*.in"))


def normal(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def asked() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {normal(each) for each in [*project["dependencies"], *project["optional-dependencies"]["standard"]]}


def entries(lock: str) -> list[str]:
    """One string for each requirement, its hashes included."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_the_project_asks_for_is_locked(lock: str):
    assert asked() - {normal(entry) for entry in entries(lock)} == set()


def test_everything_the_checks_ask_for_is_locked():
    rows = (ROOT / "requirements" / "dev.in").read_text().splitlines()
    wanted = {normal(row) for row in rows if row and not row.startswith("#")}
    assert wanted - {normal(entry) for entry in entries("dev")} == set()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_everything_the_environment_of_a_framework_asks_for_is_locked(name: str):
    rows = (ROOT / "requirements" / "frameworks" / f"{name}.in").read_text().splitlines()
    wanted = {normal(row) for row in rows if row and not row.startswith("#")}
    assert wanted - {normal(entry) for entry in entries(f"frameworks/{name}")} == set()


@pytest.mark.parametrize("lock", [*LOCKS, *(f"frameworks/{name}" for name in FRAMEWORKS)])
def test_every_locked_requirement_has_one_version_and_hashes(lock: str):
    shape = re.compile(r"[a-z0-9.-]+==\S+\s+(;.*?)?(\s*--hash=sha256:[0-9a-f]{64})+\s*")
    assert [entry[:60] for entry in entries(lock) if not shape.fullmatch(entry)] == []


@pytest.mark.parametrize(
    "path", sorted(path for path in (ROOT / "requirements").rglob("*") if path.is_file()), ids=lambda path: path.name
)
def test_no_requirement_names_a_place(path: Path):
    assert [
        line for line in path.read_text().splitlines() if "://" in line or line.startswith(("-i", "--", "-f"))
    ] == []


def test_both_locks_agree():
    standard, dev = ({entry.split()[0] for entry in entries(lock)} for lock in LOCKS)
    assert standard - dev == set()
