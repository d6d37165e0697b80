"""What `doctor` looks at beside the records: the hot store, the blobs and the store of checkpoints, where the settings
name them.

A hot store that is away is a warning, since all goes on without it, and so is a store of checkpoints, which gets them
later; blobs that are away keep runs from being read.
Nothing is written.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from pilothouse.backing import blobs_of, checkpoint_objects_of, hot_of
from pilothouse.cli.examined import Examined, Outcome
from pilothouse.errors import HotStoreUnavailable, RecordsUnavailable, SettingsInvalid
from pilothouse.ports.blobs import Blobs
from pilothouse.settings import Settings

WITHIN = 15.0


def examine_places(settings: Settings) -> Iterator[Examined]:
    if settings.hot.url:
        yield _examined("hot store", "warn", _look_at_hot_store(settings))
    if settings.blobs.url:
        yield _examined("blobs", "fail", _look_at_objects(partial(blobs_of, settings), settings.blobs.url))
    if settings.audit.checkpoint_url:
        looking = _look_at_objects(partial(checkpoint_objects_of, settings), settings.audit.checkpoint_url)
        yield _examined("checkpoints", "warn", looking)


def _examined(name: str, outcome: Outcome, looking: Coroutine[Any, Any, str]) -> Examined:
    async def bounded() -> str:
        async with asyncio.timeout(WITHIN):
            return await looking

    try:
        return Examined(name, "ok", asyncio.run(bounded()))
    except SettingsInvalid as error:
        return Examined(name, "fail", error.message, error.hint)
    except TimeoutError:
        return Examined(name, outcome, f"no answer within {WITHIN:.0f} s", _ADVICE[name])
    except (HotStoreUnavailable, RecordsUnavailable) as error:
        return Examined(name, outcome, error.message, _ADVICE[name])


_ADVICE = {
    "hot store": "Look at hot.url and whether the server runs. Until then each node goes by its share of limits.",
    "blobs": "Look at blobs.url, the credentials, and whether the store can be reached from here.",
    "checkpoints": "Look at audit.checkpoint_url and the credentials. Until then the records keep what it is owed.",
}


async def _look_at_hot_store(settings: Settings) -> str:
    hot = hot_of(settings, lambda: 0)
    try:
        await hot.get("doctor", "doctor")
    finally:
        await hot.stop()
    return "it answers"


async def _look_at_objects(find: Callable[[], Blobs | None], url: str) -> str:
    objects = find()
    assert objects is not None
    await objects.get("doctor/none")
    return f"{url} answers"
