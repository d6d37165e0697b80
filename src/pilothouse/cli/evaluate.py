"""`pilothouse eval`: what a release scores on a dataset version, how sure that is, and whether it may go on.

The exit code is the gate: 0 when every condition holds, 1 when one does not. A condition is about what is sure, so a
handful of examples opens no gate by luck.
"""

from typing import Any

import click

from pilothouse.cli.connect import DefaultGroup, connect, node_options, page_options
from pilothouse.cli.datasets import read_version
from pilothouse.cli.eval_run import Judge, agreement, read_evaluator, score_items
from pilothouse.cli.exits import Exit
from pilothouse.cli.progress import progress
from pilothouse.cli.show import show_json, show_table


@click.group(cls=DefaultGroup, short_help="Score releases, and compare them.")
def evaluate() -> None:
    """Score releases on versions of datasets, and compare them. Without a command: list the evaluations.

    \b
    Example:
      pilothouse eval run support --dataset refunds:1 --evaluator exact --at-least 0.9
      pilothouse eval compare evl_... evl_...
    """


@evaluate.command("run", short_help="Score the release that a node serves.")
@click.argument("agent")
@click.option("--dataset", required=True, metavar="VERSION", help="NAME:NUMBER, or NAME for the last version.")
@click.option("--part", type=click.Choice(("train", "test")), help="Only that part.")
@click.option("--evaluator", "evaluators", multiple=True, metavar="EVALUATOR",
              help="exact, contains, regex:PATTERN, schema:FILE, numeric:TOLERANCE or module:function. "
              "May be given many times.")  # fmt: skip
@click.option("--judge", metavar="AGENT", help="An agent that prefers one of two outputs.")
@click.option("--at-least", type=click.FloatRange(0, 1), metavar="SCORE",
              help="Leave with 1 unless each score is surely at least this (lower bound, 95 %).")  # fmt: skip
@click.option("--not-worse-than", metavar="RELEASE",
              help="Leave with 1 when a score is worse than that of this release or evaluation.")  # fmt: skip
@click.option("--at-once", type=click.IntRange(1, 64), default=8, show_default=True, metavar="N", help="Runs at once.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the bootstrap.")
@node_options
def run(
    agent: str, dataset: str, part: str | None, evaluators: tuple[str, ...], judge: str | None,
    at_least: float | None, not_worse_than: str | None, at_once: int, seed: int, url: str | None, is_json: bool,
) -> int:  # fmt: skip
    """Run AGENT on each example of a dataset version, score what comes out, and keep the result.

    \b
    Example: pilothouse eval run support --dataset refunds:1 --part test --evaluator exact --not-worse-than a1b2c3
    """
    if not evaluators and judge is None:
        raise click.UsageError("Give at least one --evaluator, or a --judge.")
    asked = [read_evaluator(one) for one in evaluators]
    names = [*evaluators, *([] if judge is None else [f"judge:{judge}"])]
    with connect(url) as client:
        found = client.read_dataset(*read_version(dataset))
        items = [one for one in found["items"] if part in (None, one["part"])]
        if not items:
            raise click.UsageError("There is no example in that part.")
        sitting = None if judge is None else Judge(client, judge)
        with progress("Scoring") as tell:
            total = len(items)
            scored, failed = score_items(client, agent, items, asked, sitting, at_once, lambda done: tell(done, total))
        kept = client.keep_evaluation(
            agent=agent, dataset=found["version"]["name"], number=found["version"]["number"], part=part,
            evaluators=names, scored=scored, failed=failed, seed=seed,
            judge_agreement=None if sitting is None else agreement(sitting, items),
        )  # fmt: skip
        compared = None
        if not_worse_than is not None:
            compared = client.compare_evaluations(kept["id"], to=_earlier(client, kept, not_worse_than))
    reasons = _reasons(kept, at_least, compared)
    if is_json:
        show_json(kept | {"compared": compared, "gate": {"passed": not reasons, "reasons": reasons}})
    else:
        _show(kept)
        if compared is not None:
            _show_comparison(compared)
        for reason in reasons:
            click.echo(f"Not passed: {reason}", err=True)
    return Exit.FAILED if reasons else Exit.DONE


def _earlier(client: Any, kept: dict[str, Any], named: str) -> str:
    """The evaluation that is named, or the last one of the release that is, on the same examples."""
    if named.startswith("evl_"):
        return named
    cursor: str | None = None
    last: str | None = None
    while True:
        page = client.list_evaluations(agent=kept["agent"], limit=200, cursor=cursor)
        for one in page["items"]:
            if one["release"] == named and one["dataset"] == kept["dataset"] and one["id"] != kept["id"]:
                last = one["id"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    if last is None:
        raise click.UsageError(f"There is no evaluation of the release {named} on {kept['dataset']}.")
    return last


def _reasons(kept: dict[str, Any], at_least: float | None, compared: dict[str, Any] | None) -> list[str]:
    """Why the gate stays shut."""
    found = []
    if at_least is not None:
        for one in kept["scores"]:
            low = one["score"]["interval"]["low"]
            if low < at_least:
                found.append(f"{one['evaluator']} may be {low:.3f}, which is under {at_least:g}")
    if compared is not None:
        if not compared["evaluators"]:
            found.append("there is nothing to compare: no example and evaluator is in both")
        found += [f"{one['evaluator']} is worse than before" for one in compared["evaluators"] if one["is_worse"]]
    return found


def _show(kept: dict[str, Any]) -> None:
    click.echo(f"{kept['id']}: {kept['agent']} (release {kept['release']}) on {kept['dataset']}:{kept['number']}, "
               f"{kept['examples']} examples, {kept['failed']} failed")  # fmt: skip
    rows = []
    for one in kept["scores"]:
        score = one["score"]
        interval = f"{score['interval']['low']:.3f} to {score['interval']['high']:.3f}"
        rows.append((one["evaluator"], f"{score['mean']:.3f}", interval, str(score["count"])))
    show_table(("EVALUATOR", "SCORE", "95 %", "EXAMPLES"), rows)
    if kept["judge_agreement"] is not None:
        click.echo(f"The judge agrees with {kept['judge_agreement']:.0%} of the corrections of people.")
    if kept["withdrawn"]:
        click.echo(f"{kept['withdrawn']} examples were withdrawn and are not in it.", err=True)
    if kept["left_out"]:
        click.echo(f"{kept['left_out']} examples were not scored.", err=True)


def _show_comparison(compared: dict[str, Any]) -> None:
    rows = []
    for one in compared["evaluators"]:
        found = one["difference"]
        interval = f"{found['interval']['low']:+.3f} to {found['interval']['high']:+.3f}"
        p = "-" if found["p"] is None else f"{found['p']:.3f}"
        word = "worse" if one["is_worse"] else "better" if found["interval"]["low"] > 0 else "not told apart"
        rows.append(
            (one["evaluator"], f"{found['mean']:+.3f}", interval, p, f"{found['better']}/{found['worse']}", word)
        )
    show_table(("EVALUATOR", "DIFFERENCE", "95 %", "P", "BETTER/WORSE", ""), rows)


@evaluate.command("list", short_help="The evaluations there were.")
@click.option("--agent", metavar="AGENT", help="Only of this agent.")
@page_options
@node_options
def list_evaluations(agent: str | None, limit: int, cursor: str | None, url: str | None, is_json: bool) -> int:
    """The evaluations there were, the newest first.

    \b
    Example: pilothouse eval list --agent support
    """
    with connect(url) as client:
        page = client.list_evaluations(agent=agent, limit=limit, cursor=cursor)
    if is_json:
        show_json(page)
        return Exit.DONE
    rows = [
        (one["id"], one["agent"], one["release"], f"{one['dataset']}:{one['number']}",
         " ".join(f"{score['evaluator']}={score['score']['mean']:.3f}" for score in one["scores"]))
        for one in page["items"]
    ]  # fmt: skip
    show_table(("EVALUATION", "AGENT", "RELEASE", "DATASET", "SCORES"), rows, flexible="SCORES")
    if page["next_cursor"]:
        click.echo(f"More:  --cursor {page['next_cursor']}", err=True)
    return Exit.DONE


@evaluate.command("show", short_help="One evaluation.")
@click.argument("evaluation")
@node_options
def show_evaluation(evaluation: str, url: str | None, is_json: bool) -> int:
    """One evaluation, with its scores.

    \b
    Example: pilothouse eval show evl_...
    """
    with connect(url) as client:
        kept = client.get_evaluation(evaluation)
    if is_json:
        show_json(kept)
    else:
        _show(kept)
    return Exit.DONE


@evaluate.command("compare", short_help="Whether one is better than another.")
@click.argument("first")
@click.argument("second")
@node_options
def compare(first: str, second: str, url: str | None, is_json: bool) -> int:
    """Compare the evaluation SECOND with the earlier FIRST, on the examples that both have. Leaves with 1 when it is
    worse, not by chance.

    \b
    Example: pilothouse eval compare evl_... evl_...
    """
    with connect(url) as client:
        compared = client.compare_evaluations(second, to=first)
    if is_json:
        show_json(compared)
    else:
        _show_comparison(compared)
    return Exit.FAILED if any(one["is_worse"] for one in compared["evaluators"]) else Exit.DONE
