"""The log of a node: one line an entry, for people or as JSON, to whatever `say` writes to.

Entries name what happened and to which run; nothing that an agent was given or gave is in them, but for what user code
printed itself. A log that cannot be written (its disk is full, its reader is gone) loses entries and stops nobody: who
logs is in the middle of keeping runs alive.
"""

import contextlib
import json
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from pilothouse.domain.run import Run
from pilothouse.domain.trace import context_of

LEVELS = ("debug", "info", "warning", "error")
ENDS = {"succeeded": "debug", "cancelled": "info", "failed": "warning"}


class _Error(Struct):
    code: str = "_OTHER"


_read_error = msgspec.json.Decoder(_Error).decode


def code_of(error: bytes) -> str:
    """The code of the error of a run or step; `_OTHER`, as OpenTelemetry says it, where a host wrote something else."""
    try:
        return _read_error(error).code
    except msgspec.MsgspecError:
        return _Error().code


class Log:
    def __init__(self, say: Callable[[str], None], level: str = "info", form: str = "text") -> None:
        self._say, self._floor, self._is_json = say, LEVELS.index(level), form == "json"
        self.is_traced = False

    def write(self, level: str, text: str, **facts: object) -> None:
        if LEVELS.index(level) < self._floor:
            return
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._is_json:
            line = json.dumps({"at": at, "level": level, "message": text, **facts})
        else:
            line = f"{at} {level:<7} {text}" + "".join(f" {name}={value}" for name, value in facts.items())
        with contextlib.suppress(OSError):
            self._say(line)

    def warn(self, text: str) -> None:
        self.write("warning", text)

    def host(self, stream: str, text: str, run: Run | None, traceparent: str | None) -> None:
        """What a host or user code printed, in which run, and in which trace when there are traces."""
        level = {"stdout": "info", "stderr": "info", "environment": "info"}.get(stream, "warning")
        if run is None:
            self.write(level, text, stream=stream)
            return
        self.write(level, text, stream=stream, **self._about(run, traceparent))

    def run_ended(self, run: Run, traceparent: str | None) -> None:
        """That it ended and how: what went well is told at `debug` only, so that it costs nothing by default."""
        level = ENDS.get(run.status, "warning")
        if LEVELS.index(level) < self._floor:
            return
        facts = self._about(run, traceparent)
        if run.error is not None:
            facts["error"] = code_of(run.error)
        self.write(level, f"the run {run.status}" if run.status != "cancelled" else "the run was cancelled", **facts)

    def _about(self, run: Run, traceparent: str | None) -> dict[str, object]:
        """Which run, and in which trace when there are traces."""
        about: dict[str, object] = {"agent": run.agent, "run": run.id, "tenant": run.tenant}
        if run.session is not None:
            about["session"] = run.session
        if self.is_traced:
            about["trace"] = f"{context_of(run.id, traceparent).trace:032x}"
        return about
