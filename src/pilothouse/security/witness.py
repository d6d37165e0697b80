"""Where signed checkpoints go: a file that is only ever appended to, and objects that are written once.

A checkpoint proves nothing to whoever can rewrite it along with the records, so the file belongs on another machine or
medium (a folder that is shipped away, a bucket whose objects are locked). Each line, and each object, is JSON in the
same form, durable before it counts.
"""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import msgspec

from pilothouse.domain.evidence import read_note
from pilothouse.ports.blobs import Blobs
from pilothouse.ports.evidence import Archive, Witness


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


class ObjectArchive(Archive):
    """Each checkpoint is an object of its own, `ORIGIN/TENANT/SIZE.json` (SIZE in 12 digits, so that names sort). Its
    content follows from the checkpoint alone: nodes that write the same one write the same object."""

    def __init__(self, objects: Blobs) -> None:
        self._objects = objects

    async def keep(self, note: str) -> bool:
        checkpoint, _ = read_note(note)
        tenant = checkpoint.origin.rpartition("/")[2]
        name = f"{quote(checkpoint.origin)}/{checkpoint.size:012}.json"
        content = msgspec.json.encode({"tenant": tenant, "checkpoint": note}) + b"\n"
        try:
            await self._objects.put(name, content)
        except FileExistsError:
            return await self._objects.get(name) == content
        return True
