"""`pilothouse settings`: each setting, its value, and who set it.

With --defaults it answers even when the settings are broken: that is when people look up how a name is written.
"""

import os
from pathlib import Path

import click

from pilothouse.cli.connect import json_option
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import on_one_line, show_json, show_table
from pilothouse.settings import Settings, explain_settings, load_settings


@click.command(short_help="Print each setting with where it came from.")
@click.argument("prefix", required=False)
@click.option("--config", metavar="FILE", help="Another settings file. [default: pilothouse.toml]")
@click.option("--defaults", is_flag=True, help="Print the defaults, whatever file and environment say.")
@json_option
def settings(prefix: str | None, config: str | None, defaults: bool, is_json: bool) -> int:
    """Print each setting with its value and where it came from; only those that begin with PREFIX, if one is given.
    Secrets are not printed.

    \b
    Example: pilothouse settings server
    """
    folder = Path.cwd()
    found = Settings(folder=folder) if defaults else load_settings(os.environ, folder=folder, config=config)
    explained = [one for one in explain_settings(found) if one.name.startswith(prefix or "")]
    if is_json:
        show_json(explained)
        return Exit.DONE
    # What nobody set and nothing here decides would be ten empty lines for each agent.
    rows = [(one.name, on_one_line(one.value), one.source) for one in explained if one.value is not None]
    show_table(("SETTING", "VALUE", "FROM"), rows, flexible="VALUE")
    if found.file is None and not defaults:
        click.echo("There is no pilothouse.toml here.", err=True)
    return Exit.DONE
