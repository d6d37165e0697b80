"""`pilothouse agents`: which agents a node has, and what each takes and gives.

It asks a node, never the files here: what is served counts, not what is written.
"""

import click

from pilothouse.cli.connect import DefaultGroup, connect, node_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import on_one_line, readable, show_fields, show_json, show_table


@click.group(cls=DefaultGroup, short_help="Show which agents a node has.")
def agents() -> None:
    """Show which agents a node has. Without a command: list.

    \b
    Example:
      pilothouse agents
      pilothouse agents show desk
    """


@agents.command("list", short_help="All agents of a node.")
@node_options
def list_agents(url: str | None, is_json: bool) -> int:
    """All agents of a node.

    \b
    Example: pilothouse agents list --json
    """
    with connect(url) as client:
        page = client.list_agents()
    if is_json:
        show_json(page)
    else:
        rows = [(one.name, one.mode, ", ".join(one.releases), on_one_line(one.description)) for one in page.items]
        show_table(("AGENT", "MODE", "RELEASE", "DESCRIPTION"), rows, flexible="DESCRIPTION")
    return Exit.DONE


@agents.command("show", short_help="One agent, with the schema of its input and output.")
@click.argument("agent")
@node_options
def show_agent(agent: str, url: str | None, is_json: bool) -> int:
    """One agent, with the schema of its input and output.

    \b
    Example: pilothouse agents show desk
    """
    with connect(url) as client:
        found = client.get_agent(agent)
    if is_json:
        show_json(found)
    else:
        show_fields(
            [
                ("agent", found.name),
                ("mode", found.mode),
                ("release", ", ".join(found.releases)),
                ("keep", f"{found.keep:g}" if isinstance(found.keep, float) else found.keep),
                ("concurrency", str(found.concurrency or "no limit of its own")),
                ("timeout", f"{found.timeout:g}s" if found.timeout else None),
                ("description", on_one_line(found.description)),
            ]
        )
        click.echo(f"\ninput\n{readable(found.input_schema)}\n\noutput\n{readable(found.output_schema)}")
    return Exit.DONE
