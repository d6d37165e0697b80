"""Rules that read a document: headers, classifiers, licence texts, copyright lines, each with the line it stands on.

This is what the local model server answers from, and the quick look of the desk over many distributions. Nothing in it
knows a name of a project; a document that nobody prepared is read like any other. A declared expression goes before the
texts, the texts before names in other headers, and what none of them says stays unknown.
"""

import re
from dataclasses import dataclass, field

from spdx import UNKNOWN, named, recognise

LINE_LIMIT = 300
HOLDERS_LIMIT = 20
EVIDENCE_LIMIT = 12
_HEADER = re.compile(r"^([A-Za-z][A-Za-z0-9-]*):[ \t]?(.*)$")
_COPYRIGHT = re.compile(
    r"^[\s#*/;%.\"'>-]*(?:portions\s+)?(?:copyright\b(?:\s*(?:\(c\)|©|&copy;))*|\(c\)|©)[\s:,]*(.*)$", re.IGNORECASE
)
_YEARS = re.compile(
    r"^(?:\(c\)|[\s,;&\[\]-]|–|(?:to\s+)?present\b|(?:19|20)\d[\dx]\b|and\b(?=\s*(?:19|20)\d\d))*", re.IGNORECASE
)
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_TEMPLATE = re.compile(r"[<\[{](?:yyyy|year|name|fullname|owner|copyright)", re.IGNORECASE)
_TAIL = re.compile(
    r"[\s,;]*(?:all rights reserved\.?|<[^>]*>|\([^)]*@[^)]*\)|\(?https?://\S+|\])[\s.]*$", re.IGNORECASE
)
# The authors of a licence's text are not the holders of what is under it.
_OF_THE_TEXT = re.compile(r"free software foundation|everyone is permitted to copy", re.IGNORECASE)


@dataclass(slots=True)
class Header:
    name: str
    value: str
    line: int


@dataclass(slots=True)
class Reading:
    """What a document says. `evidence` has (line, text) pairs, lines counted from 1."""

    name: str = ""
    version: str = ""
    spdx: str = UNKNOWN
    holders: list[str] = field(default_factory=list)
    evidence: list[tuple[int, str]] = field(default_factory=list)


def read(text: str) -> Reading:
    """What a METADATA or licence text says."""
    lines = text.splitlines()
    headers = headers_of(lines)
    reading = Reading(_first(headers, "name"), _first(headers, "version"))
    reading.spdx, shown = _expression(text, headers)
    holders = _holders(lines, "GPL-" in reading.spdx)
    reading.holders = list(dict.fromkeys(name for _, name in holders))[:HOLDERS_LIMIT]
    at = sorted({*shown, *(line for line, _ in holders[:3])})[:EVIDENCE_LIMIT]
    reading.evidence = [(line, lines[line - 1].strip()[:LINE_LIMIT]) for line in at]
    return reading


def headers_of(lines: list[str]) -> list[Header]:
    """The headers at the top, when the text begins with some; a value that goes on is one value."""
    found: list[Header] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            if found:
                break
            continue
        match = _HEADER.match(line)
        if match:
            found.append(Header(match[1].lower(), match[2].strip(), number))
        elif found and line[0] in " \t":
            found[-1].value += f"\n{line.strip()}"
        else:
            break
    return found if any(header.name in ("metadata-version", "name") for header in found) else []


def _first(headers: list[Header], name: str) -> str:
    return next((header.value for header in headers if header.name == name), "")


def _expression(text: str, headers: list[Header]) -> tuple[str, list[int]]:
    """The licence as an SPDX expression, and the lines that say so."""
    for header in headers:
        if header.name == "license-expression" and header.value and header.value.upper() != "UNKNOWN":
            return header.value, [header.line]
    declared = [
        (spdx, header.line)
        for header in headers
        if header.name == "license" or (header.name == "classifier" and header.value.startswith("License ::"))
        if (spdx := named(header.value))
    ]
    found = recognise(text)
    if found:
        names = list(dict.fromkeys(_extent(each.spdx, declared) for each in found))
        lines = [each.lines[0] for each in found] + [line for spdx, line in declared if spdx in names]
        return (" OR " if _is_choice(text) else " AND ").join(names), lines
    if declared:
        # A general word, as in "BSD", stands behind an exact one.
        return declared[0][0], [line for spdx, line in declared if spdx == declared[0][0]]
    return UNKNOWN, [header.line for header in headers if header.name == "license" and header.value][:1]


def _extent(spdx: str, declared: list[tuple[str, int]]) -> str:
    """The text of a GNU licence is the same for this version only and for later ones; who declares it says which."""
    later = spdx.replace("-only", "-or-later")
    return later if later != spdx and any(name == later for name, _ in declared) else spdx


def _is_choice(text: str) -> bool:
    return bool(
        re.search(r"(?i)\b(dual[- ]licen[cs]ed|under the terms of either|at your (option|choice),? either)", text)
    )


def _holders(lines: list[str], is_gnu: bool) -> list[tuple[int, str]]:
    """Who holds the rights, by the lines that say "Copyright" and a year or a sign."""
    found = []
    for number, line in enumerate(lines, 1):
        match = _COPYRIGHT.match(line[:LINE_LIMIT])
        if match is None or _TEMPLATE.search(match[1]) or (is_gnu and _OF_THE_TEXT.search(line)):
            continue
        is_word = "copyright" in line[: match.start(1)].lower()
        has_sign = re.search(r"(?i)\(c\)|©|&copy;", line) is not None
        # "(c)" alone is also how a list goes on after "(b)".
        if not (_YEAR.search(line) or (is_word and has_sign)):
            continue
        name = _YEARS.sub("", _LINK.sub(r"\1", match[1]), count=1)
        for _ in range(3):
            name = _TAIL.sub("", name)
        name = re.sub(r"^by\s+", "", name.strip(" .,;*/"), flags=re.IGNORECASE)
        if any(letter.isalpha() for letter in name):
            found.append((number, name))
    return found
