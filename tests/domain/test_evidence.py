"""The tree is that of RFC 6962, and notes are read back as they were written.

Roots and paths are compared with the recursive definitions of the RFC, written down here once more.
"""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.evidence import (
    Checkpoint,
    Frontier,
    inclusion_path,
    leaf_hash,
    node_hash,
    note_of,
    read_note,
    read_verifier_key,
    root_from_path,
    root_of,
    verifier_key,
)


def mth(hashes):
    """RFC 6962, 2.1."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(mth(hashes[:k]), mth(hashes[k:]))


def path(m, hashes):
    """RFC 6962, 2.1.1."""
    if len(hashes) <= 1:
        return []
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if m < k:
        return [*path(m, hashes[:k]), mth(hashes[k:])]
    return [*path(m - k, hashes[k:]), mth(hashes[:k])]


def leaves(count):
    return [leaf_hash(b"%d" % number) for number in range(count)]


@pytest.mark.parametrize("count", [*range(34), 63, 64, 65])
def test_the_root_is_the_one_of_the_definition(count):
    assert root_of(leaves(count)) == mth(leaves(count))


@given(st.integers(1, 80), st.data())
def test_a_path_is_the_one_of_the_definition_and_leads_to_the_root(count, data):
    index = data.draw(st.integers(0, count - 1))
    hashes = leaves(count)
    found = inclusion_path(hashes, index)
    assert found == path(index, hashes)
    assert root_from_path(index, count, hashes[index], found) == mth(hashes)


@given(st.integers(2, 40), st.data())
def test_a_path_for_another_place_or_leaf_leads_elsewhere(count, data):
    index = data.draw(st.integers(0, count - 1))
    other = data.draw(st.integers(0, count - 1).filter(lambda one: one != index))
    hashes = leaves(count)
    found = inclusion_path(hashes, index)
    assert root_from_path(other, count, hashes[index], found) != mth(hashes)
    assert root_from_path(index, count, hashes[other], found) != mth(hashes)
    assert root_from_path(index, count, hashes[index], found[:-1]) != mth(hashes)
    assert root_from_path(index, count, hashes[index], [*found, found[-1]]) != mth(hashes)


@given(st.integers(0, 200), st.integers(0, 60))
def test_a_tree_goes_on_from_its_frontier(before, more):
    tree = Frontier()
    for hashed in leaves(before):
        tree.append(hashed)
    tree = Frontier.unpack(before, tree.pack())
    for hashed in leaves(before + more)[before:]:
        tree.append(hashed)
    assert tree.root() == mth(leaves(before + more))


def test_a_frontier_of_another_size_is_refused():
    with pytest.raises(ValueError, match="frontier"):
        Frontier.unpack(3, b"x" * 32)


def test_a_note_is_read_back_as_it_was_written():
    checkpoint = Checkpoint("pilothouse/default", 7, b"r" * 32)
    note = note_of(checkpoint, "pilothouse", b"p" * 32, b"s" * 64)
    read, signatures = read_note(note)
    assert read == checkpoint
    assert [(one.name, one.value) for one in signatures] == [("pilothouse", b"s" * 64)]


@pytest.mark.parametrize("text", ["", "a\n1\n", "a\n1\nAAAA\n\n", "a\n-1\n" + "A" * 43 + "=\n\n", "\n\n\n"])
def test_what_is_no_note_is_refused(text):
    with pytest.raises(ValueError, match="checkpoint"):
        read_note(text)


def test_a_public_key_is_read_back_and_a_typing_error_in_it_is_noticed():
    text = verifier_key("pilothouse", b"p" * 32)
    assert read_verifier_key(text) == ("pilothouse", b"p" * 32)
    for wrong in (text[:-4] + "AAA=", text.replace("pilothouse", "pilothouze"), "x", ""):
        with pytest.raises(ValueError, match="public key"):
            read_verifier_key(wrong)
