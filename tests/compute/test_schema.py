"""A schema alone: it refuses only what a host refuses, in its words, and says nothing where it cannot be sure."""

import dataclasses
import enum
import json
import subprocess
import sys
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pilothouse.compute.schema import FAULTS_LIMIT, VALIDATORS_LIMIT, Schemas
from pilothouse.domain.agent import Agent
from pilothouse.errors import InvalidInput
from pilothouse.sdk.bridges.function import FunctionBridge
from pilothouse.sdk.schema import codec_for


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class AnyColour(enum.Enum):
    RED = "red"

    @classmethod
    def _missing_(cls, value):
        return cls.RED


@dataclasses.dataclass
class Order:
    cents: int
    note: str | None = None
    to: list[int] = dataclasses.field(default_factory=list)


class Parcel(msgspec.Struct):
    weight: Annotated[float, msgspec.Meta(ge=0, description="in kg")]
    colour: Colour = Colour.RED
    kind: Literal["a", "b", 3] = "a"
    order: Order | None = None
    after: "Parcel | None" = None


class Pair(NamedTuple):
    first: int
    second: str = ""


class Row(TypedDict, total=False):
    pair: Pair
    numbers: dict[str, float]


class Model(BaseModel):
    cents: int


EXACT = [int, float, str, bool, Order, Parcel, Pair, Row, Colour, int | str | None, list[Order], tuple[int, bool]]
names = st.sampled_from(
    ["cents", "note", "to", "weight", "colour", "kind", "order", "after", "pair", "numbers", "first", "else"]
)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["a", "b", "red", "blue", "5", ""]), st.just(10**30), st.just(1.0),
)  # fmt: skip
values = st.recursive(leaves, lambda one: st.lists(one, max_size=3) | st.dictionaries(names, one, max_size=4))


def agent_of(kind: Any) -> Agent:
    codec = codec_for(kind)
    return Agent(name="a", mode="event", release="r", input_schema=codec.schema, exact_schema=codec.is_exact)


def by_host(kind: Any, raw: bytes) -> list[dict[str, str]]:
    try:
        codec_for(kind).read(raw)
    except InvalidInput as error:
        return error.faults
    return []


@pytest.mark.parametrize("kind", EXACT, ids=str)
@given(value=values)
def test_whatever_the_schema_refuses_the_host_refuses_too(kind, value):
    raw = json.dumps(value).encode()
    assert codec_for(kind).is_exact
    if Schemas().faults(agent_of(kind), raw):
        assert by_host(kind, raw)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (Order, b'{"cents":"five","colour":1}'),
        (Order, b"{}"),
        (Order, b"5"),
        (Order, b'{"cents":1,"note":5,"to":["x"]}'),
        (str, b"null"),
        (int, b"true"),
        (Parcel, b'{"weight":1,"order":{"cents":"x"}}'),
        (Parcel, b'{"weight":1,"order":5}'),
        (Parcel, b'{"after":{"weight":[]}}'),
        (int | str, b"[]"),
    ],
    ids=str,
)
def test_the_words_are_those_of_the_host(kind, raw):
    """The host stops at the first fault inside of a member, a schema does not: it may tell more."""
    told = Schemas().faults(agent_of(kind), raw)
    assert told
    host = by_host(kind, raw)
    assert host == told or all(fault in told for fault in host)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (Model, b'{"cents":"5"}'),
        (set[int], b"[1,1]"),
        (list[Decimal], b"[1.5]"),
        (AnyColour, b'"green"'),
        (Annotated[str, msgspec.Meta(pattern="a")], b'"a"'),
        (Annotated[float, msgspec.Meta(multiple_of=0.1)], b"0.3"),
        (Annotated[int, msgspec.Meta(extra_json_schema={"maximum": 3})], b"5"),
    ],
    ids=str,
)
def test_of_types_that_read_more_than_their_schema_says_nothing_is_refused(kind, raw):
    agent = agent_of(kind)
    assert not agent.exact_schema
    assert Schemas().faults(agent, raw) == []


def test_null_stands_for_the_default_of_the_only_parameter():
    def with_default(text: str = "x") -> str:
        return text

    def without(text: str) -> str:
        return text

    assert not FunctionBridge(with_default).input.is_exact
    assert FunctionBridge(without).input.is_exact


@pytest.mark.parametrize(
    "schema",
    [b'{"$ref":"http://127.0.0.1:9/x"}', b'{"$ref":"file:///etc/passwd"}', b'{"type":7}', b"[", b"\xff", b"{}"],
    ids=str,
)
def test_a_schema_that_is_none_or_lies_elsewhere_refuses_nothing(schema):
    agent = Agent(name="a", mode="event", release="r", input_schema=schema, exact_schema=True)
    assert Schemas().faults(agent, b"1") == []


@pytest.mark.parametrize("raw", [b"", b"{", b"NaN", b"\xff", b'"\\ud800"', b"[" * 5000], ids=str)
def test_what_is_no_json_is_left_to_the_host(raw):
    assert Schemas().faults(agent_of(str), raw) == []


def test_what_was_sent_is_not_in_a_message_and_faults_and_schemas_have_a_limit():
    schemas = Schemas()
    told = schemas.faults(agent_of(Literal["a", "b"]), b'"secret"')
    assert told
    assert "secret" not in str(told)
    assert len(schemas.faults(agent_of(list[int]), json.dumps(["x"] * 1000).encode())) == FAULTS_LIMIT
    for number in range(VALIDATORS_LIMIT + 5):
        one = Agent(name="a", mode="event", release="r", input_schema=b'{"maximum":%d}' % number, exact_schema=True)
        assert schemas.faults(one, b"-1") == []
    assert len(schemas._ready) == VALIDATORS_LIMIT


@pytest.mark.slow
def test_a_node_that_needs_no_schema_does_not_load_the_library():
    code = "import sys, pilothouse.app; sys.exit('jsonschema_rs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
