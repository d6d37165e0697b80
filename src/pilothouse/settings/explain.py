"""Lists every setting with its value and who set it, for `pilothouse settings`.

It is what a person reads when a node does not do what the file seems to say. Secrets are masked here, so that no caller
can forget to.
"""

from msgspec import Struct, structs

from pilothouse.settings.expectation import mask
from pilothouse.settings.tree import NAMED, SECTIONS, Settings

DEFAULT = "default"


class Explained(Struct, frozen=True):
    """`value` None: nobody set it, and the agent or the runtime decides."""

    name: str
    value: object
    source: str


def explain_settings(settings: Settings) -> list[Explained]:
    explained = []
    for section, kind in SECTIONS.items():
        explained += _explain(section, kind, getattr(settings, section), settings.given_by)
    for section, kind in NAMED.items():
        for name, table in getattr(settings, section).items():
            explained += _explain(f"{section}.{name}", kind, table, settings.given_by)
    return explained


def _explain(prefix: str, kind: type[Struct], section: Struct, given_by: dict[str, str]) -> list[Explained]:
    found = []
    for field in structs.fields(kind):
        name = f"{prefix}.{field.name}"
        value = mask(getattr(section, field.name), field.type)
        found.append(Explained(name, _plain(value), given_by.get(name, DEFAULT)))
    return found


def _plain(value: object) -> object:
    """Tables as plain ones, also within tables."""
    if isinstance(value, Struct):
        return {name: _plain(one) for name, one in structs.asdict(value).items()}
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value
