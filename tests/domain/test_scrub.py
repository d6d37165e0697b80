"""Lines of a log lose what looks like a key or identifies a person, and keep what only looks alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.scrub import KINDS, Scrubber

ALL = Scrubber(tuple(KINDS))
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("mail ann.lee+x@shop.example.org now", "mail [email] now"),
        ("card 4111 1111 1111 1111.", "card [card]."),
        ("card 5500-0000-0000-0004", "card [card]"),
        ("iban GB82 WEST 1234 5698 7654 32 paid", "iban [iban] paid"),
        ("iban DE89370400440532013000", "iban [iban]"),
        ("call +49 (30) 901820-11 today", "call [phone] today"),
        ("key sk-proj-abcdefghijklmnopqrstuvwx", "key [secret]"),
        ("key ghp_abcdefghijklmnopqrstuvwxyz0123456789", "key [secret]"),
        ("key AKIAIOSFODNN7EXAMPLE", "key [secret]"),
        ("Authorization: Bearer abcdefghijklmnop.qr", "Authorization: Bearer [secret]"),
        (f"sent {JWT}", "sent [secret]"),
        ('{"db_password": "hunter2000"}', '{"db_password": "[secret]"}'),
        ("API_KEY=0123456789abcdef", "API_KEY=[secret]"),
        ("postgresql://app:s3cr3tpw@db/app", "postgresql://app:[secret]@db/app"),
    ],
)
def test_what_tells_a_key_or_a_person_is_replaced_by_its_kind(line: str, kept: str) -> None:
    assert ALL(line) == kept


@pytest.mark.parametrize(
    "line",
    [
        "run_01J9ZK3M4N5P6Q7R8S9T0V1W2X ended",
        "card 4111 1111 1111 1112",
        "at 1732800000000000 us, took 4500000000000001",
        "GB00WEST12345698765432",
        "max_tokens=4096 total_tokens: 1200",
        "2026-11-28T14:50:53.123456Z +02:00",
        "diff +1234 -567, 10 + 20",
        "import pilothouse.domain.scrub",
        "user@localhost",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "http://127.0.0.1:8080/v1/runs",
    ],
)
def test_what_only_looks_alike_stays(line: str) -> None:
    assert ALL(line) == line


def test_only_the_kinds_that_are_named_are_looked_for() -> None:
    assert Scrubber(("card",))("ann@shop.example 4111111111111111") == "ann@shop.example [card]"
    assert Scrubber(())("ann@shop.example") == "ann@shop.example"


def test_patterns_of_the_operator_come_on_top() -> None:
    assert Scrubber((), (r"\bMRN-\d+", "K[0-9]{4}"))("MRN-123 and K1234") == "[scrubbed] and [scrubbed]"


def test_a_pattern_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"'\(' is no regular expression"):
        Scrubber((), ("(",))


@given(st.text(alphabet="aA1 @.+-:/_=[]é", max_size=300))
def test_scrubbing_twice_is_scrubbing_once(text: str) -> None:
    once = ALL(text)
    assert ALL(once) == once
