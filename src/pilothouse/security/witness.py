"""Where signed checkpoints go: a file that is only ever appended to.

A checkpoint proves nothing to whoever can rewrite it along with the records, so the file belongs on another machine or
medium (a mounted write-once bucket, a folder that is shipped away). Each line is JSON, synced before it counts.
"""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pilothouse.ports.evidence import Witness


class FileWitness(Witness):
    def __init__(self, path: Path) -> None:
        self._path = path

    async def publish(self, tenant: str, note: str) -> None:
        await asyncio.to_thread(self._append, tenant, note)

    def _append(self, tenant: str, note: str) -> None:
        at = datetime.now(UTC).isoformat()
        line = msgspec.json.encode({"at": at, "tenant": tenant, "checkpoint": note}) + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def file_witnesses(folder: Path, name: str) -> tuple[Witness, ...]:
    """The witness that a setting names; an empty name: none."""
    return (FileWitness(folder / name),) if name else ()
