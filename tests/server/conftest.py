"""One node for the tests of this folder; each test brings its own sessions, ids and keys."""

from collections.abc import Iterator

import pytest

from tests.server.node import Served, serve_node


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve_node(tmp_path_factory.mktemp("node")) as served:
        yield served
