"""`pilothouse delegations`: who may vote in whose name, in which roles, and until when.

Only one's own roles are given, one deep, and whoever gave or was given one may end it; the node sees to that.
"""

import click

from pilothouse.cli.connect import DefaultGroup, SpanParam, connect, node_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import show_json, show_table


@click.group(cls=DefaultGroup, short_help="Let somebody vote in your name for a time.")
def delegations() -> None:
    """Let somebody vote in your name for a time. Without a command: list those that are not ended.

    \b
    Example:
      pilothouse delegations make bob --role legal --for 3d
      pilothouse delegations end del_...
    """


@delegations.command("list", short_help="Who may vote in whose name.")
@node_options
def list_delegations(url: str | None, is_json: bool) -> int:
    """Who may vote in whose name now, the oldest first.

    \b
    Example: pilothouse delegations list
    """
    with connect(url) as client:
        page = client.list_delegations()
    if is_json:
        show_json(page)
        return Exit.DONE
    if not page.items:
        click.echo("Nobody votes in the name of another.", err=True)
        return Exit.DONE
    rows = [(one.id, one.by, one.to, " ".join(one.roles), one.until) for one in page.items]
    show_table(("DELEGATION", "FROM", "TO", "ROLES", "UNTIL"), rows, flexible="ROLES")
    return Exit.DONE


@delegations.command("make", short_help="Let TO vote in your name.")
@click.argument("to")
@click.option(
    "--role", "roles", multiple=True, required=True, metavar="ROLE", help="One of your own roles; may be repeated."
)
@click.option(
    "--for", "seconds", type=SpanParam(), required=True, metavar="SPAN", help="For how long: 45s, 30m, 4h, 3d."
)
@node_options
def make(to: str, roles: tuple[str, ...], seconds: float, url: str | None, is_json: bool) -> int:
    """Let TO vote in your name where one of these roles is asked, for a time. TO cannot pass it on.

    \b
    Example: pilothouse delegations make bob --role legal --for 3d
    """
    with connect(url) as client:
        made = client.delegate(to, list(roles), seconds)
    if is_json:
        show_json(made)
    else:
        click.echo(f"{made.id}: {made.to} votes in the name of {made.by} until {made.until}.")
    return Exit.DONE


@delegations.command("end", short_help="End a delegation before its time.")
@click.argument("delegation")
@node_options
def end(delegation: str, url: str | None, is_json: bool) -> int:
    """End DELEGATION before its time. A second call does nothing.

    \b
    Example: pilothouse delegations end del_...
    """
    with connect(url) as client:
        client.end_delegation(delegation)
    if is_json:
        show_json({"ended": delegation})
    else:
        click.echo(f"{delegation} has ended.")
    return Exit.DONE
