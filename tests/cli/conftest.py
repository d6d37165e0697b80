"""One served node for each module of these tests, in a folder of its own."""

import pytest

from tests.cli.served import CommandLine, make_project, serve


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The command line, in the folder of a node that runs."""
    folder = make_project(tmp_path_factory.mktemp("served"))
    with serve(folder) as url:
        yield CommandLine(folder, url)


@pytest.fixture
def cli(tmp_path):
    """The command line in an empty folder, without a node."""
    return CommandLine(tmp_path)
