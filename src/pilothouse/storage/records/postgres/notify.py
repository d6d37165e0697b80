"""Messages between nodes by LISTEN and NOTIFY of the database that they share.

PostgreSQL takes a lock of the whole server at the commit of each NOTIFY, so there is never more than one under way from
a node: what is said meanwhile leaves with the next one. Not behind a pool, which keeps no LISTEN; nodes then find by
their polls what nobody told them.
"""

import asyncio
import contextlib
from base64 import b64decode, b64encode
from binascii import Error
from collections import deque

import asyncpg

from pilothouse.ports.carrier import Carrier, Hear
from pilothouse.storage.records.postgres.connection import LOST
from pilothouse.storage.records.postgres.options import PostgresOptions

CHANNEL = "pilothouse"
ROOM = 7900
"""Characters of one NOTIFY; the server takes less than 8000."""
WAITING_LIMIT = 1000
PAUSE = 0.5
CHECK_EVERY = 10.0


class PostgresCarrier(Carrier):
    limit = ROOM // 4 * 3 - 16

    def __init__(self, url: str, options: PostgresOptions) -> None:
        self._url, self._options = url, options
        self._waiting: deque[bytes] = deque(maxlen=WAITING_LIMIT)
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, hear: Hear) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work(hear), name="records-notify")

    def send(self, message: bytes) -> None:
        self._waiting.append(message)
        self._something.set()

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _work(self, hear: Hear) -> None:
        while True:
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                await self._serve(hear)
            if self._task is None:  # a fault that came in the same moment took the place of the cancel
                return
            self._waiting.clear()
            await asyncio.sleep(PAUSE)

    async def _serve(self, hear: Hear) -> None:
        async with asyncio.timeout(self._options.connect_within):
            connection = await asyncpg.connect(self._url, server_settings={"application_name": "pilothouse-bus"})
        within = self._options.answer_within
        try:
            await connection.add_listener(CHANNEL, lambda *said: _heard(hear, said[-1]))
            connection.add_termination_listener(lambda gone: self._something.set())
            while not connection.is_closed():
                while self._waiting:
                    said = b64encode(self._waiting.popleft()).decode()
                    await connection.execute("select pg_notify($1, $2)", CHANNEL, said, timeout=within)
                self._something.clear()
                try:
                    async with asyncio.timeout(CHECK_EVERY):
                        await self._something.wait()
                except TimeoutError:  # Is anybody there? A network may swallow packets and say nothing.
                    await connection.execute("select 1", timeout=within)
        finally:
            connection.terminate()


def _heard(hear: Hear, said: object) -> None:
    with contextlib.suppress(Error, ValueError):
        hear(b64decode(str(said), validate=True))
