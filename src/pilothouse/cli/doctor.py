"""`pilothouse doctor`: tells what is wrong here and what to do, one line for each question.

What is looked at is in `examination`; here it is asked, shown as it is known, and summed up in the exit code.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from pilothouse.cli.connect import json_option
from pilothouse.cli.examination import examine
from pilothouse.cli.examined import Examined
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import printable, show_json, styled
from pilothouse.errors import SettingsInvalid
from pilothouse.settings import load_settings

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(short_help="Tell what is wrong here and what to do.")
@click.option("--config", metavar="FILE", help="Another settings file. [default: pilothouse.toml]")
@json_option
def doctor(config: str | None, is_json: bool) -> int:
    """Tell what is wrong here and what to do: settings, address, folders, disk, clock, records, agents. It changes
    nothing. The exit code is 1 when something fails; a warning is no failure.

    \b
    Example: pilothouse doctor
    """
    found: list[Examined] = []
    for one in _examine_all(config):
        found.append(one)
        if not is_json:
            _show(one)
    is_well = all(one.outcome != "fail" for one in found)
    if is_json:
        show_json({"ok": is_well, "examined": found})
    return Exit.DONE if is_well else Exit.FAILED


def _examine_all(config: str | None) -> Iterator[Examined]:
    """Without usable settings nothing else can be asked."""
    try:
        settings = load_settings(os.environ, folder=Path.cwd(), config=config)
    except SettingsInvalid as error:
        yield Examined("settings", "fail", error.message, error.hint)
        return
    if settings.file is None:
        yield Examined("settings", "warn", "there is no pilothouse.toml here", "`pilothouse init` makes a project.")
    else:
        yield Examined("settings", "ok", settings.file.name)
    yield from examine(settings)


def _show(one: Examined) -> None:
    first, *rest = printable(one.says).splitlines() or [""]
    click.echo(f"{styled(f'{one.outcome:<4}', fg=COLOURS[one.outcome])}  {one.name:<12}  {first}")
    for line in rest:
        click.echo(f"      {line}")
    if one.advice:
        click.echo(f"      {'':<12}  {styled('Next:', bold=True)} {one.advice}")
