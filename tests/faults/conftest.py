"""A receiver, projects, and nodes that are gone when the test is over."""

import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.receiver import Receiver
from tests.faults.served import ServedNode, write_project

Serve = Callable[..., ServedNode]
LOG_SHOWN = 8000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def serve(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Serve]:
    """Makes nodes on a project of `workload`; they are not started yet. Their temporary files are in a folder of their
    own, since a node that is killed leaves some behind; its name is short, for the limit on the names of sockets."""
    nodes: list[ServedNode] = []
    with tempfile.TemporaryDirectory(prefix="ph-") as scratch:

        def make(settings: str = "", project: str = "project", altered: Any = None, **more: Any) -> ServedNode:
            folder = write_project(tmp_path / project, settings, **more.pop("agents", {}))
            environment = {"RECEIVER_URL": receiver.url, "TMPDIR": scratch, **more.pop("environment", {})}
            nodes.append(ServedNode(folder, environment, altered, **more))
            return nodes[-1]

        yield make
        for node in nodes:
            log = node.read_log()[-LOG_SHOWN:]
            sys.stdout.write(f"--- log of {node.project.name}\n{log}\n")  # pytest shows it on failure
            await node.end()
