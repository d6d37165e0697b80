"""A node on a project of agents of a framework, one for each module of tests, since its hosts take long to load."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.stage import Desk, write_project

LOG_SHOWN = 8000


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, request: Any) -> Iterator[Desk]:
    """The module says `FRAMEWORK`, `AGENTS` (lines of settings by name) and `SETTINGS`."""
    module = request.module
    folder: Path = tmp_path_factory.mktemp(module.FRAMEWORK) / "project"
    write_project(folder, module.FRAMEWORK, module.AGENTS, getattr(module, "SETTINGS", ""))
    with tempfile.TemporaryDirectory(prefix="ph-") as scratch, Desk(folder, scratch) as desk:
        try:
            asyncio.run(desk.node.start())
            yield desk
        finally:
            asyncio.run(desk.node.end())


@pytest.fixture
async def desk(standing: Desk) -> AsyncIterator[Desk]:
    """The same node with a script, a caller and counts of this test."""
    seen = standing.node.log.stat().st_size
    standing.begin()
    yield standing
    await standing.caller.close()
    sys.stdout.write(f"--- log\n{standing.node.read_log(seen)[-LOG_SHOWN:]}\n")  # pytest shows it on failure
    standing.check()
