"""Ids: readable, sortable by time, and the same for the same step of the same run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain import ids

instants = st.integers(0, 16**14 - 1)
bits = st.integers(0, 2**64 - 1)


@given(instants, instants, bits, bits)
def test_a_later_run_has_a_greater_id(one, other, a, b):
    if one < other:
        assert ids.run_id(one, a) < ids.run_id(other, b)


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_a_called_run_has_one_id_for_one_step(parent, key, other):
    assert (ids.child_run_id(parent, key) == ids.child_run_id(parent, other)) == (key == other)
    assert ids.RUN_ID.match(ids.child_run_id(parent, key))


@pytest.mark.parametrize("run", ["run_", "run_a b", "run_" + "x" * 65, "rev_1", "run_ä", "run_1\n"])
def test_what_is_no_id_is_refused(run):
    assert not ids.RUN_ID.match(run)


@pytest.mark.parametrize(
    ("key", "valid"),
    [("s", True), ("", False), ("x" * 256, True), ("x" * 257, False), ("a\nb", False), ("käse 1", True)],
)
def test_session_keys(key, valid):
    assert ids.valid_session_key(key) is valid
