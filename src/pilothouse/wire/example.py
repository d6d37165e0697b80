"""Feedback, examples and dataset versions as JSON.

A version lists what is left of it and names what was withdrawn; it is read whole, since it is evaluated whole.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from pilothouse.domain.example import Choice, DatasetVersion, Example, ExampleSource
from pilothouse.wire.instant import stamp
from pilothouse.wire.payload import AnyJson, Instant

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
AgentName = Annotated[str, Meta(min_length=1, max_length=64)]
Comment = Annotated[str, Meta(max_length=10_000)]


class FeedbackRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A `thumb` has `value` 1 or -1, a `rating` 1 to 5, a `correction` has `expected`: what the output should be."""

    kind: Literal["thumb", "rating", "correction"]
    value: Annotated[int, Meta(ge=-1, le=5)] | None = None
    expected: AnyJson | UnsetType = UNSET
    comment: Comment = ""


class ExampleView(Struct, kw_only=True):
    """A case with what somebody said of it. `score` from 0 to 1; `expected` is left out when nobody said it."""

    id: str
    run: str
    agent: str
    release: str
    source: ExampleSource
    input: AnyJson
    output: AnyJson | UnsetType = UNSET
    expected: AnyJson | UnsetType = UNSET
    score: float | None
    comment: str
    by: str
    at: Instant


class ExamplePage(Struct):
    """Newest first."""

    items: list[ExampleView]
    next_cursor: str | None


class VersionRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which examples the next version takes: all that is named has to match. `test_share`: of the people or runs they
    are about, so many are in the part `test`, the others in `train`."""

    agent: AgentName
    sources: list[ExampleSource] = []
    score_from: Annotated[float, Meta(ge=0, le=1)] | None = None
    corrected: bool = False
    test_share: Annotated[float, Meta(ge=0, le=1)] = 0.2

    @property
    def choice(self) -> Choice:
        return Choice(
            agent=self.agent,
            sources=tuple(self.sources),
            score_from=self.score_from,
            is_corrected=self.corrected,
            test_share=self.test_share,
        )


class VersionView(Struct, kw_only=True):
    """`digest` is over its examples: two versions with the same one hold the same."""

    name: str
    number: int
    digest: str
    agent: str
    examples: int
    train: int
    test: int
    by: str
    at: Instant


class VersionPage(Struct):
    """Oldest first; all there are."""

    items: list[VersionView]
    next_cursor: str | None


class ItemView(Struct, kw_only=True):
    example: ExampleView
    part: str


class ContentsView(Struct, kw_only=True):
    """`withdrawn`: the ids of examples that were erased since the version was made."""

    version: VersionView
    items: list[ItemView]
    withdrawn: list[str]


def example_view(one: Example) -> ExampleView:
    return ExampleView(
        id=one.id,
        run=one.run,
        agent=one.agent,
        release=one.release,
        source=one.source,
        input=Raw(bytes(one.input)),
        output=one.output,
        expected=one.expected,
        score=one.score,
        comment=one.comment,
        by=one.by,
        at=stamp(one.at),
    )


def version_view(one: DatasetVersion) -> VersionView:
    test = sum(item.part == "test" for item in one.items)
    return VersionView(
        name=one.name,
        number=one.number,
        digest=one.digest,
        agent=one.choice.agent,
        examples=len(one.items),
        train=len(one.items) - test,
        test=test,
        by=one.by,
        at=stamp(one.at),
    )
