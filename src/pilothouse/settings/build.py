"""Merges the sources and builds the settings, once: defaults < pilothouse.toml < environment < flags.

Every value is checked against the type of its own field, so that a message names the setting, what was written, where,
and what is expected. All faults are reported together: a person mends a file in one go. A value that may hold a secret
is masked before it enters a message.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from pilothouse.errors import SettingsInvalid
from pilothouse.settings.border import check_chains
from pilothouse.settings.expectation import expectation, secrecy, shown_value
from pilothouse.settings.outgoing import check_places
from pilothouse.settings.source import PREFIX, Given, Reading, guess, read_environment, read_file
from pilothouse.settings.tree import NAMED, NEEDED, SECTIONS, AgentSettings, Settings, absolute_url

FILE_NAME = "pilothouse.toml"


class Flag(Struct, frozen=True):
    """A setting that was given on the command line: `name` is `section.key`, `flag` what the person typed."""

    name: str
    flag: str
    value: object


def load_settings(
    environ: Mapping[str, str],
    *,
    folder: Path,
    config: str | None = None,
    flags: list[Flag] | None = None,
    agents: Mapping[str, AgentSettings] | None = None,
) -> Settings:
    """The settings of a program started in `folder`. `config` is the file to read instead of the pilothouse.toml
    there; `agents` are served instead of the ones of the file. Raises SettingsInvalid."""
    file = find_file(environ, folder, config)
    readings = []
    if file is not None:
        reading = read_file(file, file.name if file.parent == folder else str(file))
        readings.append(Reading([look_up(one, environ, reading.faults) for one in reading.given], reading.faults))
    readings.append(read_environment(environ))
    readings.append(Reading([Given(tuple(one.name.split(".")), one.value, one.flag) for one in flags or []], []))
    merged = {given.path: given for reading in readings for given in reading.given}
    faults = [fault for reading in readings for fault in reading.faults]
    settings = _build(merged, faults, file, folder)
    return settings if agents is None else msgspec.structs.replace(settings, agents=dict(agents))


def find_file(environ: Mapping[str, str], folder: Path, config: str | None) -> Path | None:
    """The settings file: the one that was named, else the one of the folder, else none."""
    named, by = (config, "--config") if config else (environ.get(f"{PREFIX}CONFIG"), f"{PREFIX}CONFIG")
    if named:
        path = _absolute(folder / Path(named).expanduser())
        if not path.is_file():
            raise SettingsInvalid(
                reason=f"{by} names {named}, which is not a file",
                hint="Name an existing pilothouse.toml, or make a project with `pilothouse init`.",
            )
        return path
    path = _absolute(folder / FILE_NAME)
    return path if path.exists() else None


def _absolute(path: Path) -> Path:
    """Links stay: a mounted file is often one, and the project is where it is seen, not where it is kept."""
    return Path(os.path.abspath(path))


def _build(merged: dict[tuple[str, ...], Given], faults: list[str], file: Path | None, folder: Path) -> Settings:
    project = file.parent if file is not None else _absolute(folder)
    groups: dict[tuple[str, ...], dict[str, object]] = {}
    given_by = {}
    for path, given in merged.items():
        try:
            value = _convert(given, project)
        except ValueError as error:
            faults.append(str(error))
            value = None
        groups.setdefault(path[:-1], {})[path[-1]] = value
        given_by[".".join(path)] = given.source
    named = {section: {path[1]: group for path, group in groups.items() if path[0] == section} for section in NAMED}
    for section, (key, example) in NEEDED.items():
        faults += [f"{section}.{name} needs a {key}, as in {example.format(name=name)}"
                   for name, group in named[section].items() if key not in group]  # fmt: skip
    faults += [f"agents.{name}.{fault}" for name, group in named["agents"].items() for fault in _contradictions(group)]
    if faults:
        raise _invalid(faults)
    sections: dict[str, Any] = {name: kind(**groups.get((name,), {})) for name, kind in SECTIONS.items()}
    tables: dict[str, Any] = {
        section: {name: NAMED[section](**group) for name, group in found.items()} for section, found in named.items()
    }
    faults = check_chains(sections["egress"], tables["providers"], tables["secrets"])
    if faults:
        raise _invalid(faults)
    records = sections["records"]
    sections["records"] = msgspec.structs.replace(records, url=absolute_url(records.url, project))
    return Settings(
        **sections,
        **tables,
        folder=project,
        file=file,
        given_by=given_by,
    )


def _contradictions(agent: dict[str, object]) -> list[str]:
    faults = []
    if agent.get("environment") is not None and agent.get("isolation") == "inline":
        faults.append('isolation is "inline", and inside the node there is no other environment; leave one of them out')
    if agent.get("python") is not None and agent.get("environment") is None:
        faults.append("python is for an environment of the agent's own; set environment as well")
    return faults


def look_up(given: Given, environ: Mapping[str, str], faults: list[str]) -> Given:
    """A secret that the file writes as $NAME is in the variable NAME, so that a file can be shown to others."""

    def found(value: object) -> object:
        if not isinstance(value, str) or not value.startswith("$"):
            return value
        secret = environ.get(value[1:])
        if not secret:
            faults.append(f"{given.source}: {'.'.join(given.path)} is to come from {value}, which is not set")
        return secret or value

    if secrecy(_type_of(given.path)) != "all":
        return given
    if isinstance(given.value, dict):
        return msgspec.structs.replace(given, value={name: found(value) for name, value in given.value.items()})
    return msgspec.structs.replace(given, value=found(given.value))


def _type_of(path: tuple[str, ...]) -> Any:
    kind = NAMED[path[0]] if path[0] in NAMED else SECTIONS[path[0]]
    return next(one.type for one in fields(kind) if one.name == path[-1])


def _convert(given: Given, project: Path) -> object:
    """The value in the type of its field. Raises ValueError with a sentence."""
    wanted = _type_of(given.path)
    name = ".".join(given.path)
    shown = shown_value(given.value, wanted)
    table = _table_of(wanted)
    if table is not None and isinstance(given.value, dict):
        _check_table(name, given.value, table, given.source)
    try:
        value = msgspec.convert(_plain(given, wanted), wanted, strict=not given.is_text)
        if given.path == ("records", "url"):
            absolute_url(value, project)
        check_places(given.path, value)
    except msgspec.ValidationError as error:
        # What a type checks by itself is in `expectation`; a ValueError of a value's own rules speaks for itself.
        own = error.__cause__
        what = str(own) if isinstance(own, ValueError) else f"expected {expectation(wanted)}"
        raise ValueError(f"{given.source}: {name} is {shown}; {what}") from None
    except ValueError as error:
        raise ValueError(f"{given.source}: {name} is {shown}; {error}") from None
    return value


def _plain(given: Given, wanted: object) -> object:
    """The value as TOML would have it: a variable has no arrays, so there commas part the items."""
    if isinstance(given.value, str) and given.is_text and get_origin(wanted) is tuple:
        return [item.strip() for item in given.value.split(",") if item.strip()]
    return given.value


def _table_of(wanted: object) -> type[Struct] | None:
    """The struct that a table within a table becomes."""
    if get_origin(wanted) is dict:  # its keys are names, not settings
        return None
    kinds = (wanted, *get_args(wanted))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Struct)), None)


def _check_table(name: str, table: dict[str, object], kind: type[Struct], source: str) -> None:
    known = {one.name: one.type for one in fields(kind)}
    for key, value in table.items():
        if key not in known:
            raise ValueError(f"{source}: there is no setting {name}.{key}{guess(key, known)}")
        try:
            msgspec.convert(value, known[key])
        except msgspec.ValidationError:
            shown = shown_value(value, known[key])
            raise ValueError(f"{source}: {name}.{key} is {shown}; expected {expectation(known[key])}") from None


def _invalid(faults: list[str]) -> SettingsInvalid:
    hint = "Mend what is named and try again; `pilothouse settings --defaults` lists every setting."
    if len(faults) == 1:
        return SettingsInvalid(reason=faults[0], hint=hint)
    return SettingsInvalid("The settings are not usable:\n" + "\n".join(f"  {fault}" for fault in faults), hint=hint)
