"""The JSON that verbs put into events, errors and answers: one encoder, and the shapes that are written often.

What is written a hundred times a second has a Struct of its own, so that its keys are spelled once and in one
order. Payloads of users pass through as they came; what callers see of them is the matter of `wire`.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from pilothouse.domain.journal import StepRow
from pilothouse.errors import PilothouseError

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class _StepStarted(Struct):
    key: str
    kind: str
    name: str


class _StepFinished(Struct, omit_defaults=True):
    key: str
    kind: str
    name: str
    status: str
    tries: int
    error: msgspec.Raw | None = None


def step_started(row: StepRow) -> bytes:
    return encode(_StepStarted(row.key, row.kind, row.name))


def step_finished(row: StepRow) -> bytes:
    error = msgspec.Raw(row.error) if row.error is not None else None
    return encode(_StepFinished(row.key, row.kind, row.name, row.status, row.tries, error))


def step_lines(row: StepRow) -> bytes:
    """The events `step.started` and `step.finished` of a step that is over, as two lines of a segment."""
    began = encode(_StepStarted(row.key, row.kind, row.name))
    error = b"" if row.error is None else b',"error":%b' % row.error
    return b'step.started %b\nstep.finished %b,"status":"%b","tries":%d%b}\n' % (
        began, began[:-1], row.status.encode(), row.tries, error,
    )  # fmt: skip


def error_json(error: PilothouseError) -> bytes:
    """The `error` of a run or a step, as the contract has it."""
    return encode({"code": error.code, "message": error.message, "hint": error.hint})


def raw(payload: bytes | None) -> Any:
    """JSON bytes as a value inside something that is encoded."""
    return None if payload is None else msgspec.Raw(payload)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(4)
def _to_the_second(second: int) -> str:
    return f"{EPOCH + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"


def instant(at: int | None) -> str | None:
    """Microseconds since 1970 as RFC 3339. The calendar is asked once a second."""
    return None if at is None else f"{_to_the_second(at // 1_000_000)}.{at % 1_000_000:06d}Z"
