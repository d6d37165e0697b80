"""The numbers of the exit codes never change: scripts were written against them."""

import pytest

from pilothouse.cli.exits import CODES, Exit, exit_of_error, exit_of_run


def test_the_numbers_are_promised():
    assert {code.name: int(code) for code in Exit} == {
        "DONE": 0, "FAILED": 1, "USAGE": 2, "NOT_FOUND": 3, "CONFLICT": 4, "REFUSED": 5, "UNAVAILABLE": 6,
        "OPERATOR": 7, "CANCELLED": 8, "NOT_OVER": 9, "FAULT": 70, "INTERRUPTED": 130,
    }  # fmt: skip


def test_an_error_code_stands_in_one_place():
    listed = " ".join(CODES.values()).split()
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("status", "leaves"),
    [(404, Exit.NOT_FOUND), (409, Exit.CONFLICT), (429, Exit.UNAVAILABLE), (503, Exit.UNAVAILABLE),
     (418, Exit.REFUSED), (500, Exit.FAULT), (0, Exit.FAULT)],
)  # fmt: skip
def test_an_error_of_a_newer_node_is_sorted_by_its_status(status, leaves):
    assert exit_of_error("not_heard_of", status) == leaves


@pytest.mark.parametrize(
    ("status", "leaves"),
    [("succeeded", Exit.DONE), ("failed", Exit.FAILED), ("cancelled", Exit.CANCELLED), ("running", Exit.NOT_OVER)],
)
def test_a_run_leaves_with_how_it_ended(status, leaves):
    assert exit_of_run(status) == leaves
