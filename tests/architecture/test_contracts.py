"""The contracts of .importlinter hold, and would be noticed if they did not.

A contract that matches nothing passes for ever. So each kind of breach is planted in a copy of the tree (only the
Python files, in tmp_path), and the contract that is meant to find it has to say so by its name.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, SRC

LINT = Path(sys.executable).parent / "lint-imports"

BREACHES = [
    ("domain/run.py", "import pilothouse.engine.run", "Imports point inwards, and rooms do not know each other"),
    ("compute/seat.py", "import pilothouse.storage.records.lock", "rooms do not know each other"),
    ("sdk/step.py", "import pilothouse.ports.clock", "Imports point inwards"),
    ("app.py", "import pilothouse.testing.clock", "Imports point inwards"),
    ("attic/__init__.py", "", "Imports point inwards"),
    ("wire/run.py", "import pilothouse.wire.session\nimport pilothouse.wire.planted", "No cycles"),
    ("domain/lease.py", "import time", "domain and ports are pure"),
    ("ports/bus.py", "import asyncio", "domain and ports are pure"),
    ("engine/run.py", "import pilothouse.wire.run", "The engine does not know what travels"),
    ("sdk/host.py", "import httpx2", "What runs beside user code needs msgspec and nothing else"),
    ("app.py", "import apsw", "Only storage knows apsw, asyncpg and greenlet"),
    ("testing/postgres.py", "import asyncpg", "Only storage knows apsw, asyncpg and greenlet"),
    ("cli/serve.py", "import httptools", "Only communication knows starlette, httptools and websockets"),
    ("client/node.py", "import starlette.requests", "Only communication knows starlette, httptools and websockets"),
    ("engine/told.py", "import prometheus_client", "Only observability knows prometheus_client"),
    ("settings/tree.py", "import click", "Only cli knows click and rich"),
    ("testing/clock.py", "import rich.console", "Only cli knows click and rich"),
    ("communication/bus/memory.py", "import httpx2", "Only client and testing know httpx2"),
    ("compute/worker.py", "import uvloop", "Only app knows uvloop"),
    ("settings/build.py", "import watchfiles", "Only compute knows watchfiles"),
    ("cli/audit_file.py", "import cryptography.exceptions", "Only security knows cryptography"),
    ("engine/limit.py", "import redis", "know redis"),
    ("storage/hot/redis.py", "import nats", "Only communication knows the other clients of brokers"),
    ("backing.py", "import obstore", "Only storage knows obstore"),
    ("engine/policy.py", "import cedarpy", "Only security knows cedarpy"),
    ("sdk/step.py", "import langgraph.types", "Only the bridge of a framework knows it"),
    ("sdk/bridges/detection.py", "from google.adk import agents", "Only the bridge of a framework knows it"),
    ("sdk/bridges/agno.py", "import crewai", "The bridge of agno knows no other framework"),
    ("sdk/bridges/langgraph_saver.py", "import agents", "The bridge of langgraph knows no other framework"),
]


def lint(folder: Path) -> tuple[bool, list[str]]:
    """Whether all contracts hold in this tree, and the names of those that do not."""
    path = os.pathsep.join([str(folder / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [LINT, "--no-cache", "--config", ROOT / ".importlinter"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    broken = [line.removesuffix("BROKEN").strip() for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    return done.returncode == 0, broken


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    keep = shutil.ignore_patterns("__pycache__", "*.sql", "*.md", "page")
    shutil.copytree(SRC, tmp_path / "src" / "pilothouse", ignore=keep)
    return tmp_path


@pytest.mark.slow
def test_the_contracts_hold():
    assert lint(ROOT) == (True, [])


@pytest.mark.slow
@pytest.mark.parametrize(("module", "planted", "contract"), BREACHES)
def test_a_planted_breach_is_found(skeleton: Path, module: str, planted: str, contract: str):
    source = skeleton / "src" / "pilothouse"
    path = source / module
    path.parent.mkdir(exist_ok=True)
    # Behind the module's own lines: only what is imported counts, nothing of the copy is ever run.
    with path.open("a") as file:
        file.write(f"\n{planted}\n")
    if "wire.planted" in planted:
        (source / "wire" / "planted.py").write_text('"""Planted."""\n\nimport pilothouse.wire.run\n')
    holds, broken = lint(skeleton)
    assert not holds
    assert any(contract in name for name in broken), broken


@pytest.mark.slow
def test_the_copy_itself_breaks_nothing(skeleton: Path):
    assert lint(skeleton) == (True, [])


def test_every_module_of_the_bridges_is_of_one_framework_or_of_none():
    """A contract cannot say "all but these", so a new file beside the bridges has to be named."""
    text = (ROOT / ".importlinter").read_text()
    sections = dict(re.findall(r"\[importlinter:contract:(\S+)\]\n(.*?)(?=\n\[|\Z)", text, re.DOTALL))
    named = [
        module
        for name, section in sections.items()
        if name == "only-bridges" or name.startswith("bridge-")
        for module in re.findall(r"^    pilothouse\.sdk\.bridges\.(\w+)$", section, re.MULTILINE)
    ]
    files = [path.stem for path in (SRC / "sdk" / "bridges").glob("*.py") if path.stem != "__init__"]
    assert sorted(named) == sorted(files)


def test_no_contract_has_a_list_of_exceptions():
    text = (ROOT / ".importlinter").read_text()
    assert "ignore_imports" not in text
    assert "skip_descendants" not in text
