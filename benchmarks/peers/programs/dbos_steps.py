"""Workflows of ten no-op steps on DBOS: `dbos_steps.py CALLERS SECONDS PLACE` prints steps a second.

PLACE is the address of a PostgreSQL, or a folder for a file of SQLite.
"""

import asyncio
import json
import sys
import time

from dbos import DBOS

CALLERS, SECONDS, PLACE = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
STEPS = 10
URL = PLACE if "://" in PLACE else f"sqlite:///{PLACE}/dbos.db"
DBOS(config={"name": "bench", "system_database_url": URL, "log_level": "ERROR"})


@DBOS.step()
async def nothing(number: int) -> dict[str, str]:
    return {"role": "tool", "content": "x" * 170}


@DBOS.workflow()
async def steps() -> None:
    for number in range(STEPS):
        await nothing(number)


async def main() -> None:
    DBOS.launch()
    done, ends_at, began_at = 0, time.monotonic() + SECONDS, time.monotonic()

    async def caller() -> None:
        nonlocal done
        while time.monotonic() < ends_at:
            await steps()
            done += STEPS

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    print(json.dumps({"per_second": done / (time.monotonic() - began_at)}), flush=True)
    DBOS.destroy()


asyncio.run(main())
