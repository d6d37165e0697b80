"""`pilothouse init`: a project that runs, in a folder that had none.

Nothing that is there is overwritten; what is in the way is told before the first file is written.
"""

import shlex
from pathlib import Path

import click

from pilothouse.cli.connect import json_option
from pilothouse.cli.exits import Exit
from pilothouse.cli.failure import FilesExist
from pilothouse.cli.show import show_json
from pilothouse.cli.starter import FILES, OPTIONAL
from pilothouse.errors import SettingsInvalid


@click.command(short_help="Make a project that runs, with a passing test.")
@click.argument("folder", default=".", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path))
@json_option
def init(folder: Path, is_json: bool) -> int:
    """Make a project that runs, with a passing test, in DIR (here, without it). Nothing that is there is overwritten.

    \b
    Example: pilothouse init shop
    """
    there = [name for name in FILES if (folder / name).exists()]
    if any(name not in OPTIONAL for name in there):
        raise FilesExist(names=", ".join(there), folder=f"{folder}")
    names = [name for name in FILES if name not in there]
    try:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            # "x": should somebody else write the same file now, theirs stays.
            with path.open("x", encoding="utf-8") as file:
                file.write(FILES[name])
    except OSError as error:
        reason = f"{folder} cannot be written ({(error.strerror or 'error').lower()})"
        raise SettingsInvalid(reason=reason, hint="Name a folder that this user may write to.") from None
    if is_json:
        show_json({"folder": str(folder), "files": names})
        return Exit.DONE
    for name in FILES:
        click.echo(f"  {folder / name}{'' if name in names else '   (left as it was)'}")
    change = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    click.echo("\nNext:")
    click.echo(f"  {change}pilothouse dev")
    click.echo('  pilothouse run echo "Hello"                in another terminal')
    click.echo("  python -m pytest                           once you have installed it: pip install pytest")
    return Exit.DONE
