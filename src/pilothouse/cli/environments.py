"""`pilothouse environments`: what agents need installed, made, listed and cleared away.

It looks at the folder here and at pilothouse.toml; no node is asked. What a node uses now is held by it, and stays.
"""

import os
from pathlib import Path

import click
from msgspec import Struct

from pilothouse.cli.connect import DefaultGroup, json_option
from pilothouse.cli.exits import Exit
from pilothouse.cli.records import config_option
from pilothouse.cli.show import printable, show_json, show_table
from pilothouse.compute.environment.shelf import Made, Shelf
from pilothouse.compute.environment.supply import Wanted, obtain_wanted, read_wanted
from pilothouse.errors import AgentNotFound
from pilothouse.settings import Settings, load_settings
from pilothouse.settings.work import environment_options


class EnvironmentView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One environment. `size` is bytes; instants are seconds since 1970 UTC, absent while it is not made."""

    digest: str
    status: str
    """made, missing, or own: a folder that somebody else made."""
    agents: list[str]
    label: str
    python: str = ""
    interpreter: str = ""
    packages: int | None = None
    size: int | None = None
    used_at: float | None = None
    is_used: bool = False


@click.group(cls=DefaultGroup, short_help="Make, list and prune what agents need installed.")
def environments() -> None:
    """Make, list and prune what agents need installed (`environment` in pilothouse.toml). Without a command: list.

    \b
    Example:
      pilothouse environments
      pilothouse environments build
    """


@environments.command("list", short_help="The environments here, and those that agents need.")
@config_option
@json_option
def list_environments(config: str | None, is_json: bool) -> int:
    """The environments here, and those that the agents of pilothouse.toml need.

    \b
    Example: pilothouse environments list --json
    """
    settings = _settings(config)
    found = view_environments(settings)
    if is_json:
        show_json({"items": found})
        return Exit.DONE
    rows = [
        (
            one.digest,
            one.status + (", in use" if one.is_used else ""),
            one.python.rpartition("-")[0] if one.python.count("-") > 1 else one.python,
            "" if one.packages is None else str(one.packages),
            "" if one.size is None else megabytes(one.size),
            ", ".join(one.agents),
            one.label,
        )
        for one in found
    ]
    show_table(("ENVIRONMENT", "STATUS", "PYTHON", "PACKAGES", "SIZE", "AGENTS", "NEEDS"), rows, flexible="NEEDS")
    return Exit.DONE


@environments.command("build", short_help="Make what agents need, before a node starts.")
@click.argument("agents", nargs=-1, metavar="[AGENT]...")
@config_option
@json_option
def build_environments(agents: tuple[str, ...], config: str | None, is_json: bool) -> int:
    """Make the environments that the agents of pilothouse.toml need, or only those of AGENT, and show the progress.
    What is there already is left as it is.

    \b
    Example: pilothouse environments build
    """
    settings = _settings(config)
    unknown = [name for name in agents if name not in settings.agents]
    if unknown:
        raise AgentNotFound(agent=unknown[0], hint="pilothouse.toml has the names of the agents.")
    wanted = [
        one for one in wanted_environments(settings).values() if not agents or set(one.agents) & set(agents)
    ]  # fmt: skip
    options = environment_options(settings)
    ready = []
    for one in wanted:
        held = obtain_wanted(one, options, lambda text: click.echo(printable(text), err=True))
        ready.append({"digest": one.request.digest, "agents": one.agents, "interpreter": held.interpreter})
        held.let_go()
    if is_json:
        show_json({"items": ready})
    elif not ready:
        click.echo("No agent here asks for an environment.")
    for built in ready if not is_json else []:
        click.echo(f"{built['digest']}  {', '.join(built['agents'])}  {built['interpreter']}")
    return Exit.DONE


@environments.command("prune", short_help="Remove environments that no agent here needs.")
@config_option
@json_option
def prune_environments(config: str | None, is_json: bool) -> int:
    """Remove the environments that no agent of pilothouse.toml needs and no node uses now, and what builds that were
    killed left behind.

    \b
    Example: pilothouse environments prune
    """
    settings = _settings(config)
    removed = Shelf(environment_options(settings).folder).prune(set(wanted_environments(settings)))
    freed = sum(made.size for made in removed)
    if is_json:
        show_json({"removed": [made.digest for made in removed], "freed": freed})
        return Exit.DONE
    for made in removed:
        click.echo(f"{made.digest}  {made.label}")
    click.echo(f"{len(removed)} removed, {megabytes(freed)} freed.")
    return Exit.DONE


def view_environments(settings: Settings) -> list[EnvironmentView]:
    """What agents need first, then what else is kept. Raises `EnvironmentFailed` for what cannot be read."""
    shelf = Shelf(environment_options(settings).folder)
    wanted = wanted_environments(settings)
    found = [_view_wanted(shelf, one) for one in wanted.values()]
    return found + [_view_made(shelf, made, []) for made in shelf.all() if made.digest not in wanted]


def _view_wanted(shelf: Shelf, wanted: Wanted) -> EnvironmentView:
    request = wanted.request
    made = shelf.find(request.digest)
    if made is not None:
        return _view_made(shelf, made, wanted.agents)
    status = "own" if request.folder is not None else "missing"
    return EnvironmentView(
        digest=request.digest, status=status, agents=wanted.agents, label=request.label,
        python=request.python.tag, interpreter=request.python.path if status == "own" else "",
    )  # fmt: skip


def _view_made(shelf: Shelf, made: Made, agents: list[str]) -> EnvironmentView:
    return EnvironmentView(
        digest=made.digest,
        status="made",
        agents=agents,
        label=made.label,
        python=made.python,
        interpreter=str(shelf.interpreter(made)),
        packages=made.packages,
        size=made.size,
        used_at=made.used_at,
        is_used=shelf.is_used(made.digest),
    )


def wanted_environments(settings: Settings) -> dict[str, Wanted]:
    """The environments that the agents ask for, by digest. Raises `EnvironmentFailed`."""
    said = {name: (one.environment, one.python) for name, one in settings.agents.items() if one.environment}
    return read_wanted(said, settings.folder, settings.environments.tool)


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 10_000_000 else f"{size / 1e6:.1f} MB"


def _settings(config: str | None) -> Settings:
    return load_settings(os.environ, folder=Path.cwd(), config=config)
