"""`pilothouse sessions`: what an agent remembers for one key, and what can be done with that memory.

There is no list: the keys belong to the callers, and a session is made by its first turn.
"""

from typing import Any

import click

from pilothouse.cli.connect import JsonParam, connect, node_options, page_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import on_one_line, printable, readable, show_fields, show_json, show_table


@click.group(short_help="Look at what sessions remember, fork or delete them.")
def sessions() -> None:
    """Look at what sessions remember, fork or delete them. A session is made by its first turn.

    \b
    Example:
      pilothouse sessions history desk ann
      pilothouse sessions state desk ann
    """


@sessions.command("show", short_help="One session.")
@click.argument("agent")
@click.argument("key")
@node_options
def show_session(agent: str, key: str, url: str | None, is_json: bool) -> int:
    """One session: its turns, its state.

    \b
    Example: pilothouse sessions show desk ann
    """
    with connect(url) as client:
        found = client.get_session(agent, key)
    if is_json:
        show_json(found)
    else:
        show_fields(
            [
                ("session", printable(found.key)),
                ("agent", found.agent),
                ("turns", str(found.turns)),
                ("version", str(found.version)),
                ("created", found.created_at),
                ("updated", found.updated_at),
                ("expires", found.expires_at),
            ]
        )
        click.echo(f"\nstate\n{readable(found.state)}")
    return Exit.DONE


@sessions.command("history", short_help="The past turns of a session.")
@click.argument("agent")
@click.argument("key")
@page_options
@node_options
def history(agent: str, key: str, url: str | None, is_json: bool, limit: int, cursor: str | None) -> int:
    """The past turns of a session, the newest last.

    \b
    Example: pilothouse sessions history desk ann --limit 5
    """
    with connect(url) as client:
        page = client.list_history(agent, key, limit=limit, cursor=cursor)
    if is_json:
        show_json(page)
        return Exit.DONE
    rows = [(str(turn.number), turn.run, on_one_line(turn.input), on_one_line(turn.output)) for turn in page.items]
    show_table(("TURN", "RUN", "INPUT", "OUTPUT"), rows, flexible="OUTPUT")
    if page.next_cursor:
        click.echo(f"Earlier:  --cursor {page.next_cursor}", err=True)
    return Exit.DONE


@sessions.command("state", short_help="The state of a session; --set changes it.")
@click.argument("agent")
@click.argument("key")
@click.option("--set", "patch", type=JsonParam(dict), help="A JSON object to merge into the state; null removes a key.")
@click.option("--if-version", type=click.IntRange(0), metavar="N", help="Change it only when it has this version.")
@click.option("--reason", metavar="TEXT", help="With --set: why, for the audit log.")
@node_options
def state(
    agent: str, key: str, patch: dict[str, Any] | None, if_version: int | None, reason: str | None, url: str | None,
    is_json: bool,
) -> int:  # fmt: skip
    """The state of a session; with --set it is changed first (JSON merge patch).

    \b
    Example: pilothouse sessions state desk ann --set '{"language": "de", "draft": null}'
    """
    with connect(url) as client:
        if patch is not None:
            found = client.write_state(agent, key, patch, version=if_version, reason=reason)
        else:
            found = client.get_state(agent, key)
    if is_json:
        show_json(found)
    else:
        click.echo(readable(found))
    return Exit.DONE


@sessions.command("fork", short_help="A new session that begins with the turns of another.")
@click.argument("agent")
@click.argument("key")
@click.argument("new_key")
@click.option("--after", metavar="RUN", help="The last turn to take over; all turns without it.")
@node_options
def fork(agent: str, key: str, new_key: str, after: str | None, url: str | None, is_json: bool) -> int:
    """Make the session NEW_KEY, which begins with the turns of KEY.

    \b
    Example: pilothouse sessions fork desk ann ann-what-if --after run_...
    """
    with connect(url) as client:
        found = client.fork_session(agent, key, new_key, after=after)
    if is_json:
        show_json(found)
    else:
        click.echo(f"{printable(found.key)} has {found.turns} turns.")
    return Exit.DONE


@sessions.command("delete", short_help="Forget a session and its runs.")
@click.argument("agent")
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@node_options
def delete(agent: str, key: str, yes: bool, url: str | None, is_json: bool) -> int:
    """Forget a session: its turns, its state, its runs. This cannot be undone.

    \b
    Example: pilothouse sessions delete desk ann --yes
    """
    if not yes:
        click.confirm(
            f"Forget the session {printable(key)} of {printable(agent)}, with all its runs?", abort=True, err=True
        )
    with connect(url) as client:
        client.delete_session(agent, key)
    if is_json:
        show_json({"agent": agent, "key": key, "deleted": True})
    else:
        click.echo(f"The session {printable(key)} is gone.")
    return Exit.DONE
