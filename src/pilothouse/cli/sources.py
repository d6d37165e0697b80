"""`pilothouse sources`: what brings messages, what could not become a run, and once more.

A dead letter is replayed when what stood in its way is mended: the agent, or the mapping of its source.
"""

import click

from pilothouse.cli.connect import DefaultGroup, connect, node_options, page_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import on_one_line, show_json, show_table, since


@click.group(cls=DefaultGroup, short_help="Look at what brings messages, replay dead letters.")
def sources() -> None:
    """Look at what brings messages, replay dead letters. Without a command: list.

    \b
    Example:
      pilothouse sources
      pilothouse sources dead orders
      pilothouse sources replay orders
    """


@sources.command("list", short_help="All sources, and what they brought.")
@node_options
def list_sources(url: str | None, is_json: bool) -> int:
    """All sources, and what they brought since the node started.

    \b
    Example: pilothouse sources list
    """
    with connect(url) as client:
        page = client.list_sources()
    if is_json:
        show_json(page)
        return Exit.DONE
    if not page.items:
        click.echo("There are no sources.", err=True)
        return Exit.DONE
    rows = [
        (one.name, one.kind, one.agent, str(one.taken), str(one.repeated), str(one.dead), one.problem or "")
        for one in page.items
    ]
    show_table(("SOURCE", "KIND", "AGENT", "TAKEN", "REPEATED", "DEAD", "PROBLEM"), rows, flexible="PROBLEM")
    return Exit.DONE


@sources.command("dead", short_help="What could not become a run, and why.")
@click.argument("source")
@page_options
@node_options
def list_dead(source: str, limit: int, cursor: str | None, url: str | None, is_json: bool) -> int:
    """The messages of SOURCE that could not become a run, the oldest first, with the reason.

    \b
    Example: pilothouse sources dead orders
    """
    with connect(url) as client:
        page = client.list_dead(source, cursor=cursor, limit=limit)
    if is_json:
        show_json(page)
        return Exit.DONE
    if not page.items:
        click.echo("There are no dead letters.", err=True)
        return Exit.DONE
    rows = [(one.id, since(one.at), one.key, on_one_line(one.reason)) for one in page.items]
    show_table(("LETTER", "AGE", "KEY", "REASON"), rows, flexible="REASON")
    if page.next_cursor:
        click.echo(f"More:  --cursor {page.next_cursor}", err=True)
    return Exit.DONE


@sources.command("replay", short_help="Take dead letters in as if they came now.")
@click.argument("source")
@click.argument("letters", nargs=-1, metavar="[LETTER]...")
@node_options
def replay(source: str, letters: tuple[str, ...], url: str | None, is_json: bool) -> int:
    """Take dead letters of SOURCE in as if they came now: the LETTERs, or up to a hundred. Leaves with 1 when one of
    them is still dead.

    \b
    Example: pilothouse sources replay orders
    """
    with connect(url) as client:
        page = client.replay_dead(source, list(letters) or None)
    if is_json:
        show_json(page)
    elif not page.items:
        click.echo("There are no dead letters.", err=True)
    else:
        rows = [(one.outcome, one.run or "", on_one_line(one.reason or "")) for one in page.items]
        show_table(("OUTCOME", "RUN", "REASON"), rows, flexible="REASON")
    is_over = all(one.outcome in ("run", "repeat") for one in page.items)
    return Exit.DONE if is_over else Exit.FAILED
