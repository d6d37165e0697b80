"""What a licence is: recognised by its text, and what it asks of whoever uses it.

Recognising compares words only (case, line breaks, quotes and comment signs do not count) and remembers the line of
each, so that what was found can be shown. It never guesses: a text whose sentences are not all there has no licence
here. The sentences are in `brain_texts`; which text to look at is left to whoever asks.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

from brain_texts import ADVERTISING, ENDORSEMENT, LIMITS, NOTICES, SENTENCES

UNKNOWN = "unknown"
KINDS = ("public-domain", "permissive", "weak-copyleft", "copyleft", "network-copyleft", UNKNOWN)
"""From the one that asks least to the one that asks most; unknown asks for a person."""

_KEEP = ("Keep the copyright notice and the licence text in copies.",)
_PATENT = (*_KEEP, "State the changes you made.", "Pass on the NOTICE file, where there is one.")
_FILES = (*_KEEP, "Give the source of the changed files under the same licence.")
_LIBRARY = (
    *_KEEP,
    "Give the source of the library and of your changes to it under the same licence.",
    "Let users replace the library in your work.",
)
_WHOLE = (*_KEEP, "Give the source of the whole work under the same licence to whoever gets a copy.")
_NETWORK = (*_WHOLE, "Offer the source also to users who reach the work over a network.")
_NAMES = (*_KEEP, "Do not use the names of the authors to promote your product.")

LICENCES: dict[str, tuple[str, tuple[str, ...]]] = {
    "MIT": ("permissive", _KEEP),
    "MIT-0": ("permissive", ()),
    "BSD-2-Clause": ("permissive", _KEEP),
    "BSD-3-Clause": ("permissive", _NAMES),
    "BSD-4-Clause": ("permissive", (*_NAMES, "Name the authors in advertising.")),
    "ISC": ("permissive", _KEEP),
    "0BSD": ("permissive", ()),
    "Apache-2.0": ("permissive", _PATENT),
    "PSF-2.0": ("permissive", (*_KEEP, "Summarise the changes you made.")),
    "Python-2.0": ("permissive", (*_KEEP, "Summarise the changes you made.")),
    "Zlib": ("permissive", ("Keep the notice in source copies.", "Mark changed versions as changed.")),
    "BSL-1.0": ("permissive", ("Keep the notice in source copies.",)),
    "Artistic-1.0-Perl": ("permissive", (*_KEEP, "Mark changed files as changed.")),
    "Unlicense": ("public-domain", ()),
    "CC0-1.0": ("public-domain", ()),
    "MPL-1.1": ("weak-copyleft", _FILES),
    "MPL-2.0": ("weak-copyleft", _FILES),
    "EPL-2.0": ("weak-copyleft", _FILES),
    **{
        f"LGPL-{version}-{extent}": ("weak-copyleft", _LIBRARY)
        for version in ("2.0", "2.1", "3.0")
        for extent in ("only", "or-later")
    },
    **{
        f"GPL-{version}-{extent}": ("copyleft", _WHOLE) for version in ("2.0", "3.0") for extent in ("only", "or-later")
    },
    **{f"AGPL-3.0-{extent}": ("network-copyleft", _NETWORK) for extent in ("only", "or-later")},
}

_NAMED: tuple[tuple[str, str], ...] = (
    (r"affero|\bagpl", "AGPL-3.0"),
    (r"(lesser|library) general public|\blgpl", "LGPL"),
    (r"general public|\bgpl", "GPL"),
    (r"mozilla public|\bmpl", "MPL-2.0"),
    (r"eclipse public.*2|\bepl-?2", "EPL-2.0"),
    (r"apache", "Apache-2.0"),
    (r"python software foundation|\bpsf", "PSF-2.0"),
    (r"\bunlicense", "Unlicense"),
    (r"\bcc0", "CC0-1.0"),
    (r"\bzlib", "Zlib"),
    (r"boost", "BSL-1.0"),
    (r"\bisc\b", "ISC"),
    (r"bsd.*2.clause|2.clause.*bsd|simplified bsd", "BSD-2-Clause"),
    (r"bsd.*3.clause|3.clause.*bsd|(new|modified) bsd", "BSD-3-Clause"),
    (r"\bmit\b|expat", "MIT"),
)
_WORD = re.compile(r"[^\W_]+")
# Whatever the length of the text, an expression is short; what is longer is no expression.
_EXPRESSION_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Found:
    """A licence in a text, and the line, counted from 1, on which each of its sentences begins."""

    spdx: str
    lines: tuple[int, ...]


class Words:
    """The words of a text, each with its line."""

    def __init__(self, text: str) -> None:
        starts: list[int] = []
        lines: list[int] = []
        parts: list[str] = []
        length = 0
        for number, line in enumerate(text.splitlines(), 1):
            words = _WORD.findall(line.lower())
            if words:
                joined = " ".join(words)
                starts.append(length)
                lines.append(number)
                parts.append(joined)
                length += len(joined) + 1
        self.text = f" {' '.join(parts)} "
        self._starts, self._lines = starts, lines

    def line_of(self, sentence: str) -> int | None:
        """Where a sentence begins, or None when it is not there."""
        at = self.text.find(f" {plain(sentence)} ")
        return None if at < 0 else self._lines[bisect_right(self._starts, at) - 1]


@lru_cache(maxsize=512)
def plain(sentence: str) -> str:
    """The words of a sentence, small and one space apart."""
    return " ".join(_WORD.findall(sentence.lower()))


def recognise(text: str) -> list[Found]:
    """The licences whose text is in this one, in the order in which they begin.

    The GNU licences speak of non-commercial copies themselves, so a limit says nothing about them.
    """
    words = Words(text)
    is_limited = any(words.line_of(limit) is not None for limit in LIMITS)
    found = [each for spdx in SENTENCES if (each := _whole(words, spdx)) is not None]
    if is_limited:
        return [each for each in found if "GPL-" in each.spdx]
    if not found:
        found = [
            Found(spdx, (line,))
            for spdx, sentences in NOTICES.items()
            for sentence in sentences
            if (line := words.line_of(sentence)) is not None
        ]
    names = {each.spdx for each in found}
    # The Python licence has the licences of its ancestors and of its documents with it.
    if "PSF-2.0" in names:
        found = [each for each in found if each.spdx in ("PSF-2.0", "Apache-2.0", "MIT")]
    return sorted(found, key=lambda each: each.lines[0])


def _whole(words: Words, spdx: str) -> Found | None:
    lines = []
    for sentence in SENTENCES[spdx]:
        line = next((at for each in _spellings(sentence) if (at := words.line_of(each)) is not None), None)
        if line is None:
            return None
        lines.append(line)
    if spdx == "BSD-2-Clause":
        endorsement = next((line for each in ENDORSEMENT if (line := words.line_of(each)) is not None), None)
        advertising = words.line_of(ADVERTISING)
        if endorsement is not None:
            spdx = "BSD-3-Clause" if advertising is None else "BSD-4-Clause"
            lines.append(endorsement)
    return Found(spdx, tuple(lines))


@lru_cache(maxsize=512)
def _spellings(sentence: str) -> tuple[str, ...]:
    """The ways in which copies of one licence write one sentence without changing it."""
    said = plain(sentence)
    others = [
        said.replace("and or distribute", "and distribute"),
        said.replace("the author disclaims", "the authors disclaim"),
        said.replace("the author disclaims", "isc disclaims"),
        said.replace("version 2 0 january", "version 2 0 of january"),
        said.replace("v 2 0", "version 2 0"),
        said.replace("worldwide", "world wide"),
    ]
    return (said, *dict.fromkeys(each for each in others if each != said))


def named(words: str) -> str:
    """The licence that a name, a classifier or a `License` header means; empty when it is not clear which."""
    said = words.strip()
    if said in LICENCES:
        return said
    low = said.lower()
    if len(low) > _EXPRESSION_LIMIT:
        return ""
    by_case = next((spdx for spdx in LICENCES if spdx.lower() == low), "")
    return by_case or next((_version(spdx, low) for pattern, spdx in _NAMED if re.search(pattern, low)), "")


def _version(spdx: str, low: str) -> str:
    """The GNU licences have versions, and a word on later ones."""
    if spdx not in ("GPL", "LGPL", "AGPL-3.0"):
        return spdx
    extent = "or-later" if re.search(r"later|\+", low) else "only"
    if spdx == "AGPL-3.0":
        return f"{spdx}-{extent}"
    version = next((each for each in ("2.1", "3", "2") if re.search(rf"(?<![\d.])v?{re.escape(each)}", low)), "")
    if not version:
        return ""
    chosen = f"{spdx}-{version if '.' in version else version + '.0'}-{extent}"
    return chosen if chosen in LICENCES else ""


def ids_of(expression: str) -> list[str]:
    """The licences that an SPDX expression names."""
    words = re.sub(r"(?i)\bWITH\s+\S+", " ", expression).replace("(", " ").replace(")", " ").split()
    return list(dict.fromkeys(word for word in words if word.upper() not in ("AND", "OR")))


def kind_of(expression: str) -> str:
    """What an expression asks: of the parts joined by AND the strictest, of those joined by OR the mildest.

    An expression with brackets is taken by its strictest part: to ask a person once too often costs little.
    """
    if not expression or len(expression) > _EXPRESSION_LIMIT:
        return UNKNOWN
    if "(" in expression:
        return _strictest(ids_of(expression))
    return min((_strictest(ids_of(choice)) for choice in re.split(r"(?i)\bOR\b", expression)), key=KINDS.index)


def _strictest(ids: list[str]) -> str:
    return max((LICENCES[spdx][0] if spdx in LICENCES else UNKNOWN for spdx in ids), key=KINDS.index, default=UNKNOWN)


def obligations_of(expression: str) -> list[str]:
    """What the licences of an expression ask for, each once."""
    asked = (each for spdx in ids_of(expression) if spdx in LICENCES for each in LICENCES[spdx][1])
    return list(dict.fromkeys(asked))
