"""`pilothouse reviews`: what runs ask of people, and the answers.

Whether an answer fits its verdict is checked before anything is sent; whether it still counts is decided by the node.
"""

from typing import Any, get_args

import click

from pilothouse.cli.connect import DefaultGroup, JsonParam, connect, node_options, page_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.override import told_override
from pilothouse.cli.show import on_one_line, readable, show_fields, show_json, show_table, since, style_status
from pilothouse.client.shape import Review
from pilothouse.domain.review import VERDICTS, ReviewKind

STATUSES = ("open", "decided", "expired", "cancelled", "all")


@click.group(cls=DefaultGroup, short_help="Answer what runs ask of people.")
def reviews() -> None:
    """Answer what runs ask of people. Without a command: list those that wait.

    \b
    Example:
      pilothouse reviews
      pilothouse reviews show rev_...
      pilothouse reviews decide rev_... approve --reason "checked"
    """


@reviews.command("list", short_help="The reviews that wait for a decision.")
@click.option("--status", type=click.Choice(STATUSES), default="open", show_default=True, help="Which reviews.")
@click.option("--run", metavar="RUN", help="Only reviews of this run.")
@click.option("--kind", type=click.Choice(get_args(ReviewKind)), help="Only those.")
@click.option("--role", metavar="ROLE", help="Only those in which this role is asked now.")
@click.option("--due-within", type=float, metavar="SECONDS", help="Only those that end so soon.")
@click.option("--newest", is_flag=True, help="The newest first.")
@page_options
@node_options
def list_reviews(
    status: str, run: str | None, kind: str | None, role: str | None, due_within: float | None, newest: bool,
    limit: int, cursor: str | None, url: str | None, is_json: bool,
) -> int:  # fmt: skip
    """The reviews that wait for a decision, the oldest first.

    \b
    Example: pilothouse reviews list --status all --run run_...
    """
    with connect(url) as client:
        wanted = None if status == "all" else status
        page = client.list_reviews(
            status=wanted,
            run=run,
            kind=kind,
            role=role,
            due_within=due_within,
            newest=newest,
            limit=limit,
            cursor=cursor,
        )
    if is_json:
        show_json(page)
        return Exit.DONE
    if not page.items:
        click.echo("There are no reviews like that.", err=True)
        return Exit.DONE
    rows = [(one.id, one.status, one.agent, since(one.created_at), on_one_line(one.question)) for one in page.items]
    show_table(("REVIEW", "STATUS", "AGENT", "AGE", "QUESTION"), rows, flexible="QUESTION")
    if page.next_cursor:
        click.echo(f"More:  --cursor {page.next_cursor}", err=True)
    return Exit.DONE


@reviews.command("show", short_help="One review, with its details.")
@click.argument("review")
@node_options
def show_review(review: str, url: str | None, is_json: bool) -> int:
    """One review: the question, its details, the answer if there is one.

    \b
    Example: pilothouse reviews show rev_...
    """
    with connect(url) as client:
        found = client.get_review(review)
    if is_json:
        show_json(found)
        return Exit.DONE
    answer = found.answer or {}
    show_fields(
        [
            ("review", found.id),
            ("status", style_status(found.status)),
            ("agent", found.agent),
            ("run", found.run),
            ("step", found.step),
            ("asked", found.created_at),
            ("expires", found.expires_at),
            ("verdict", answer.get("verdict")),
            ("by", answer.get("by")),
            ("reason", on_one_line(answer.get("reason", ""))),
            ("override", told_override(found.override)),
            *_ballot_fields(found),
        ]
    )
    click.echo(f"\n{readable(found.question)}\n{readable(found.details)}")
    if found.status == "open":
        click.echo(f"\nNext:  pilothouse reviews decide {found.id} {'|'.join(VERDICTS)}", err=True)
    return Exit.DONE


def _ballot_fields(review: Review) -> list[tuple[str, str | None]]:
    """How far the decision of several people is, and whether you are one of them."""
    ballot = review.ballot
    if ballot is None:
        return []
    votes = ", ".join(
        one.by + (f" for {one.on_behalf_of}" if one.on_behalf_of else "") + ("" if one.counts else " (does not count)")
        for one in ballot.votes
    )
    fields = [
        ("asked of", " or ".join(ballot.roles) or None),
        ("votes", f"{ballot.counted} of {ballot.quorum}" + (f": {votes}" if votes else "")),
    ]
    if review.status == "open":
        fields.append(("may vote", ", ".join(ballot.open_to) or None))
        fields.append(("you", "may vote" if ballot.refusal is None else f"may not: {ballot.refusal}"))
    return fields


@reviews.command("decide", short_help="Answer a review; its run goes on.")
@click.argument("review")
@click.argument("verdict", type=click.Choice(VERDICTS))
@click.option("--edited", type=JsonParam(), help="With edit: the JSON to go on with instead.")
@click.option("--response", metavar="TEXT", help="With respond: what to tell the agent.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever reads it later.")
@click.option(
    "--break-glass", is_flag=True, help="Decide alone, with the role break-glass; it is looked at afterwards."
)
@click.option(
    "--compensate", metavar="AGENT", help="Of an appeal that is granted: the agent that corrects what was done."
)
@node_options
def decide(
    review: str, verdict: str, edited: Any, response: str | None, reason: str, break_glass: bool,
    compensate: str | None, url: str | None, is_json: bool,
) -> int:  # fmt: skip
    """Answer a review; its run goes on with the answer.

    \b
    Example:
      pilothouse reviews decide rev_... approve
      pilothouse reviews decide rev_... edit --edited '{"cents": 900}'
      pilothouse reviews decide rev_... respond --response "Ask the customer first."
    """
    answer: dict[str, Any] = {}
    if (verdict == "edit") != (edited is not None):
        raise click.UsageError("The verdict edit, and no other, takes --edited JSON.")
    if (verdict == "respond") != (response is not None):
        raise click.UsageError("The verdict respond, and no other, takes --response TEXT.")
    if edited is not None:
        answer["edited"] = edited
    if response is not None:
        answer["response"] = response
    if break_glass:
        answer["break_glass"] = True
    if compensate is not None:
        answer["compensate"] = compensate
    with connect(url) as client:
        found = client.decide_review(review, verdict, reason=reason, **answer)
    if is_json:
        show_json(found)
    else:
        still = "" if found.status != "open" else " It takes more votes."
        click.echo(f"{found.id} is answered: {verdict}.{still}")
    return Exit.DONE


@reviews.command("appeal", short_help="Say that what a run came to is not accepted.")
@click.argument("run")
@click.option("--reason", required=True, metavar="TEXT", help="Why, in the words of whoever is affected.")
@click.option("--review", metavar="REVIEW", help="The decision of people in that run that is not accepted.")
@click.option("--asks", type=JsonParam(), help="The JSON that should have come out.")
@node_options
def appeal(run: str, reason: str, review: str | None, asks: Any, url: str | None, is_json: bool) -> int:
    """Say that what a run came to, or what people decided in it, is not accepted. It becomes a review, answered by
    other people than those who decided.

    \b
    Example:
      pilothouse reviews appeal run_... --reason "the income is that of somebody else"
      pilothouse reviews decide rev_... edit --edited '{"granted": true}' --reason "was misread"
    """
    more = {name: one for name, one in (("review", review), ("asks", asks)) if one is not None}
    with connect(url) as client:
        filed = client.file_appeal(run, reason, **more)
    return _opened(filed, is_json)


@reviews.command("incident", short_help="Say that something went wrong.")
@click.argument("happened")
@click.option("--agent", metavar="AGENT", help="The agent that it is about.")
@click.option("--run", metavar="RUN", help="The run that it is about.")
@click.option("--hold", metavar="HOLD", help="The hold that was placed because of it.")
@node_options
def incident(
    happened: str, agent: str | None, run: str | None, hold: str | None, url: str | None, is_json: bool
) -> int:
    """Say that something went wrong. It becomes a review, closed by somebody else than you.

    \b
    Example: pilothouse reviews incident "refunds went out twice" --agent support
    """
    about = {name: one for name, one in (("agent", agent), ("run", run), ("hold", hold)) if one}
    with connect(url) as client:
        opened = client.open_incident(happened, **about)
    return _opened(opened, is_json)


def _opened(one: Review, is_json: bool) -> int:
    if is_json:
        show_json(one)
        return Exit.DONE
    click.echo(f"{one.id} is open.")
    if one.ballot is not None and one.ballot.roles:
        click.echo(f"Asked of {' or '.join(one.ballot.roles)}.", err=True)
    return Exit.DONE
