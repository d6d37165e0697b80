"""Blobs in a folder, or in a bucket of S3, Google Cloud Storage or Azure, through `obstore`.

Create-only by the store itself (`If-None-Match`, or a link in a folder). Credentials come from where each cloud's own
tools have them; an endpoint of one's own (MinIO, Ceph) is given by the variables of that cloud, as AWS_ENDPOINT_URL.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from pilothouse.errors import RecordsUnavailable, SettingsInvalid
from pilothouse.ports.blobs import Blobs

WITHIN = timedelta(seconds=30)
CONNECT_WITHIN = timedelta(seconds=5)
TRIES_AGAIN = 2
TRIES_FOR = timedelta(seconds=10)
"""A read of a run waits for them: the store's own patience of minutes would be too long."""
PAGE = 1000


class ObjectBlobs(Blobs):
    """`url`: `file:///folder` (made when it is not there), `s3://bucket/prefix`, `gs://`, `az://`; `setting`: where it
    is said, for the error."""

    def __init__(self, url: str, setting: str = "blobs.url") -> None:
        try:
            self._store: Any
            if url.startswith("file://"):
                folder = Path(url.removeprefix("file://"))
                folder.mkdir(parents=True, exist_ok=True)
                self._store = LocalStore(folder)
            else:
                self._store = from_url(
                    url,
                    client_options={"timeout": WITHIN, "connect_timeout": CONNECT_WITHIN, "allow_http": True},
                    retry_config={"max_retries": TRIES_AGAIN, "retry_timeout": TRIES_FOR},
                )
        except (BaseError, OSError, ValueError) as error:
            raise SettingsInvalid(reason=f"{setting}: {error}") from error

    async def put(self, name: str, content: bytes) -> None:
        try:
            await obstore.put_async(self._store, name, content, mode="create")
        except AlreadyExistsError as error:
            raise FileExistsError(name) from error
        except (BaseError, OSError) as error:
            raise _away(error) from error

    async def get(self, name: str) -> bytes | None:
        try:
            found = await obstore.get_async(self._store, name)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _away(error) from error

    async def list_old(self, before: int, after: str, limit: int) -> list[str]:
        until = datetime.fromtimestamp(before / 1e6, UTC)
        names: list[str] = []
        try:
            async for page in obstore.list(self._store, offset=after or None, chunk_size=PAGE):
                names += [str(one["path"]) for one in page if one["last_modified"] <= until and one["path"] > after]
                if len(names) >= limit and not isinstance(self._store, LocalStore):  # a folder has no order
                    break
        except (BaseError, OSError) as error:
            raise _away(error) from error
        return sorted(names)[:limit]

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                await obstore.delete_async(self._store, name)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise _away(error) from error


def _away(error: BaseException) -> RecordsUnavailable:
    return RecordsUnavailable(f"The object store cannot be reached: {str(error).splitlines()[0][:200]}")
