"""How failures are written down and told again: in a step's row, and as the end of an attempt.

A step's failure is kept as what it was (type and text), and raised as `StepFailed` both when it happens and on every
replay, so that an agent that catches it takes the same way each time.
"""

import os
import sys
import traceback
from math import isfinite
from typing import Any

import msgspec
from msgspec import Struct

from pilothouse.domain.journal import StepRow
from pilothouse.errors import (
    ActionDenied,
    AgentFailed,
    BlockedLoop,
    BudgetExceeded,
    CallFailed,
    EgressDenied,
    JournalDiverged,
    NotKept,
    PilothouseError,
    SecretRefused,
    SignalTimeout,
    StepFailed,
    StepTimeout,
    UnknownOutcome,
)
from pilothouse.sdk.schema import type_name

TEXT_LIMIT = 8 * 1024
TRACEBACK_LIMIT = 32 * 1024
ATTRIBUTES_LIMIT = 20
ATTRIBUTE_LIMIT = 1024
CAUSES_LIMIT = 20
RECORDED_MARK = "pilothouse_step"
"""The attribute of an exception that was made again from a row: the key of its step."""

OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep

RECORDED = (StepFailed, UnknownOutcome, SignalTimeout, CallFailed)
"""What a journal keeps: another attempt with the same journal raises it again."""


class Failure(Struct, omit_defaults=True):
    """An error in a row or in a frame. `kind` and `text` are of what the user's function raised."""

    code: str = "step_failed"
    message: str = ""
    hint: str = ""
    kind: str = ""
    text: str = ""
    attributes: dict[str, str | int | float | bool | None] = {}
    """The plain ones among what the exception carried, so that it can be made again."""


_read = msgspec.json.Decoder(Failure).decode
_encode = msgspec.json.Encoder().encode

STEP_ERRORS: dict[str, type[PilothouseError]] = {
    "step_timeout": StepTimeout,
    "action_denied": ActionDenied,
    "unknown_outcome": UnknownOutcome,
    "signal_timeout": SignalTimeout,
}


def speakable(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates, as in names of files that are not UTF-8, are written as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def text_of(error: BaseException) -> str:
    """What an error says, a group what its members say; an error that cannot even say it has no text."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(f"{type(one).__name__}: {text_of(one)}" for one in error.exceptions)[:TEXT_LIMIT]
    try:
        return speakable(str(error)[:TEXT_LIMIT])
    except Exception:
        return ""


def the_error(error: BaseException) -> BaseException:
    """The error itself, or the only one in a group, as a TaskGroup wraps it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def write_failure(error: PilothouseError, attributes: dict[str, Any] | None = None) -> bytes:
    kind, text = str(error.facts.get("kind", "")), speakable(str(error.facts.get("text", "")))
    failure = Failure(error.code, speakable(error.message), speakable(error.hint), speakable(kind), text)
    failure.attributes = attributes or {}
    return _encode(failure)


def plain_attributes(error: BaseException) -> dict[str, str | int | float | bool | None]:
    """What of an exception is text, a number or a truth, bounded."""
    found: dict[str, Any] = {}
    for name, value in getattr(error, "__dict__", {}).items():
        if name.startswith("_") or not isinstance(value, str | int | float | bool | None):
            continue
        if isinstance(value, float) and not isfinite(value):
            continue
        found[name] = speakable(value[:ATTRIBUTE_LIMIT]) if isinstance(value, str) else value
        if len(found) >= ATTRIBUTES_LIMIT:
            break
    return found


def original_in(row: StepRow) -> BaseException:
    """The exception that a failed row stands for, as the framework that handles it knows it: of its own type, with its
    text and its plain attributes. `StepFailed` when it cannot be made again, as from another version of a library. The
    first run and every replay get the same."""
    told = failure_in(row)
    kept = _read(row.error or b"{}")
    kind = _exception_named(kept.kind) if kept.code == StepFailed.code else None
    if kind is None:
        return told
    try:
        error = kind.__new__(kind, kept.text)
        error.args = (kept.text,)
        error.__dict__.update(kept.attributes)
        str(error)
        error.__cause__ = told
        error.__dict__[RECORDED_MARK] = row.key
    except Exception:
        return told
    return error


def _exception_named(name: str) -> type[BaseException] | None:
    """An exception type by its full name, among what is imported."""
    module_name, _, path = name.rpartition(".")
    module = sys.modules.get(module_name or "builtins")
    found = getattr(module, path, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def step_failure(key: str, error: BaseException) -> StepFailed:
    """What a step raises when its function raised `error`."""
    if isinstance(error, StepTimeout) and error.step == key:
        return error
    return StepFailed(step=key, kind=type_name(type(error)), text=text_of(error))


def failure_in(row: StepRow) -> PilothouseError:
    """The error that a failed row stands for: the same each time it is read."""
    kept = _read(row.error or b"{}")
    kind = STEP_ERRORS.get(kept.code, StepFailed)
    return kind(
        kept.message or f"The step {row.key!r} failed.",
        hint=kept.hint or None,
        step=row.key,
        name=row.name,
        kind=kept.kind or kept.code,
        text=kept.text or kept.message,
        seconds="",
    )


def call_failure_in(row: StepRow, run: str) -> PilothouseError:
    """The error of a `call` whose run did not succeed, or that was not allowed. The node may have written that run's
    own error, which has no `kind`."""
    kept = _read(row.error or b"{}")
    if kept.code == ActionDenied.code and kept.kind:
        return failure_in(row)
    if kept.code == CallFailed.code:
        return CallFailed(kept.message, hint=kept.hint or None, agent=row.name, run=run, text=kept.text)
    status = "cancelled" if kept.code == "cancelled" else "failed"
    return CallFailed(agent=row.name, status=status, text=kept.message or kept.code, run=run)


def kinds_of(error: BaseException) -> list[str]:
    """The names by which `Retry.on` may mean this error: of its type and those it derives from, with and without the
    module; for a failed step also those of what its function raised."""
    names: list[str] = []
    for kind in type(error).__mro__:
        if kind in (object, BaseException):
            continue
        names.append(kind.__qualname__)
        if kind.__module__ != "builtins":
            names.append(type_name(kind))
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            names += [name for name in kinds_of(one) if name not in names]
    if isinstance(error, StepFailed) and error.kind:
        names += {error.kind, error.kind.rpartition(".")[2]} - set(names)
    return names


def told(error: BaseException) -> PilothouseError:
    """An error of an agent, as callers may see it. What the border refused is told as such, although clients wrap it
    in errors of their own that say less."""
    error = the_error(error)
    if isinstance(error, PilothouseError):
        return error
    refused = _refused_at_border(error)
    if refused is not None:
        return refused
    return AgentFailed(kind=type_name(type(error)), text=text_of(error))


def _refused_at_border(error: BaseException) -> PilothouseError | None:
    seen: BaseException | None = error
    for _ in range(CAUSES_LIMIT):
        if seen is None:
            return None
        if isinstance(seen, EgressDenied | SecretRefused | BlockedLoop):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def may_help(error: BaseException, kept: bool) -> bool:
    """Whether another attempt could end otherwise."""
    error = the_error(error)
    if isinstance(error, JournalDiverged | NotKept | BudgetExceeded):
        return False
    return not (kept and (isinstance(error, RECORDED) or RECORDED_MARK in getattr(error, "__dict__", {})))


def own_traceback(error: BaseException) -> str:
    """The traceback without the frames of the sdk: what the user wrote."""
    shown = traceback.TracebackException.from_exception(error)
    _drop_own_frames(shown)
    return speakable("".join(shown.format())[-TRACEBACK_LIMIT:])


def _drop_own_frames(shown: traceback.TracebackException | None, depth: int = 0) -> None:
    if shown is None or depth > 50:
        return
    kept = [frame for frame in shown.stack if not frame.filename.startswith(OWN_FOLDER)]
    shown.stack = traceback.StackSummary.from_list(kept)
    _drop_own_frames(shown.__cause__, depth + 1)
    _drop_own_frames(shown.__context__, depth + 1)
    for inner in shown.exceptions or ():
        _drop_own_frames(inner, depth + 1)


def end_error(error: BaseException) -> bytes:
    """The error of a run, as its caller sees it."""
    shown = told(error)
    return _encode({"code": shown.code, "message": speakable(shown.message), "hint": speakable(shown.hint)})
