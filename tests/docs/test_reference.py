"""The reference pages name all there is: each setting with its variable and default, each command, flag and exit code.

The pages are compared with the program itself, so that neither can change without the other. Their words are a
person's matter.
"""

import json
import re
from pathlib import Path

import click
import pytest
from msgspec import NODEFAULT
from msgspec.structs import fields

from pilothouse.cli.exits import CODES, Exit
from pilothouse.cli.program import COMMANDS, program
from pilothouse.settings.source import PROGRAM_VARIABLES, variable
from pilothouse.settings.tree import NAMED, SECTIONS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
SETTINGS = [(section, one) for section, kind in SECTIONS.items() for one in fields(kind)]


def rows_of(page: str) -> list[list[str]]:
    lines = (REFERENCE / page).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("|")]


def shown(default: object) -> str:
    if default is NODEFAULT:
        return "(must be set)"
    if default is None:
        return "(not set)"
    if isinstance(default, float) and default.is_integer():
        default = int(default)
    return f"`{json.dumps(default)}`"


@pytest.mark.parametrize(("section", "one"), SETTINGS, ids=lambda value: getattr(value, "name", value))
def test_a_setting_is_documented_with_its_variable_its_default_and_what_it_does(section, one):
    found = [row for row in rows_of("settings.md") if row[0] == f"`{section}.{one.name}`"]
    assert len(found) == 1
    _, named, default, may_be, does = found[0]
    assert named == f"`{variable(section, one.name)}`"
    assert default == shown(one.default)
    assert may_be
    assert len(does) > 10


KEYS = [(section, one) for section, kind in NAMED.items() for one in fields(kind)]


@pytest.mark.parametrize(("section", "one"), KEYS, ids=lambda value: getattr(value, "name", value))
def test_a_key_of_a_named_table_is_documented_with_its_default(section, one):
    text = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[0].splitlines()
    found = [row for row in rows if row.startswith(f"| `{one.name}` |")]
    default = one.default if one.default_factory is NODEFAULT else one.default_factory()
    assert [row.split(" | ")[1] for row in found] == [shown(default)]


def test_no_setting_is_documented_that_is_not_there():
    documented = {row[0] for row in rows_of("settings.md") if "." in row[0]}
    assert documented == {f"`{section}.{one.name}`" for section, one in SETTINGS}


def test_the_variables_of_the_program_itself_are_documented():
    documented = {row[0] for row in rows_of("settings.md")}
    assert {f"`{name}`" for name in PROGRAM_VARIABLES} <= documented


def commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []

    def walk(command: click.Command, path: str) -> None:
        found.append((path, command))
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                walk(command.get_command(context, name), f"{path} {name}".strip())

    walk(program, "pilothouse")
    return found


def section_of(path: str) -> str:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    found = re.findall(rf"^#+ {re.escape(path)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{path} is documented {len(found)} times"
    return found[0]


@pytest.mark.parametrize(("path", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_command_is_documented_with_its_flags_and_arguments(path, command):
    section = section_of(path)
    told = set(re.findall(r"--[a-z][a-z-]+", section))
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    flags = {flag for one in options for flag in one.opts if flag.startswith("--")}
    assert flags <= told
    rows = set(re.findall(r"^\| `(?:-h, )?(--[a-z-]+)", section, re.MULTILINE))
    assert rows - {"--help"} == flags
    for one in command.params:
        if isinstance(one, click.Argument):
            assert one.make_metavar(click.Context(command)) in section


def test_each_command_is_listed_with_the_short_help_it_has_itself():
    listed = {row[0]: row[1] for row in rows_of("cli.md") if row[0].startswith("[`")}
    context = click.Context(program)
    assert listed == {f"[`{name}`](#pilothouse-{name})": said for name, (_, said) in COMMANDS.items()}
    for name, (_, said) in COMMANDS.items():
        assert program.get_command(context, name).short_help == said


@pytest.mark.parametrize("code", list(Exit), ids=lambda code: code.name)
def test_an_exit_code_is_documented_with_the_errors_that_lead_to_it(code):
    found = [row for row in rows_of("cli.md") if row[0] == str(int(code))]
    assert len(found) == 1
    _, name, means, errors = found[0]
    assert name == code.name
    assert means
    assert re.findall(r"`([a-z_]+)`", errors) == CODES.get(code, "").split()


def test_every_error_of_ours_has_an_exit_code():
    from pilothouse import errors
    from pilothouse.cli.exits import EXIT_OF_CODE

    ours = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.PilothouseError)]
    assert {one.code for one in ours if one is not errors.PilothouseError} <= set(EXIT_OF_CODE)
