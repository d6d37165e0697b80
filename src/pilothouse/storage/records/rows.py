"""From rows to nouns: columns are fields, in the order in which the class declares them.

A payload that is kept aside is put back here, so that nobody above knows of marks. Steps are packed whole.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import msgpack

from pilothouse.domain.delivery import Delivery
from pilothouse.domain.journal import StepRow
from pilothouse.domain.review import Review
from pilothouse.domain.run import Run
from pilothouse.domain.session import Session
from pilothouse.storage.records.payload import is_mark, unspill
from pilothouse.storage.records.statements import Database

_RUN = Run.__struct_fields__
_SESSION = Session.__struct_fields__
_REVIEW = Review.__struct_fields__
_DELIVERY = Delivery.__struct_fields__

_RUN_PAYLOADS = tuple(_RUN.index(name) for name in ("input", "output", "error", "metadata", "usage", "overrides"))
_STEPS = msgpack.Decoder(StepRow)
_SESSION_STATE = (_SESSION.index("state"),)
_DELIVERY_BODY = (_DELIVERY.index("body"),)
_REVIEW_PAYLOADS = tuple(_REVIEW.index(name) for name in ("details", "answer", "overrides"))


def run_of(connection: Database, row: Sequence[Any]) -> Run:
    run = Run(**dict(zip(_RUN, whole(connection, row[0], row, _RUN_PAYLOADS), strict=True)))
    run.ready = bool(run.ready)
    run.rollback = bool(run.rollback)
    return run


def step_of(connection: Database, tenant: str, packed: bytes) -> StepRow:
    row = _STEPS.decode(packed)
    if is_mark(row.input) or is_mark(row.output) or is_mark(row.error) or is_mark(row.usage):
        row.input = unspill(connection, tenant, row.input)
        row.output = unspill(connection, tenant, row.output)
        row.error = unspill(connection, tenant, row.error)
        row.usage = unspill(connection, tenant, row.usage)
    return row


def session_of(connection: Database, row: Sequence[Any]) -> Session:
    return Session(**dict(zip(_SESSION, whole(connection, row[0], row, _SESSION_STATE), strict=True)))


def review_of(connection: Database, row: Sequence[Any]) -> Review:
    return Review(**dict(zip(_REVIEW, whole(connection, row[0], row, _REVIEW_PAYLOADS), strict=True)))


def delivery_of(connection: Database, row: Sequence[Any]) -> Delivery:
    return Delivery(**dict(zip(_DELIVERY, whole(connection, row[0], row, _DELIVERY_BODY), strict=True)))


def whole(connection: Database, tenant: str, row: Sequence[Any], columns: tuple[int, ...]) -> Sequence[Any]:
    """The row with the payloads that are aside put back."""
    for column in columns:
        value = row[column]
        if value is not None and value[:1] == b"\x00":
            row = (*row[:column], unspill(connection, tenant, value), *row[column + 1 :])
    return row
