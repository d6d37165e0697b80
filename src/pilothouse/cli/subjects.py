"""`pilothouse subjects`: erasing what was kept of a person.

There is no list: a subject is whatever callers named as such when they started runs.
"""

import click

from pilothouse.cli.connect import connect, node_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import printable, show_json


@click.group(short_help="Erase what was kept of a person.")
def subjects() -> None:
    """Erase what was kept of a person, as callers named it in `subject` when they started runs.

    \b
    Example:
      pilothouse subjects erase customer-17 --yes
    """


@subjects.command("erase", short_help="Erase all that was kept of a subject.")
@click.argument("subject")
@click.option("--yes", is_flag=True, help="Do not ask.")
@node_options
def erase(subject: str, yes: bool, url: str | None, is_json: bool) -> int:
    """Erase SUBJECT: its runs, the sessions in which it has a turn, its examples, and the key of its digests in the
    audit log. What lives is cancelled first. Refused while a hold covers any of it. This cannot be undone; asked again
    it removes what came since.

    \b
    Example: pilothouse subjects erase customer-17 --yes
    """
    if not yes:
        click.confirm(f"Erase all that was kept of {printable(subject)}?", abort=True, err=True)
    with connect(url) as client:
        erased = client.erase_subject(subject)
    if is_json:
        show_json(erased)
    else:
        counts = f"{erased['runs']} runs, {erased['sessions']} sessions and {erased['examples']} examples"
        click.echo(f"{printable(subject)} is erased: {counts} went.")
    return Exit.DONE
