"""The key of the audit log is made once for a folder, however many nodes start in it at the same time."""

import os
from pathlib import Path

import pytest

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
