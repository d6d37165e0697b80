"""`pilothouse serve`: runs the agents of this folder for other people, until it is told to stop.

The node itself is `app.run_node`; here it is given its settings, and people or programs are told where it is.
"""

import contextlib
import os
import resource
from pathlib import Path
from typing import Any

import click
import msgspec

from pilothouse.app import run_node
from pilothouse.cli.connect import json_option
from pilothouse.cli.show import printable
from pilothouse.errors import SettingsInvalid
from pilothouse.settings import Flag, Settings, load_settings

OPEN_FILES = 2**20
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
@click.option("--role", type=click.Choice(["all", "gateway", "worker"]), default=None,
              help="What this node does where several share their records. [default: all]")  # fmt: skip
@json_option
def serve(
    host: str | None, port: int | None, records: str | None, config: str | None, role: str | None, is_json: bool
) -> int:  # fmt: skip
    """Run the agents of the pilothouse.toml in this folder for other people, until SIGTERM or Ctrl-C.

    What was promised before is taken up again. On SIGTERM new work is refused, attempts may end within
    server.grace_seconds, and what is left goes back to the queue.

    \b
    Example: pilothouse serve --port 8080
    """
    flags = place_flags(host, port, records)
    if role is not None:
        flags.append(Flag("server.role", "--role", role))
    settings = load_settings(os.environ, folder=Path.cwd(), config=config, flags=flags)
    if settings.server.role != "all" and not settings.records.is_shared:
        raise SettingsInvalid(
            reason=f"server.role is {settings.server.role}, and the records are a file, which one node has for itself",
            hint="Put records.url to a PostgreSQL that all nodes share, or leave the role out.",
        )
    return start_node(settings, is_json)


def start_node(settings: Settings, is_json: bool, closing: str = "") -> int:
    """Runs the node and says where it is. Raises SettingsInvalid when there is nothing to run."""
    is_gateway = settings.server.role == "gateway"
    if not settings.agents and not is_gateway:
        raise SettingsInvalid(
            reason="there is no agent to run",
            hint="Add [agents.NAME] with its target to pilothouse.toml, or make a project with `pilothouse init`.",
        )

    def announce(line: str) -> None:
        click.echo(printable(line), err=True)

    def ready(url: str) -> None:
        names = ["the agents of its workers"] if is_gateway else list(settings.agents)
        if is_json:
            click.echo(msgspec.json.encode({"url": url, "pid": os.getpid(), "agents": names}).decode())
            return
        click.echo(f"Pilothouse is at {url} with {', '.join(names)}.", err=True)
        if closing:
            click.echo(closing.format(agent=names[0], url=url), err=True)

    allow_open_files()
    return run_node(settings, announce=announce, ready=ready)


def allow_open_files() -> None:
    """As many as the system lets this user have: what shells give by default is a few hundred connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
