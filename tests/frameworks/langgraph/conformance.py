"""Runs the framework's own suite for checkpointers against ours, in the framework's environment, and tells the results.

What the suite reads never comes from the saver that wrote it: every read is of a new one, restored from the rows that
were kept, as an attempt after a crash is. It is a program of its own because the suite is installed there and not
beside the tests: `python conformance.py whole`, or `forgetful` for a planted fault.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate

from pilothouse.sdk.bridges.langgraph_saver import Saver


class Rows:
    """Where a saver keeps what it writes; a forgetful one loses what tasks wrote."""

    def __init__(self, forgets: bool) -> None:
        self.kept: list[bytes] = []
        self._forgets = forgets

    async def keep(self, mark: str, content: bytes) -> None:
        if not (self._forgets and b'"task"' in content):
            self.kept.append(content)

    def keep_blocking(self, mark: str, content: bytes) -> None:
        self.kept.append(content)


class Crashing(BaseCheckpointSaver[str]):
    """Restores its savers from their rows before each call."""

    def __init__(self, forgets: bool) -> None:
        super().__init__()
        self._forgets = forgets
        self._threads: dict[str, Rows] = {}

    def get_next_version(self, current: Any, channel: None) -> Any:
        return Saver(Rows(False), "").get_next_version(current, channel)

    def _saver(self, thread: str) -> Saver:
        rows = self._threads.setdefault(thread, Rows(self._forgets))
        saver = Saver(rows, thread)
        saver.restore([], list(rows.kept))
        return saver

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        saver = self._saver(config["configurable"]["thread_id"])
        return await saver.aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        await self._saver(config["configurable"]["thread_id"]).aput_writes(config, writes, task_id, task_path)

    async def aget_tuple(self, config: Any) -> Any:
        return self._saver(config["configurable"]["thread_id"]).get_tuple(config)

    async def alist(
        self, config: Any, *, filter: Any = None, before: Any = None, limit: int | None = None
    ) -> AsyncIterator[Any]:
        threads = list(self._threads) if config is None else [config["configurable"]["thread_id"]]
        for thread in threads:
            for one in self._saver(thread).list(config, filter=filter, before=before, limit=limit):
                yield one

    async def adelete_thread(self, thread_id: str) -> None:
        self._threads.pop(thread_id, None)


@checkpointer_test(name="whole")
async def whole() -> Any:
    yield Crashing(forgets=False)


@checkpointer_test(name="forgetful")
async def forgetful() -> Any:
    yield Crashing(forgets=True)


async def main(name: str) -> None:
    report = await validate({"whole": whole, "forgetful": forgetful}[name])
    results = {one: {"passed": found.passed, "failures": found.failures} for one, found in report.results.items()}
    json.dump({"passed": report.passed_all_base(), "results": results}, sys.stdout, default=str)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
