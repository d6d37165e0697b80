"""Whole conversations, byte for byte as a caller sees them. See transcript.py."""

import pytest

from tests.server.transcript import FOLDER, check


@pytest.mark.parametrize("name", sorted(one.stem for one in FOLDER.glob("*.txt")))
def test_a_conversation_goes_as_it_is_written_down(served, name):
    check(name, served.port)
