"""The example: a case with what somebody said of it, and the versions of datasets that are made of them.

An example is never edited, only withdrawn; a dataset version names its examples and never copies them. So when a person
is erased, their examples are gone from every version at once, the version says how many it lost, and its digest still
tells what it was made of (G9). Which part an example is in follows from a keyed hash of whom, or what run, it is about:
one person is never in training and in test.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from pilothouse.domain.sampling import place_of

ExampleSource = Literal["thumb", "rating", "correction", "review", "override"]
RATING_LIMIT = 5


class Example(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`score` from 0 to 1: what somebody thought of the output. `expected`: what it should have been."""

    id: str
    run: str
    agent: str
    release: str
    source: ExampleSource
    input: Raw
    output: Raw | UnsetType = UNSET
    expected: Raw | UnsetType = UNSET
    score: float | None = None
    comment: str = ""
    subject: str | None = None
    by: str
    at: int


class Item(Struct, frozen=True, array_like=True):
    """An example in a dataset version: `digest` is over what it held, `part` is `train` or `test`."""

    example: str
    digest: str
    part: str


class Choice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which examples a dataset version takes: all that is named has to match."""

    agent: str
    since: int = 0
    until: int | None = None
    sources: tuple[ExampleSource, ...] = ()
    score_from: float | None = None
    is_corrected: bool = False
    """Only those that say what the output should have been."""
    test_share: float = 0.2

    def takes(self, one: Example) -> bool:
        return (
            one.agent == self.agent
            and self.since <= one.at
            and (self.until is None or one.at < self.until)
            and (not self.sources or one.source in self.sources)
            and (self.score_from is None or (one.score is not None and one.score >= self.score_from))
            and (not self.is_corrected or one.expected is not UNSET)
        )


class DatasetVersion(Struct, frozen=True, kw_only=True):
    """`digest` is over its items: two versions with the same one hold the same."""

    name: str
    number: int
    digest: str
    choice: Choice
    items: tuple[Item, ...]
    by: str
    at: int


def digest_example(one: Example) -> str:
    """Over all that evaluations and exports see of it."""
    hashed = hashlib.sha256()
    for part in (one.input, one.output, one.expected):
        content = b"" if not isinstance(part, Raw) else bytes(part)
        hashed.update(b"%d:" % len(content) + content)
    hashed.update(repr(one.score).encode())
    return hashed.hexdigest()[:32]


def make_items(key: bytes, examples: Iterable[Example], test_share: float) -> tuple[Item, ...]:
    """By id, so that the same examples make the same version. Of several about one run and of one kind the last counts:
    people change their minds."""
    last: dict[tuple[str, str], Example] = {}
    for one in examples:
        known = last.get((one.run, one.source))
        if known is None or (known.at, known.id) < (one.at, one.id):
            last[one.run, one.source] = one
    items = [Item(one.id, digest_example(one), _part(key, one, test_share)) for one in last.values()]
    return tuple(sorted(items, key=lambda item: item.example))


def _part(key: bytes, one: Example, test_share: float) -> str:
    about = f"subject:{one.subject}" if one.subject is not None else f"run:{one.run}"
    return "test" if place_of(key, about) < test_share else "train"


def digest_items(items: Sequence[Item]) -> str:
    lines = "".join(f"{item.example} {item.digest} {item.part}\n" for item in items)
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def split_withdrawn(
    version: DatasetVersion, found: Mapping[str, Example]
) -> tuple[list[tuple[Item, Example]], list[str]]:
    """What is left of a version, and the ids of what was withdrawn."""
    left = [(item, found[item.example]) for item in version.items if item.example in found]
    return left, [item.example for item in version.items if item.example not in found]
