"""`pilothouse migrate`, `backup` and `restore`: what an operator does with the records as a whole.

The work is done by the storage room; what is here asks, shows progress and says what happened.
"""

import os
from pathlib import Path

import click

from pilothouse.app import backup_records, migrate_records, restore_records
from pilothouse.cli.connect import json_option
from pilothouse.cli.exits import Exit
from pilothouse.cli.failure import FilesExist
from pilothouse.cli.progress import progress
from pilothouse.cli.show import show_json
from pilothouse.errors import RecordsInvalid
from pilothouse.settings import Flag, Settings, load_settings

config_option = click.option("--config", metavar="FILE", help="Another settings file. [default: pilothouse.toml]")
records_option = click.option("--records", metavar="URL", help="Where the records are, instead of what settings say.")


@click.command(short_help="Bring the records to the schema of this version.")
@config_option
@records_option
@json_option
def migrate(config: str | None, records: str | None, is_json: bool) -> int:
    """Bring the records to the schema of this version. `serve` does it by itself; do it beforehand to know how long it
    takes. It never goes back: make a backup first.

    \b
    Example: pilothouse migrate
    """
    before, after = migrate_records(_settings(config, records))
    if is_json:
        show_json({"before": before, "after": after})
    elif before == after:
        click.echo(f"The records have schema {after}, which is the newest.")
    else:
        click.echo(f"The records are brought from schema {before} to {after}.")
    return Exit.DONE


@click.command(short_help="Copy the records to a file, also while a node runs.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@config_option
@records_option
@json_option
def backup(file: Path, config: str | None, records: str | None, is_json: bool) -> int:
    """Copy the records to FILE, also while a node runs, and verify the copy.

    \b
    Example: pilothouse backup pilothouse-$(date +%F).db
    """
    if file.exists():
        raise FilesExist(folder=str(file.parent), names=file.name, hint="Choose a name that is not taken.")
    settings = _settings(config, records)
    if settings.records.path is not None and not settings.records.path.exists():
        raise RecordsInvalid(
            reason=f"there is no file {settings.records.path.name} yet",
            hint="`pilothouse settings records` tells where they should be.",
        )
    with progress("Copying") as tell:
        backup_records(settings, file, tell)
    _say_done(is_json, f"The records are copied to {file} and verified.", file)
    return Exit.DONE


@click.command(short_help="Put a backup in the place of the records.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the records that are there.")
@config_option
@records_option
@json_option
def restore(file: Path, force: bool, config: str | None, records: str | None, is_json: bool) -> int:
    """Put the backup FILE in the place of the records, after it was verified. No node may use them meanwhile.

    \b
    Example: pilothouse restore pilothouse-2026-11-22.db --force
    """
    if not file.is_file():
        raise click.BadParameter(f"there is no file {file}.", param_hint="FILE")
    settings = _settings(config, records)
    with progress("Restoring") as tell:
        restore_records(settings, file, force, tell)
    _say_done(is_json, f"The records are those of {file}.", file)
    return Exit.DONE


def _settings(config: str | None, records: str | None) -> Settings:
    flags = [Flag("records.url", "--records", records)] if records is not None else []
    return load_settings(os.environ, folder=Path.cwd(), config=config, flags=flags)


def _say_done(is_json: bool, text: str, file: Path) -> None:
    if is_json:
        show_json({"file": str(file), "bytes": file.stat().st_size})
    else:
        click.echo(text)
