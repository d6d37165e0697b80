"""`pilothouse hold`: the switch that stops agents, tools or runs, and who may let them go on.

A hold says at once what it did; whether everything has stopped is told by its status.
"""

from typing import get_args

import click

from pilothouse.cli.connect import DefaultGroup, connect, node_options, page_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import on_one_line, show_json, show_table, since
from pilothouse.client.shape import Hold
from pilothouse.domain.hold import HoldEffect, HoldStatus


@click.group(cls=DefaultGroup, short_help="Stop agents, tools or runs, and let them go on.")
def hold() -> None:
    """Stop agents, tools or runs, and let them go on. Without a command: list the holds.

    \b
    Example:
      pilothouse hold place --agent support --effect stop --reason "wrong refunds"
      pilothouse hold lift hold_...
    """


@hold.command("place", short_help="Stop something, at once.")
@click.option(
    "--effect",
    type=click.Choice(get_args(HoldEffect)),
    default="pause",
    show_default=True,
    help="pause keeps runs in the queue, stop ends them, quarantine takes no new ones in.",
)
@click.option("--agent", metavar="AGENT", help="Only this agent.")
@click.option("--release", metavar="RELEASE", help="Only this release.")
@click.option("--tool", metavar="TOOL", help="Only calls of this tool.")
@click.option("--run", metavar="RUN", help="Only this run.")
@click.option("--session", metavar="KEY", help="Only this session.")
@click.option("--region", metavar="REGION", help="Only this region: refused as long as nodes are in none.")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for whoever has to lift it.")
@click.option(
    "--incident/--no-incident", default=None, help="Open an incident with it, or none; else as its agent says."
)
@node_options
def place(
    effect: str, reason: str, incident: bool | None, url: str | None, is_json: bool, **selector: str | None
) -> int:
    """Stop what is named; what is named together has to match together. Nothing named: everything of the tenant.

    \b
    Example: pilothouse hold place --tool refund --reason "checking the books"
    """
    with connect(url) as client:
        placed = client.place_hold(
            reason, effect=effect, incident=incident, **{name: one for name, one in selector.items() if one}
        )
    if is_json:
        show_json(placed)
        return Exit.DONE
    click.echo(_told(placed))
    if placed.takes_two:
        click.echo("Lifting it takes two people.", err=True)
    return Exit.DONE


def _told(one: Hold) -> str:
    if one.status == "effective":
        return f"{one.id} is effective (after {one.effective_after_seconds or 0:.1f} s): nothing of it runs any more."
    if one.status == "lifted":
        return f"{one.id} is lifted."
    asked = f" {', '.join(one.lifts)} has asked to lift it; it takes one more person." if one.lifts else ""
    return f"{one.id} is {one.status}.{asked}"


@hold.command("list", short_help="The holds there are.")
@click.option("--status", type=click.Choice(get_args(HoldStatus)), help="Only those.")
@page_options
@node_options
def list_holds(status: str | None, limit: int, cursor: str | None, url: str | None, is_json: bool) -> int:
    """The holds there are, the newest first.

    \b
    Example: pilothouse hold list --status effective
    """
    with connect(url) as client:
        page = client.list_holds(status=status, limit=limit, cursor=cursor)
    if is_json:
        show_json(page)
        return Exit.DONE
    rows = [
        (one.id, one.status, one.effect, since(one.placed_at), one.placed_by,
         " ".join(f"{name}={value}" for name, value in one.selector.items() if value) or "everything",
         on_one_line(one.reason))
        for one in page.items
    ]  # fmt: skip
    show_table(("HOLD", "STATUS", "EFFECT", "AGE", "BY", "OVER", "REASON"), rows, flexible="REASON")
    if page.next_cursor:
        click.echo(f"More:  --cursor {page.next_cursor}", err=True)
    return Exit.DONE


@hold.command("lift", short_help="Let it go on.")
@click.argument("hold")
@node_options
def lift(hold: str, url: str | None, is_json: bool) -> int:
    """Lift HOLD. Over a whole tenant or region it takes two people: the first is noted.

    \b
    Example: pilothouse hold lift hold_...
    """
    with connect(url) as client:
        found = client.lift_hold(hold)
    if is_json:
        show_json(found)
    else:
        click.echo(_told(found))
    return Exit.DONE
