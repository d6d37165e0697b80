"""Refusals: every error has its status, and every refusal its code, sentence and next step."""

import importlib
import json
import pkgutil

import pytest

import pilothouse
from pilothouse.communication.http.problem import STATUS, encode_problem, explained, headers_of, title_of
from pilothouse.errors import Overloaded, PilothouseError, RunNotFound

OTHER_SIDE = ("pilothouse.cli", "pilothouse.client", "pilothouse.testing")
"""Where errors are raised that never cross the wire."""


def every_kind() -> set[type[PilothouseError]]:
    """All subclasses there are on the side of the node, whichever room declares them."""
    for module in pkgutil.walk_packages(pilothouse.__path__, "pilothouse."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:  # a bridge whose framework is not here: what it raises, its host says
                if (error.name or "").startswith("pilothouse"):
                    raise
    found, waiting = set(), [PilothouseError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__.startswith("pilothouse.") and not kind.__module__.startswith(OTHER_SIDE):
            found.add(kind)
            waiting.extend(kind.__subclasses__())
    return found


def test_every_error_has_a_row_in_the_table_and_no_row_is_left_over():
    assert {kind.code for kind in every_kind()} == set(STATUS)


def test_no_two_errors_share_a_code():
    kinds = [kind for kind in every_kind() if kind.code not in {getattr(base, "code", None) for base in kind.__bases__}]
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_whoever_may_come_again_is_told_when():
    late = {code for code, status in STATUS.items() if status in (429, 503)}
    for kind in explained():
        error = kind.__new__(kind)
        error.facts = {"allowed": "GET"}
        assert (b"retry-after" in dict(headers_of(error))) == (kind.code in late), kind
    assert {kind.code for kind in every_kind() if issubclass(kind, Overloaded)} <= late


def test_a_problem_has_what_the_contract_says():
    told = json.loads(encode_problem(RunNotFound(run="run_1")))
    assert told == {
        "type": "/docs#run_not_found",
        "title": "Run not found",
        "status": 404,
        "detail": "There is no run 'run_1' here.",
        "code": "run_not_found",
        "hint": RunNotFound.hint_text,
        "run": "run_1",
    }


@pytest.mark.parametrize(
    ("kind", "title"), [(RunNotFound, "Run not found"), (PilothouseError, "Internal error"), (Overloaded, "Overloaded")]
)
def test_the_title_is_the_same_for_every_case(kind, title):
    assert title_of(kind) == title
