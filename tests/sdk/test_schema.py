"""Annotations as JSON: what is read, which faults are told and where, and what is written."""

import dataclasses
from pathlib import Path

import msgspec
import pydantic
import pytest

from pilothouse.errors import InvalidInput, InvalidOutput
from pilothouse.sdk.schema import NotJson, codec_for, write_json


@dataclasses.dataclass
class Order:
    cents: int
    note: str = ""


class Parcel(msgspec.Struct, forbid_unknown_fields=True):
    weight: float
    to: list[str] = []


class Letter(pydantic.BaseModel):
    pages: int = pydantic.Field(gt=0)
    to: list[str] = []


def faults(kind, raw):
    with pytest.raises(InvalidInput) as caught:
        codec_for(kind).read(raw)
    return [(one["path"], one["message"]) for one in caught.value.faults]


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (str, b'"x"', "x"),
        (dict, b'{"a":[1]}', {"a": [1]}),
        (int | None, b"null", None),
        (Order, b'{"cents":5}', Order(5)),
        (Parcel, b'{"weight":1,"to":["a"]}', Parcel(1.0, ["a"])),
        (Letter, b'{"pages":2}', Letter(pages=2)),
        (list[Letter], b'[{"pages":2}]', [Letter(pages=2)]),
        (Path, b'"/a/b"', Path("/a/b")),
        (object, b'{"any":1}', {"any": 1}),
    ],
    ids=str,
)
def test_an_input_is_read_as_its_annotation_says_and_is_written_the_same(kind, raw, value):
    codec = codec_for(kind)
    assert codec.read(raw) == value
    assert codec.read(codec.write(value)) == value
    assert isinstance(msgspec.json.decode(codec.schema), dict)


def test_every_fault_of_an_object_is_told_with_its_path():
    assert faults(Order, b'{"cents":"five","colour":1}') == [
        ("$.cents", "Expected `int`, got `str`"),
        ("$.colour", "Unknown field"),
    ]
    assert faults(Order, b"{}") == [("$.cents", "Missing required field")]
    assert [path for path, _ in faults(Parcel, b'{"weight":"x","to":["a",1],"size":1}')] == [
        "$.weight",
        "$.to[1]",
        "$.size",
    ]
    assert [path for path, _ in faults(Letter, b'{"pages":0,"to":["a",1]}')] == ["$.pages", "$.to[1]"]
    assert faults(str, b"5") == [("$", "Expected `str`, got `int`")]


@pytest.mark.parametrize("kind", [str, float, dict, Order, Parcel, Letter, object, list[Letter]], ids=str)
@pytest.mark.parametrize("raw", [b"NaN", b"Infinity", b"", b"{", b'{"a":NaN}', b"\xff", b"1 2", b"[" * 5000], ids=str)
def test_what_is_no_json_is_a_fault_whatever_the_annotation(kind, raw):
    assert faults(kind, raw)


def test_only_what_is_exactly_free_or_text_says_so():
    assert [codec_for(kind).is_free for kind in (object, dict, str, Order)] == [True, False, False, False]
    assert [codec_for(kind).is_text for kind in (object, dict, str, Letter)] == [True, False, True, False]
    assert [codec_for(kind).is_text for kind in (str | dict, str | None, int | dict)] == [True, True, False]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, 5),
        (int, "5"),
        (dict, [1]),
        (float, float("nan")),
        (Order, {"cents": "x"}),
        (Parcel, Order(1)),
        (Letter, {"pages": 0}),
        (object, object()),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else type(one).__name__,
)
def test_an_output_that_does_not_fit_its_annotation_is_refused(kind, value):
    with pytest.raises(InvalidOutput):
        codec_for(kind).write(value)


def test_an_output_may_be_anything_that_becomes_the_annotated_json():
    assert codec_for(Order).write({"cents": 5}) == b'{"cents":5}'
    assert codec_for(Letter).write({"pages": 1, "to": []}) in (b'{"pages":1,"to":[]}',)
    assert codec_for(list[int]).write((1, 2)) == b"[1,2]"


def test_a_type_that_json_cannot_be_read_as_is_refused_with_its_name():
    class Socket:
        pass

    with pytest.raises(TypeError, match="Socket is no type that JSON can be read as"):
        codec_for(Socket)


def test_a_value_that_contains_itself_is_no_json():
    loop: list = []
    loop.append(loop)
    with pytest.raises(NotJson, match="nested too deeply"):
        write_json(loop)


def test_equal_values_give_equal_bytes_in_order():
    assert write_json({"b": 1, "a": {3, 1, 2}}, in_order=True) == write_json({"a": {1, 2, 3}, "b": 1}, in_order=True)


def test_text_and_numbers_of_derived_types_are_written_as_what_they_are():
    class Said(str):
        """As libraries return text that can do more."""

    class Count(int):
        pass

    assert write_json([Said("hello"), Count(3), {"text": Said("x")}]) == b'["hello",3,{"text":"x"}]'
