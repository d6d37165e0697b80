"""`pilothouse dev`: runs agents while they are written, and again on every change.

The node is a child process, so that a change starts from clean modules, and an error at import ends the child and not
the watch. Agents run inside the node (`isolation = "inline"`), so that a breakpoint stops in them and an error has
the author's own traceback. The child ends with its parent, however that ends: they share a pipe.
"""

import os
import signal
import threading
from pathlib import Path

import click
from msgspec.structs import replace

from pilothouse.cli.connect import json_option
from pilothouse.cli.serve import place_flags, place_options, start_node
from pilothouse.cli.supervision import run_on_changes
from pilothouse.errors import SettingsInvalid
from pilothouse.settings import AgentSettings, Flag, Settings, find_file, load_settings

GRACE = 2.0
"""Seconds for what runs, before a restart hands it back to the queue."""


@click.command(short_help="Run agents here, and again on every change.")
@click.argument("target", required=False)
@place_options
@click.option("--no-reload", is_flag=True, help="Do not start again on changes.")
@click.option("--tied-to", type=int, hidden=True, help="A pipe; when it closes, the node stops.")
@json_option
def dev(
    target: str | None, host: str | None, port: int | None, records: str | None, config: str | None,
    no_reload: bool, tied_to: int | None, is_json: bool,
) -> int:  # fmt: skip
    """Run TARGET here, and again on every change of a .py or .toml file.

    TARGET is module:object, or the name of an agent in pilothouse.toml; without it, all agents of pilothouse.toml run.
    Agents run inside the node: breakpoint() works.

    \b
    Example:
      pilothouse dev
      pilothouse dev agents:echo --port 9000
    """
    if not no_reload:
        file = find_file(os.environ, Path.cwd(), config)
        return run_on_changes(file.parent if file else Path.cwd())
    if tied_to is not None:
        threading.Thread(target=_stop_with, args=(tied_to,), daemon=True).start()
    settings = dev_settings(target, config, place_flags(host, port, records))
    return start_node(settings, is_json, closing="Try:  pilothouse run {agent} '\"Hello\"' --url {url}")


def dev_settings(target: str | None, config: str | None, flags: list[Flag]) -> Settings:
    """The settings of a node for one person: agents inside it, a short grace, only the agents that were asked for."""
    local = [Flag("worker.isolation", "dev", "inline"), Flag("server.grace_seconds", "dev", GRACE)]
    local.append(Flag("deliveries.loopback", "dev", True))
    settings = load_settings(os.environ, folder=Path.cwd(), config=config, flags=[*local, *flags])
    on_new_code = {name: replace(agent, on_release_change="continue") for name, agent in settings.agents.items()}
    egress = settings.egress if settings.egress.mode else replace(settings.egress, mode="open")
    settings = replace(settings, agents=on_new_code, egress=egress)
    if target is None:
        return settings
    if target in settings.agents:
        return replace(settings, agents={target: settings.agents[target]})
    same = {name: agent for name, agent in settings.agents.items() if agent.target == target}
    if same:
        return replace(settings, agents=same)
    module, _, name = target.partition(":")
    if not module or not name:
        raise SettingsInvalid(
            reason=f"{target!r} is neither module:object nor an agent of pilothouse.toml",
            hint="Write it as in `pilothouse dev agents:echo`.",
        )
    agent = AgentSettings(target=target, on_release_change="continue")
    return replace(settings, agents={name.rpartition(".")[2]: agent})


def _stop_with(pipe: int) -> None:
    """Ends this node when nobody holds the other end of the pipe any more."""
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)
