"""Errors and events are documented: a code that a caller can meet, or an event that a reader can get, has its row.

Excluded: settings, commands and exit codes (`test_reference`).
"""

import re
from pathlib import Path

from pilothouse.communication.http.problem import STATUS
from pilothouse.domain.event import EVENT_TYPES

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def first_cells(page: str) -> dict[str, list[str]]:
    """The rows of the tables of a page: first cell to all cells."""
    rows = [
        [cell.strip() for cell in row.strip("|").split(" | ")]
        for row in (REFERENCE / page).read_text().splitlines()
        if row.startswith("| `")
    ]
    return {row[0].strip("| `"): row for row in rows}


def test_every_error_code_is_documented_with_its_status() -> None:
    documented = {code: int(re.sub(r"\D", "", cells[1])) for code, cells in first_cells("errors.md").items()}
    assert documented == STATUS


def test_every_event_type_is_documented() -> None:
    assert set(first_cells("events.md")) == set(EVENT_TYPES)
