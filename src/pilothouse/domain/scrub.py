"""What no line of a log may hold: shapes of keys and of what identifies a person, replaced by the name of their kind.

Known secrets are taken out by their value before a line leaves its host (`sdk.egress.secret`); this is for what nobody
declared. It looks for shapes, so it can miss some and take others for one: cards and account numbers are checked by
their own check digits to keep numbers that only look alike. One pass a kind, each linear in the line.
"""

import re
from collections.abc import Callable, Sequence

CARD_DIGITS = range(13, 20)

_KEY = re.compile(
    r"\b(?:(?:sk|pk|rk|phk|ghp|gho|ghu|ghs|ghr|glpat|github_pat|xox[abeoprs])[-_][A-Za-z0-9_-]{16,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}"
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})"
)
_CREDENTIALS = re.compile(
    r"(?i)(\b(?:bearer|basic)\s+|\b[\w-]{0,40}(?:password|passwd|secret|api[_-]?key|access[_-]?token)[\"']?\s?[:=]\s?[\"']?)"
    r"([^\s\"',;]{6,})"
)
_USER = re.compile(r"(://[^\s/:@]{1,200}:)[^\s/@]{1,200}@")
_EMAIL = re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}\b")
_CARD = re.compile(r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
# ITU-T E.164: at most 15 digits after the plus; fewer than 8 are taken for something else.
_PHONE = re.compile(r"(?<![\w+])\+\d(?:[ ().-]{0,2}\d){7,14}(?!\w)")


class Scrubber:
    """Takes out of a text what `kinds` name (see KINDS), and what `patterns` match.

    Raises ValueError for a pattern that is no regular expression."""

    def __init__(self, kinds: Sequence[str], patterns: Sequence[str] = ()) -> None:
        self._passes = [KINDS[kind] for kind in KINDS if kind in kinds]
        try:
            own = [re.compile(pattern) for pattern in patterns]
        except re.error as error:
            raise ValueError(f"{error.pattern!r} is no regular expression: {error}") from None
        self._passes += [lambda text, one=one: one.sub("[scrubbed]", text) for one in own]  # type: ignore[misc]

    def __call__(self, text: str) -> str:
        for scrub in self._passes:
            text = scrub(text)
        return text


def _scrub_secrets(text: str) -> str:
    text = _CREDENTIALS.sub(r"\1[secret]", _KEY.sub("[secret]", text))
    return _USER.sub(r"\1[secret]@", text) if "://" in text else text


def _scrub_emails(text: str) -> str:
    return _EMAIL.sub("[email]", text) if "@" in text else text


def _scrub_cards(text: str) -> str:
    return _CARD.sub(lambda found: "[card]" if _is_card(found[0]) else found[0], text)


def _scrub_ibans(text: str) -> str:
    return _IBAN.sub(lambda found: "[iban]" if _is_iban(found[0]) else found[0], text)


def _scrub_phones(text: str) -> str:
    return _PHONE.sub("[phone]", text) if "+" in text else text


def _is_card(text: str) -> bool:
    """ISO/IEC 7812: the Luhn check digit."""
    digits = [int(one) for one in text if one.isdigit()]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return len(digits) in CARD_DIGITS and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(text: str) -> bool:
    """ISO 13616: moved by four, with letters as numbers, it leaves 1 when divided by 97."""
    plain = text.replace(" ", "")
    return len(plain) <= 34 and int("".join(str(int(one, 36)) for one in plain[4:] + plain[:4])) % 97 == 1


KINDS: dict[str, Callable[[str], str]] = {
    "secret": _scrub_secrets,
    "email": _scrub_emails,
    "iban": _scrub_ibans,
    "card": _scrub_cards,
    "phone": _scrub_phones,
}
"""In the order in which they are looked for."""
