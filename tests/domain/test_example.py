"""Dataset versions: what they hold follows from the examples alone, and one person is in one part."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw
from msgspec.structs import replace

from pilothouse.domain.example import Choice, DatasetVersion, Example, digest_items, make_items, split_withdrawn

KEY = bytes(32)


def example(number=1, **more):
    facts = {"id": f"exm_{number}", "run": f"run_{number}", "agent": "a", "release": "r", "source": "thumb", "by": "x"}
    return Example(**facts | {"at": number, "input": Raw(b"1")} | more)


def test_all_that_is_named_has_to_match():
    one = example(5, score=0.5, expected=Raw(b"2"))
    assert Choice(agent="a").takes(one)
    assert Choice(agent="a", since=5, until=6, sources=("thumb",), score_from=0.5, is_corrected=True).takes(one)
    for wrong in ({"agent": "b"}, {"since": 6}, {"until": 5}, {"sources": ("rating",)}, {"score_from": 0.6}):
        assert not Choice(**{"agent": "a"} | wrong).takes(one)
    assert not Choice(agent="a", is_corrected=True).takes(example())
    assert not Choice(agent="a", score_from=0.0).takes(example())


@given(st.permutations(range(12)))
def test_the_same_examples_make_the_same_version_in_whatever_order(order):
    found = make_items(KEY, [example(number) for number in order], 0.3)
    assert digest_items(found) == digest_items(make_items(KEY, [example(number) for number in range(12)], 0.3))


def test_another_content_is_another_digest():
    one = example()
    changed = (
        replace(one, output=Raw(b"1")),
        replace(one, expected=Raw(b"1")),
        replace(one, input=Raw(b"2")),
        replace(one, score=1.0),
    )
    digests = {digest_items(make_items(KEY, [each], 0.0)) for each in (one, *changed)}
    assert len(digests) == 5


def test_one_person_is_in_one_part_and_the_share_is_about_kept():
    found = make_items(KEY, [example(number, subject=f"s{number % 40}") for number in range(400)], 0.25)
    parts = {}
    for item in found:
        parts.setdefault(f"s{int(item.example[4:]) % 40}", set()).add(item.part)
    assert all(len(one) == 1 for one in parts.values())
    assert 2 <= sum(one == {"test"} for one in parts.values()) <= 20
    assert {item.part for item in make_items(KEY, [example()], 0.0)} == {"train"}
    assert {item.part for item in make_items(KEY, [example()], 1.0)} == {"test"}


def test_of_several_words_about_one_run_the_last_counts():
    first, second = example(1, score=0.0), example(2, run="run_1", score=1.0)
    other = example(3, run="run_1", source="correction")
    assert [item.example for item in make_items(KEY, [second, first, other], 0.0)] == ["exm_2", "exm_3"]


def test_what_was_withdrawn_is_told_and_the_version_stays_what_it_was():
    found = [example(number) for number in range(3)]
    items = make_items(KEY, found, 0.0)
    version = DatasetVersion(
        name="d", number=1, digest=digest_items(items), choice=Choice(agent="a"), items=items, by="x", at=1
    )
    left, withdrawn = split_withdrawn(version, {one.id: one for one in found[1:]})
    assert [item.example for item, _ in left] == ["exm_1", "exm_2"]
    assert withdrawn == ["exm_0"]
    assert digest_items(version.items) == version.digest


def test_an_example_travels_as_it_is():
    one = example(output=Raw(b'{"a": 1.50}'), expected=UNSET)
    again = msgspec.json.decode(msgspec.json.encode(one), type=Example)
    assert (bytes(again.output), again.expected) == (b'{"a": 1.50}', UNSET)
