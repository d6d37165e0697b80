"""From a run to the gate on the command line: feedback, datasets, evaluations with a judge, sampling, a bias audit.

One node with agents of its own. The judge asks a scripted model over HTTP, through the border.
"""

import json

import pytest

from pilothouse.cli.exits import Exit
from pilothouse.testing import ScriptedModel
from tests.cli.served import CommandLine, serve

AGENTS = """
import os
from pathlib import Path

import httpx2

from pilothouse import Context, agent

HERE = Path(__file__).parent


@agent(mode="event")
async def upper(text: str) -> str:
    if text == "fail":
        raise ValueError(text)
    return text.upper() if text != "odd" else text


@agent(mode="event")
async def judge(ctx: Context, case: dict) -> str:
    url = (HERE / "model.txt").read_text()
    ask = {"model": "scripted", "messages": [{"role": "user", "content": f"{case['a']} or {case['b']}"}]}
    async with httpx2.AsyncClient() as client:
        answer = await client.post(url, json=ask)
    return answer.json()["choices"][0]["message"]["content"]


@agent(mode="event")
async def credit(income: int) -> dict:
    return {"granted": income > 10}


def shouts(output, expected):
    return 1.0 if output.isupper() else 0.25
"""
SETTINGS = """[egress]
mode = "open"
[server]
port = 0
grace_seconds = 0.5
[worker]
cancel_grace_seconds = 0.5
[agents.upper]
target = "desk:upper"
[agents.judge]
target = "desk:judge"
[agents.gated]
target = "desk:upper"
evaluation = {dataset = "words", at_least = 0.5, evaluators = ["exact"]}
[agents.credit]
target = "desk:credit"
[agents.credit.decision]
outcome = "granted"
groups = ["sex"]
minimum = 2
"""


def answer(request):
    """It prefers capitals; of two the first."""
    first, second = request.messages[-1]["content"].split(" or ")
    return "a" if first.isupper() else "b" if second.isupper() else "a"


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eval")
    (folder / "desk.py").write_text(AGENTS, encoding="utf-8")
    (folder / "pilothouse.toml").write_text(SETTINGS, encoding="utf-8")
    with ScriptedModel(answer) as model:
        (folder / "model.txt").write_text(f"{model.base_url}/chat/completions", encoding="utf-8")
        with serve(folder) as url:
            yield CommandLine(folder, url)


def run(cli, agent, given):
    return cli.json("run", agent, given)["id"]


@pytest.fixture(scope="module")
def dataset(cli):
    """Eight examples: seven are as they should be, and one was corrected."""
    for text in ("a", "b", "c", "d", "e", "f", "g"):
        assert cli("feedback", run(cli, "upper", text), "--up").exit_code == Exit.DONE
    assert cli("feedback", run(cli, "upper", "odd"), "--expected", '"ODD"').exit_code == Exit.DONE
    assert cli.json("datasets", "make", "words", "upper")["examples"] == 8
    return "words:1"


def evaluate(cli, *flags):
    result = cli("eval", "run", "upper", "--at-once", "4", "--json", *flags)
    assert result.stdout.startswith("{"), result.output
    return result.exit_code, json.loads(result.stdout)


def test_a_release_is_scored_with_bounds_and_the_exit_code_is_the_gate(cli, dataset):
    code, found = evaluate(cli, "--dataset", dataset, "--evaluator", "exact", "--at-least", "0.5")
    (score,) = found["scores"]
    assert (code, score["evaluator"], score["score"]["mean"]) == (Exit.DONE, "exact", 0.875)
    assert score["score"]["interval"]["low"] > 0.5
    code, found = evaluate(cli, "--dataset", "words", "--evaluator", "exact", "--at-least", "0.9")
    assert (code, found["gate"]["passed"]) == (Exit.FAILED, False)
    assert found["id"] in cli("eval").stdout
    assert "0.875" in cli("eval", "show", found["id"]).stdout


def test_whoever_sits_at_a_terminal_sees_how_far_the_scoring_is_and_a_pipe_gets_nothing_of_it(cli, dataset):
    command = ("eval", "run", "upper", "--dataset", dataset, "--evaluator", "exact")
    code, said = cli.at_terminal(*command)
    assert (code, "Scoring" in said, "\x1b[" in said) == (Exit.DONE, True, True)
    piped = cli(*command)
    assert (piped.exit_code, "Scoring" in piped.output) == (Exit.DONE, False)


def test_a_release_that_must_be_evaluated_is_refused_until_the_command_of_the_hint_has_passed(cli, dataset):
    refused = cli("run", "gated", "x")
    assert refused.exit_code == Exit.CONFLICT
    assert "not evaluated on words" in refused.stderr
    command = refused.stderr.split("`pilothouse ")[1].split("`")[0].split()
    assert cli(*command).exit_code == Exit.DONE
    assert cli.json("run", "gated", "x")["output"] == "X"


def test_all_evaluators_score_beside_each_other_and_a_function_of_the_project_too(cli, dataset):
    (cli.folder / "schema.json").write_text('{"type": "string", "maxLength": 1}', encoding="utf-8")
    asked = ("exact", "contains", "regex:^[A-Z]+$", "schema:schema.json", "numeric:0.1", "desk:shouts")
    flags = [flag for one in asked for flag in ("--evaluator", one)]
    _, found = evaluate(cli, "--dataset", dataset, *flags)
    means = {one["evaluator"]: one["score"]["mean"] for one in found["scores"]}
    assert means == {
        "exact": 0.875, "contains": 0.875, "regex:^[A-Z]+$": 0.875, "schema:schema.json": 0.875, "numeric:0.1": 0.0,
        "desk:shouts": (7 + 0.25) / 8,
    }  # fmt: skip
    for wrong in ("regex:(", "schema:nowhere.json", "nowhere:x", "desk:nothing", "guess"):
        refused = cli("eval", "run", "upper", "--dataset", dataset, "--evaluator", wrong)
        assert refused.exit_code == Exit.USAGE, wrong


def test_a_judge_is_asked_through_the_border_with_the_places_exchanged_and_agrees_with_people(cli, dataset):
    _, found = evaluate(cli, "--dataset", dataset, "--judge", "judge")
    (score,) = found["scores"]
    assert score["evaluator"] == "judge:judge"
    assert score["score"]["mean"] == (7 * 0.5 + 0.0) / 8  # the same is a tie; "odd" loses to "ODD" in both places
    assert found["judge_agreement"] == 1.0
    asked = cli.json("runs", "list", "--agent", "judge")["items"]
    assert asked[0]["usage"]["model_calls"] == 1


def test_a_release_is_compared_with_an_earlier_one(cli, dataset):
    _, first = evaluate(cli, "--dataset", dataset, "--evaluator", "exact")
    code, second = evaluate(cli, "--dataset", dataset, "--evaluator", "exact", "--not-worse-than", first["release"])
    assert code == Exit.DONE
    assert second["compared"]["evaluators"][0]["difference"]["p"] == 1.0
    assert "not told apart" in cli("eval", "compare", first["id"], second["id"]).stdout
    unknown = cli("eval", "run", "upper", "--dataset", dataset, "--evaluator", "exact", "--not-worse-than", "none")
    assert unknown.exit_code == Exit.USAGE


def test_a_version_is_written_out_for_training(cli, dataset):
    done = cli("datasets", "export", dataset, "--format", "openai", "--output", "train.jsonl")
    assert done.stdout.startswith("8 lines")
    rows = [json.loads(line) for line in (cli.folder / "train.jsonl").read_text().splitlines()]
    assert {"ODD", "A"} <= {row["messages"][-1]["content"] for row in rows}
    pairs = cli.json("datasets", "export", dataset, "--format", "dpo", "--output", "pairs.jsonl")
    assert (pairs["lines"], pairs["left_out"]) == (1, 7)
    assert cli("datasets", "show", "words:9").exit_code == Exit.NOT_FOUND
    assert dataset in cli("datasets", "list").stdout


def test_an_erased_subject_is_gone_from_its_version(cli):
    cli("feedback", cli.json("run", "upper", "zebra", "--subject", "ann")["id"], "--rating", "5")
    cli("datasets", "make", "later", "upper", "--source", "rating")
    assert "zebra" in cli("datasets", "show", "later").stdout
    assert cli("datasets", "erase", "ann", "--yes").stdout == "1 examples are withdrawn.\n"
    shown = cli("datasets", "show", "later")
    assert "zebra" not in shown.stdout
    assert "1 examples were withdrawn" in shown.stderr


def test_feedback_that_says_nothing_or_two_things_is_not_sent(cli):
    assert cli("feedback", "run_x").exit_code == Exit.USAGE
    assert cli("feedback", "run_x", "--up", "--rating", "3").exit_code == Exit.USAGE
    assert cli("feedback", "run_x", "--up").exit_code == Exit.NOT_FOUND


def test_runs_are_sampled_and_known_cases_measure_who_looks(cli):
    assert cli("sampling", "show", "credit").exit_code == Exit.NOT_FOUND
    cli("sampling", "set", "credit", "--rate", "1", "--by", "metadata.region", "--minimum", "1", "--period", "1d")
    assert "in use    1" in cli("sampling", "show", "credit").stdout
    run(cli, "credit", "20")
    cli("sampling", "seed", "credit", "--input", "0", "--output", '{"granted": true}', "--wrong")
    asked = [one for one in cli.json("reviews", "list")["items"] if one["agent"] == "credit"]
    assert [one["kind"] for one in asked] == ["sample", "sample"]
    for one in asked:
        cli("reviews", "decide", one["id"], "approve")
    (figures,) = cli.json("sampling", "reviewers", "credit")["items"]
    assert (figures["agreement"], figures["automation_bias"]) == (0.0, 1.0)
    assert "100.0%" in cli("sampling", "reviewers", "credit").stdout
    assert "not sampled any more" in cli("sampling", "drop", "credit").stdout


def test_a_bias_audit_is_a_report_and_a_gate_and_its_finding_is_resolved(cli):
    for sex, income in (("male", "20"), ("male", "20"), ("female", "5"), ("female", "20")):
        done = cli("bias", "groups", run(cli, "credit", income), f"sex={sex}")
        assert "sex." in done.stdout
    report = cli("bias", "audit", "credit")
    assert report.exit_code == Exit.FAILED
    assert "| **female** | 2 | 1 | 0.500 |" in report.stdout
    written = cli("bias", "audit", "credit", "--format", "html", "--output", "audit.html")
    assert written.exit_code == Exit.FAILED
    assert '<tr class="flag"><td>female</td>' in (cli.folder / "audit.html").read_text()
    assert [one.name for one in cli.folder.glob(".audit*")] == []
    (audit, _) = cli.json("bias", "list", "--agent", "credit")["items"]
    assert "female" in cli("bias", "show", audit["id"]).stdout
    (finding,) = cli.json("bias", "findings", "--state", "open")["items"]
    assert finding["id"] in cli("bias", "findings").stdout
    done = cli("bias", "resolve", finding["id"], "accepted", "--reason", "four people")
    assert done.stdout == f"{finding['id']} is accepted.\n"
    assert cli("bias", "audit", "upper").exit_code == Exit.CONFLICT
    assert cli("bias", "groups", "run_x").exit_code == Exit.USAGE
