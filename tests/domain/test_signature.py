"""Signatures after Standard Webhooks, against the example of its own libraries and every way to get one wrong."""

import pytest

from pilothouse.domain.signature import read_secret, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_example_of_the_specification_is_signed_as_its_libraries_do():
    assert sign((read_secret(SECRET),), MESSAGE, AT, BODY) == SIGNED


def test_while_a_secret_is_replaced_both_sign_and_either_is_taken():
    old, new = read_secret(SECRET), b"n" * 24
    both = sign((new, old), MESSAGE, AT, BODY)
    assert both.split(" ")[1] == SIGNED
    for known in ((old,), (new,), (old, new)):
        assert verify(known, MESSAGE, str(AT), both, BODY, AT) is None


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"body": BODY + b" "}, "signature"),
        ({"message": "msg_other"}, "signature"),
        ({"signatures": "v1a," + SIGNED[3:]}, "signature"),
        ({"signatures": ""}, "signature"),
        ({"signatures": "v1,"}, "signature"),
        ({"signatures": "v1,ÄÖ"}, "signature"),
        ({"keys": (b"another key of some length",)}, "signature"),
        ({"at": str(AT + 1)}, "signature"),
        ({"now": AT + 301}, "timestamp"),
        ({"now": AT - 301}, "timestamp"),
        ({"at": "soon"}, "timestamp"),
        ({"at": "٣"}, "timestamp"),
        ({"at": "9" * 40}, "timestamp"),
    ],
)
def test_a_message_that_is_not_what_was_signed_is_refused(change, wrong):
    given = {"keys": (read_secret(SECRET),), "message": MESSAGE, "at": str(AT), "signatures": SIGNED, "body": BODY}
    assert verify(**(given | {"now": AT})) is None
    assert wrong in verify(**({**given, "now": AT} | change))


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%%%%%%", "whsec_ä"]
)
def test_a_secret_that_cannot_be_one_is_refused_and_not_repeated(text):
    with pytest.raises(ValueError) as refused:
        read_secret(text)
    assert "c2hvcnQ" not in str(refused.value)
