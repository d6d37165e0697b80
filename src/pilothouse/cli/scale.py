"""`pilothouse scale`: how much work there is, and how many workers it wants, as an autoscaler is told.

The figures are those of all nodes of the records, whichever node is asked.
"""

import click

from pilothouse.cli.connect import connect, node_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import show_json, show_table, span


@click.command(short_help="How many workers the work wants.")
@click.option("--agent", metavar="NAME", help="Only this agent.")
@node_options
def scale(agent: str | None, url: str | None, is_json: bool) -> int:
    """How many workers the work wants, and how many there are; below it each agent.

    \b
    Example: pilothouse scale --json
    """
    with connect(url) as client:
        found = client.get_scale(agent=agent)
    if is_json:
        show_json(found)
        return Exit.DONE
    click.echo(f"{found.wanted} workers wanted, {found.workers} there, {found.busy:.0%} of {found.places} places taken")
    rows = [
        (one.agent, str(one.ready), span(one.oldest_wait_seconds), str(one.running), f"{one.busy:.0%}",
         "" if one.run_seconds is None else span(one.run_seconds))
        for one in found.agents
    ]  # fmt: skip
    show_table(("AGENT", "READY", "OLDEST WAITS", "RUNNING", "BUSY", "A RUN TAKES"), rows, flexible="AGENT")
    return Exit.DONE
