"""`pilothouse plan`: an answer that the simulation agrees with, the same each time; refusals say what to do."""

import json

import pytest

from pilothouse.cli.program import run_program

ARGUMENTS = ["plan", "--rate", "4", "--run", "2", "--tail", "6", "--concurrency", "8", "--runs", "20000"]

pytestmark = pytest.mark.slow


def test_the_answer_is_workers_and_cost_with_the_formula_and_a_simulation_that_agrees(capsys):
    assert run_program([*ARGUMENTS, "--price", "0.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["holds"] is True
    assert found["erlangs"] == 8
    assert found["places"] >= found["places_by_formula"] > 8
    assert found["workers"] == -(-found["places"] // 8) + 1
    assert found["cost_month_usd"] == pytest.approx(found["workers"] * 0.1 * 730.5)
    assert "Erlang C" in found["formula"]
    assert run_program([*ARGUMENTS, "--price", "0.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_people_get_a_table(capsys):
    assert run_program([*ARGUMENTS, "--price", "0.1"]) == 0
    said = capsys.readouterr().out
    assert "workers of 8 places, 1 of them to spare" in said
    assert "USD a month" in said
    assert "in the simulation" in said


@pytest.mark.parametrize(
    ("more", "says"), [(["--tail", "1"], "below the mean"), (["--tail", "60"], "Plan short and long runs")]
)
def test_what_cannot_be_is_refused_with_what_to_do(more, says, capsys):
    assert run_program([*ARGUMENTS, *more]) == 2
    assert says in capsys.readouterr().err
