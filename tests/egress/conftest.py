"""Nodes of the tests of this folder: real `serve` processes on a project that the test writes, gone when it is over."""

import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.faults.served import ServedNode

Serving = Callable[..., ServedNode]
LOG_SHOWN = 6000


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[Serving]:
    """Makes nodes; they are not started yet. `agents` is the text of agents.py, `settings` that of pilothouse.toml."""
    nodes: list[ServedNode] = []
    with tempfile.TemporaryDirectory(prefix="ph-") as scratch:

        def make(agents: str, settings: str, **environment: str) -> ServedNode:
            folder = tmp_path / f"project-{len(nodes)}"
            folder.mkdir()
            (folder / "agents.py").write_text(textwrap.dedent(agents))
            (folder / "pilothouse.toml").write_text("[server]\nport = 0\n" + textwrap.dedent(settings))
            nodes.append(ServedNode(folder, {"TMPDIR": scratch, **environment}))
            return nodes[-1]

        yield make
        for node in nodes:
            sys.stdout.write(f"--- log of {node.project.name}\n{node.read_log()[-LOG_SHOWN:]}\n")
            await node.end()
