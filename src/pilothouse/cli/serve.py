"""`pilothouse serve`: runs the agents of this folder for other people, until it is told to stop.

The node itself is `app.run_node`; here it is given its settings, and people or programs are told where it is.
"""

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from pilothouse.app import run_node
from pilothouse.cli.connect import json_option
from pilothouse.cli.show import printable
from pilothouse.errors import SettingsInvalid, Unsupported
from pilothouse.settings import Flag, Settings, load_settings

PORT = click.IntRange(0, 65_535)


def place_options(command: Any) -> Any:
    """--host, --port, --records, --config: what `serve` and `dev` may be told beside the settings."""
    for option in (
        click.option("--config", metavar="FILE", help="Another settings file. [default: pilothouse.toml]"),
        click.option("--records", metavar="URL", help="Where the records are, as in sqlite:///pilothouse.db."),
        click.option("--port", type=PORT, metavar="PORT", help="The port to listen on; 0: any free one."),
        click.option("--host", help="The address to listen on."),
    ):
        command = option(command)
    return command


def place_flags(host: str | None, port: int | None, records: str | None) -> list[Flag]:
    """What was really given on the command line."""
    said = (("server.host", "--host", host), ("server.port", "--port", port), ("records.url", "--records", records))
    return [Flag(name, flag, value) for name, flag, value in said if value is not None]


@click.command(short_help="Run agents for other people.")
@place_options
@click.option("--role", type=click.Choice(["all", "gateway", "worker"]), default="all", show_default=True,
              help="What this node does; today every node does all.")  # fmt: skip
@json_option
def serve(
    host: str | None, port: int | None, records: str | None, config: str | None, role: str, is_json: bool
) -> int:  # fmt: skip
    """Run the agents of the pilothouse.toml in this folder for other people, until SIGTERM or Ctrl-C.

    What was promised before is taken up again. On SIGTERM new work is refused, attempts may end within
    server.grace_seconds, and what is left goes back to the queue.

    \b
    Example: pilothouse serve --port 8080
    """
    if role != "all":
        raise Unsupported(
            what=f"--role {role}", hint="A node is gateway and worker in one: start it without --role, or with all."
        )
    settings = load_settings(os.environ, folder=Path.cwd(), config=config, flags=place_flags(host, port, records))
    return start_node(settings, is_json)


def start_node(settings: Settings, is_json: bool, closing: str = "") -> int:
    """Runs the node and says where it is. Raises SettingsInvalid when there is nothing to run."""
    if not settings.agents:
        raise SettingsInvalid(
            reason="there is no agent to run",
            hint="Add [agents.NAME] with its target to pilothouse.toml, or make a project with `pilothouse init`.",
        )

    def announce(line: str) -> None:
        click.echo(printable(line), err=True)

    def ready(url: str) -> None:
        names = list(settings.agents)
        if is_json:
            click.echo(msgspec.json.encode({"url": url, "pid": os.getpid(), "agents": names}).decode())
            return
        click.echo(f"Pilothouse is at {url} with {', '.join(names)}.", err=True)
        if closing:
            click.echo(closing.format(agent=names[0], url=url), err=True)

    return run_node(settings, announce=announce, ready=ready)
