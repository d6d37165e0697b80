"""Peers beside us: what cannot be measured is told with its reason, and never as a figure."""

import dataclasses

import pytest

from benchmarks.peers import peer as peers
from benchmarks.peers.__main__ import markdown, reason_of
from benchmarks.peers.peer import PEERS, PROGRAMS, Skipped


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_is_skipped_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path)
    missing = dataclasses.replace(PEERS[0], name="x", package="x", packages=(str(tmp_path / "nothing"),))
    with pytest.raises(Skipped, match="cannot be installed"):
        missing.install()


def test_a_table_tells_what_was_skipped_and_where_a_peer_is_better():
    found = [
        {"peer": "a", "skipped": "does not serve: no port"},
        {"peer": "b", "version": "1", "work": "W1", "callers": 32, "per_second": 200.0, "ours": 100.0,
         "ratio": 0.5, "p50_ms": None, "refused": 0.25, "keeps": "nothing"},
    ]  # fmt: skip
    text = markdown(found, 2.0)
    assert "skipped: does not serve: no port" in text
    assert "| 200 " in text
    assert "| 0.50 " in text
    assert "| 25% " in text


def test_every_peer_has_its_program_and_a_workload_of_ours_to_be_held_against():
    assert {one.against for one in PEERS} <= {"W1", "W2", "W3", "journal"}
    assert all((PROGRAMS / one.program).exists() and (one.script is not None or one.program) for one in PEERS)


def test_the_reason_is_the_line_that_names_an_error():
    said = "\n".join(["starting", "ImportError: no module x", "  bye"])
    assert reason_of(said, "") == "ImportError: no module x"
    assert reason_of("", "refused") == "refused"
