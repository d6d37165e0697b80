"""`pilothouse deliveries`: what is to reach somebody outside, what did not, and once more.

The body of a delivery is not shown: its run has all that it says.
"""

import click

from pilothouse.cli.connect import DefaultGroup, connect, node_options, page_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import on_one_line, show_fields, show_json, show_table, since, style_status

STATUSES = ("pending", "delivered", "dead")


@click.group(cls=DefaultGroup, short_help="Look at what goes out, and send it once more.")
def deliveries() -> None:
    """Look at what goes out, and send it once more. Without a command: list the newest.

    \b
    Example:
      pilothouse deliveries --status dead
      pilothouse deliveries retry dlv_...
    """


@deliveries.command("list", short_help="The newest deliveries.")
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--run", metavar="RUN", help="Only deliveries of this run.")
@click.option("--receiver", metavar="NAME", help="Only deliveries to this receiver.")
@page_options
@node_options
def list_deliveries(
    status: str | None, run: str | None, receiver: str | None, limit: int, cursor: str | None, url: str | None,
    is_json: bool,
) -> int:  # fmt: skip
    """The newest deliveries, with the reason why one has not been taken.

    \b
    Example: pilothouse deliveries list --status dead --receiver shop
    """
    with connect(url) as client:
        page = client.list_deliveries(status=status, run=run, receiver=receiver, limit=limit, cursor=cursor)
    if is_json:
        show_json(page)
        return Exit.DONE
    if not page.items:
        click.echo("There are no deliveries like that.", err=True)
        return Exit.DONE
    rows = [
        (
            one.id,
            one.status,
            one.type,
            one.receiver,
            str(one.attempt),
            since(one.created_at),
            on_one_line(one.reason or ""),
        )
        for one in page.items
    ]
    show_table(("DELIVERY", "STATUS", "EVENT", "RECEIVER", "TRIES", "AGE", "REASON"), rows, flexible="REASON")
    if page.next_cursor:
        click.echo(f"More:  --cursor {page.next_cursor}", err=True)
    return Exit.DONE


@deliveries.command("retry", short_help="Send one once more, also one that is dead.")
@click.argument("delivery")
@node_options
def retry(delivery: str, url: str | None, is_json: bool) -> int:
    """Send one once more, under the same id: one that is dead, one that waits, and one that was delivered.

    A receiver that had answered 410 is asked again.

    \b
    Example: pilothouse deliveries retry dlv_...
    """
    with connect(url) as client:
        found = client.retry_delivery(delivery)
    if is_json:
        show_json(found)
        return Exit.DONE
    show_fields([("delivery", found.id), ("status", style_status(found.status)), ("receiver", found.receiver)])
    return Exit.DONE
