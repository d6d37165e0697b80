"""The key of the audit log is made once for a folder, however many nodes start in it at the same time."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from pilothouse.errors import SettingsInvalid
from pilothouse.security.signing import is_signed_by, load_key


def test_a_second_start_signs_with_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    first, second = load_key("node", path), load_key("node", path)

    assert first.public == second.public
    assert is_signed_by(second.public, b"text", first.sign(b"text"))
    assert not is_signed_by(second.public, b"other text", first.sign(b"text"))


def test_a_key_is_readable_to_its_owner_only_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    load_key("node", path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("moment", ["fsync", "link"])
def test_a_node_that_starts_while_another_makes_the_key_gets_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = tmp_path / "audit.pem"
    others: list[bytes] = []
    act = getattr(os, moment)

    def interrupted(*given: object) -> None:
        monkeypatch.setattr(os, moment, act)
        others.append(load_key("node", path).public)
        act(*given)

    monkeypatch.setattr(os, moment, interrupted)
    mine = load_key("node", path).public

    assert others == [mine]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit.pem"
    path.write_text("half a k")

    with pytest.raises(SettingsInvalid, match="not an unencrypted private key"):
        load_key("node", path)

    assert path.read_text() == "half a k"


def test_a_key_that_another_program_made_is_the_same_one_here_and_the_other_way_round(tmp_path: Path) -> None:
    theirs, written = Ed25519PrivateKey.generate(), tmp_path / "theirs.pem"
    written.write_bytes(theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    raw = theirs.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert load_key("node", written).public == raw

    ours = load_key("node", tmp_path / "ours.pem")
    read = load_pem_private_key((tmp_path / "ours.pem").read_bytes(), None)
    assert isinstance(read, Ed25519PrivateKey)
    assert read.sign(b"text") == ours.sign(b"text")


def test_spaces_around_a_key_do_no_harm_and_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    ours = load_key("node", tmp_path / "ours.pem")
    (tmp_path / "copied.pem").write_bytes(b"A comment\n" + (tmp_path / "ours.pem").read_bytes() + b"\n\n")
    assert load_key("node", tmp_path / "copied.pem").public == ours.public

    other = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "other.pem").write_bytes(other)
    with pytest.raises(SettingsInvalid, match="not an Ed25519 key"):
        load_key("node", tmp_path / "other.pem")
