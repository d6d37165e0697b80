"""Fixtures for pytest: `pytest_plugins = ["pilothouse.testing.fixtures"]` in a `conftest.py`.

- `local_node`: makes nodes for plain tests, `node = local_node({"support": support})`, and ends them after the test.
  In an async test use `async with LocalNode(...)`.
- `scripted_model`: a model server on loopback whose answers the test says.
- `manual_clock`: a clock that stands still until it is moved; nodes made by `local_node` go by it.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pilothouse.testing.clock import ManualClock
from pilothouse.testing.local_blocking import BlockingNode
from pilothouse.testing.local_node import LocalNode
from pilothouse.testing.model import ScriptedModel


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def local_node(tmp_path: Path, manual_clock: ManualClock) -> Iterator[Callable[..., BlockingNode]]:
    nodes: list[BlockingNode] = []

    def make(agents: Mapping[str, Any], **more: Any) -> BlockingNode:
        folder = tmp_path / f"node-{len(nodes)}"
        folder.mkdir()
        node = BlockingNode(LocalNode(agents, clock=more.pop("clock", manual_clock), folder=folder, **more))
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def scripted_model() -> Iterator[ScriptedModel]:
    with ScriptedModel() as model:
        yield model
