"""`pilothouse override`: to supersede what came out of a run or was decided, with a reason that stays.

Nothing is edited: the original stays beside what is in force, and all overrides of it can be listed.
"""

from typing import Any

import click

from pilothouse.cli.connect import JsonParam, connect, node_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import on_one_line, printable, readable, show_json, show_table, since
from pilothouse.client.shape import Override, Review, Run
from pilothouse.domain.review import VERDICTS

reason_option = click.option("--reason", required=True, metavar="TEXT",
                             help="Why. It stays in the audit log for good: name no person in it.")  # fmt: skip
compensate_option = click.option("--compensate", metavar="AGENT",
                                 help="Start a run of this agent, which is given what it corrects.")  # fmt: skip
superseded_option = click.option("--superseded", type=click.IntRange(0), metavar="N",
                                 help="How many overrides you have seen; if there are others, stop.")  # fmt: skip


@click.group(short_help="Supersede what came out or was decided.")
def override() -> None:
    """Supersede what came out of a run that has ended, or the answer of a review. The original stays beside it.

    \b
    Example:
      pilothouse override run run_... --output '{"granted": true}' --reason "income was misread"
      pilothouse override review rev_... reject --reason "wrong account" --compensate undo-refund
      pilothouse override list run_...
    """


@override.command("run", short_help="Put another outcome of a run in force.")
@click.argument("run")
@click.option("--output", type=JsonParam(), help="The outcome, as JSON; without it the outcome stays.")
@reason_option
@compensate_option
@superseded_option
@node_options
def override_run(
    run: str, output: Any, reason: str, compensate: str | None, superseded: int | None, url: str | None, is_json: bool
) -> int:  # fmt: skip
    """Put another outcome of RUN in force, start a run that corrects what it did, or both.

    \b
    Example: pilothouse override run run_... --output '{"granted": true}' --reason "income was misread"
    """
    if output is None and compensate is None:
        raise click.UsageError("Give --output, --compensate or both.")
    more = {"output": output, "compensate": compensate, "superseded": superseded}
    with connect(url) as client:
        found = client.override_run(run, reason, **{name: one for name, one in more.items() if one is not None})
    return _show(found, is_json)


@override.command("review", short_help="Put another answer of a review in force.")
@click.argument("review")
@click.argument("verdict", type=click.Choice(VERDICTS))
@click.option("--edited", type=JsonParam(), help="With edit: the JSON that should have been gone on with.")
@click.option("--response", metavar="TEXT", help="With respond: what the agent should have been told.")
@reason_option
@compensate_option
@superseded_option
@node_options
def override_review(
    review: str, verdict: str, edited: Any, response: str | None, reason: str, compensate: str | None,
    superseded: int | None, url: str | None, is_json: bool,
) -> int:  # fmt: skip
    """Put VERDICT in force as the answer of REVIEW, whose run has ended. What was done because of the old answer is
    not undone by that: a run of --compensate may do it.

    \b
    Example: pilothouse override review rev_... reject --reason "wrong account" --compensate undo-refund
    """
    more = {"edited": edited, "response": response, "compensate": compensate, "superseded": superseded}
    with connect(url) as client:
        given = {name: one for name, one in more.items() if one is not None}
        found = client.override_review(review, verdict, reason, **given)
    return _show(found, is_json)


def _show(found: Run | Review, is_json: bool) -> int:
    if is_json:
        show_json(found)
        return Exit.DONE
    click.echo(f"{found.id} is overridden ({told_override(found.override)}).")
    if found.override is not None and found.override.compensation is not None:
        click.echo(f"Next:  pilothouse runs watch {found.override.compensation}", err=True)
    return Exit.DONE


def told_override(one: Override | None) -> str | None:
    """On one line: which, by whom, why."""
    if one is None:
        return None
    corrects = f", corrected by {one.compensation}" if one.compensation else ""
    return f"{one.number}. by {printable(one.by)}, {since(one.at)} ago: {on_one_line(one.reason)}{corrects}"


@override.command("list", short_help="All overrides of a run or a review.")
@click.argument("id")
@node_options
def list_overrides(id: str, url: str | None, is_json: bool) -> int:
    """All overrides of a run or a review, the oldest first.

    \b
    Example: pilothouse override list run_...
    """
    with connect(url) as client:
        page = client.list_overrides(id)
    if is_json:
        show_json(page)
        return Exit.DONE
    rows = [
        (str(one.number), since(one.at), one.by, " ".join(one.changed) or "-", one.compensation or "",
         on_one_line(one.reason))
        for one in page.items
    ]  # fmt: skip
    show_table(("NUMBER", "AGE", "BY", "CHANGED", "COMPENSATION", "REASON"), rows, flexible="REASON")
    if page.items:
        click.echo(f"\noriginal\n{readable(page.items[0].original)}")
    return Exit.DONE
