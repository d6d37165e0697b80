"""Scoring a release on a dataset version: the runs, the evaluators, and the judge.

Runs are started as any caller starts them, so that what is scored is what callers get: policies, budgets and the border
hold for them too. A run that fails scores 0. The judge is an agent of the node, so its model calls pass the border; it
is asked twice with the places exchanged, and what follows the place counts for neither. A custom evaluator is a
function of the project, loaded here and nowhere else.
"""

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from pilothouse.client import Client
from pilothouse.domain.evaluation import Evaluator, contains, exact, json_schema, numeric, pattern, preferred
from pilothouse.domain.run import TERMINAL

RUN_WITHIN = 86_400.0


def read_evaluator(text: str) -> Evaluator:
    """`exact`, `contains`, `regex:PATTERN`, `schema:FILE`, `numeric:TOLERANCE` or `module:function`."""
    name, _, rest = text.partition(":")
    try:
        match name:
            case "exact" if not rest:
                return exact
            case "contains" if not rest:
                return contains
            case "regex":
                return pattern(rest)
            case "numeric":
                return numeric(float(rest or "1e-6"))
            case "schema":
                return json_schema(json.loads(Path(rest).read_text(encoding="utf-8")))
        return _custom(name, rest)
    except (ValueError, OSError) as error:
        raise click.BadParameter(f"{text!r} cannot be used: {error}", param_hint="--evaluator") from None


def _custom(module: str, function: str) -> Evaluator:
    if not function:
        raise ValueError("name one of exact, contains, regex:, schema:, numeric: or a module:function")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(str(error)) from None

    def scored(output: Any, expected: Any) -> float:
        score = float(found(output, expected))
        if not 0.0 <= score <= 1.0:
            raise click.ClickException(f"{module}:{function} gave {score}; a score is from 0 to 1.")
        return score

    return scored


class Judge:
    """An agent that is given `{"input", "a", "b"}` and answers `"a"`, `"b"` or `"tie"`, or `{"winner": ...}`."""

    def __init__(self, client: Client, agent: str) -> None:
        self._client, self._agent = client, agent

    def prefers(self, given: Any, first: Any, second: Any) -> float:
        """1.0 when it prefers `first` whatever the place, 0.0 when `second`, 0.5 when it cannot be said."""
        return preferred(self._ask(given, first, second), self._ask(given, second, first))

    def _ask(self, given: Any, a: Any, b: Any) -> str:
        run = self._client.start_run(self._agent, {"input": given, "a": a, "b": b}, wait="later")
        ended = self._client.wait_run(run.id, within=RUN_WITHIN)
        said = ended.output.get("winner") if isinstance(ended.output, dict) else ended.output
        if ended.status != "succeeded":
            why = (ended.error or {}).get("message", "")
            raise click.ClickException(f"The judge {self._agent} ended {ended.status} in {ended.id}: {why}")
        if said not in ("a", "b", "tie"):
            raise click.ClickException(f'The judge {self._agent} did not answer "a", "b" or "tie" in {run.id}.')
        return str(said)


def agreement(judge: Judge, items: Sequence[dict[str, Any]]) -> float | None:
    """Of the examples that people corrected, the share where the judge prefers the correction."""
    corrected = [
        one["example"]
        for one in items
        if "expected" in one["example"] and "output" in one["example"]
        and one["example"]["expected"] != one["example"]["output"]
    ]  # fmt: skip
    if not corrected:
        return None
    votes = [judge.prefers(one["input"], one["expected"], one["output"]) for one in corrected]
    return sum(vote == 1.0 for vote in votes) / len(votes)


def score_items(
    client: Client,
    agent: str,
    items: Sequence[dict[str, Any]],
    evaluators: Sequence[Evaluator],
    judge: Judge | None,
    at_once: int,
    tell: Callable[[int], None],
) -> tuple[list[dict[str, Any]], int]:
    """(what was scored, how many runs gave no output). The judge compares with what was expected, else with the output
    that the example has. `tell` is called with how many are done."""

    def score(item: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        example = item["example"]
        metadata = {"evaluates": example["id"]}
        started = client.start_run(agent, example["input"], wait="later", metadata=metadata)
        ended = started if started.status in TERMINAL else client.wait_run(started.id, within=RUN_WITHIN)
        count = len(evaluators) + (judge is not None)
        if ended.status != "succeeded":
            return {"example": example["id"], "run": started.id, "scores": [0.0] * count}, True
        expected = example.get("expected", example.get("output"))
        scores = [evaluate(ended.output, expected) for evaluate in evaluators]
        if judge is not None:
            same = ended.output == expected
            scores.append(0.5 if same else judge.prefers(example["input"], ended.output, expected))
        return {"example": example["id"], "run": started.id, "scores": scores}, False

    found: list[dict[str, Any]] = []
    failed = 0
    with ThreadPoolExecutor(at_once) as pool:
        for scored, is_failed in pool.map(score, items):
            found.append(scored)
            failed += is_failed
            tell(len(found))
    return found, failed
