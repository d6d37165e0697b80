"""The report of an audit: what was found, what a person decided, and the same to read.

It is made of records and decisions alone, so that the same ones give the same report whenever it is written.
"""

from collections import Counter
from datetime import datetime

from msgspec import Struct
from records import Record
from spdx import KINDS

ALLOWED = ("approve", "edit", "respond")


class Decision(Struct):
    """What a person, or the lack of one, decided about one licence."""

    name: str
    version: str
    spdx: str
    kind: str
    verdict: str
    reason: str = ""
    by: str = ""


class Report(Struct):
    """`counts` by kind of licence; `refused` are the names that may not be used; `markdown` is all of it, to read."""

    audited: int
    counts: dict[str, int]
    licences: dict[str, int]
    decisions: list[Decision]
    refused: list[str]
    markdown: str


def write_report(records: list[Record], decisions: list[Decision], at: datetime) -> Report:
    counted = Counter(record.kind for record in records)
    counts = {kind: counted[kind] for kind in KINDS if counted[kind]}
    licences = dict(Counter(record.spdx for record in records).most_common())
    refused = [each.name for each in decisions if each.verdict not in ALLOWED]
    return Report(
        len(records), counts, licences, decisions, refused, _markdown(records, counts, decisions, refused, at)
    )


def _markdown(
    records: list[Record], counts: dict[str, int], decisions: list[Decision], refused: list[str], at: datetime
) -> str:
    lines = ["# Licence audit", "", f"{len(records)} audited, {at:%Y-%m-%d %H:%M} UTC.", ""]
    lines += ["| kind | count |", "| --- | --- |", *(f"| {kind} | {count} |" for kind, count in counts.items()), ""]
    if decisions:
        lines += ["## Decisions", "", "| name | licence | verdict | by | reason |", "| --- | --- | --- | --- | --- |"]
        lines += [
            _row(f"{each.name} {each.version}", each.spdx, each.verdict, each.by, each.reason) for each in decisions
        ]
        lines += ["", f"May not be used: {', '.join(refused)}." if refused else "All may be used.", ""]
    lines += ["## All", "", "| name | licence | kind | holders |", "| --- | --- | --- | --- |"]
    lines += [
        _row(f"{each.name} {each.version}", each.spdx, each.kind, ", ".join(each.holders[:3])) for each in records
    ]
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
