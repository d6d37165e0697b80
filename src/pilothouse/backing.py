"""What stands behind a node: its records, its bus and its hot store, chosen by the settings.

Drivers are imported when a setting asks for them, since they are parts of extras; what is missing is told with the
command that installs it.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from pilothouse.communication.bus.carried import CarriedBus
from pilothouse.communication.bus.memory import MemoryBus
from pilothouse.errors import SettingsInvalid
from pilothouse.ports.blobs import Blobs
from pilothouse.ports.meter import CommitMeter
from pilothouse.ports.records import Custody, Records
from pilothouse.settings import Settings
from pilothouse.storage.blobs.mover import MovingRecords
from pilothouse.storage.hot.memory import MemoryHotStore
from pilothouse.storage.records.sqlite import SqliteRecords

if TYPE_CHECKING:
    from pilothouse.storage.hot.redis import RedisHotStore
    from pilothouse.storage.records.postgres.examine import PostgresFacts
    from pilothouse.storage.records.postgres.options import PostgresOptions


class KeptRecords(Records, Custody, MovingRecords, Protocol):
    """What either database offers to its node."""

    meter: CommitMeter | None
    blobs: Blobs | None
    found_version: int

    async def migrate(self, *, has_post: bool) -> None: ...

    async def now(self) -> int | None:
        """The clock that all nodes of these records share, microseconds since 1970 UTC; None: there is no other."""
        ...


def records_of(settings: Settings) -> KeptRecords:
    """Not opened. Raises `SettingsInvalid` when what the database needs is not installed."""
    if not settings.records.is_shared:
        return SqliteRecords(settings.records.url)
    with _driver("postgres"):
        from pilothouse.storage.records.postgres.records import PostgresRecords

        return PostgresRecords(settings.records.url, options=postgres_options(settings))


def bus_of(settings: Settings) -> "MemoryBus | CarriedBus":
    """A node that is alone hears itself; nodes on one PostgreSQL hear each other through it, or through a broker."""
    says = settings.bus
    if not settings.records.is_shared:
        return MemoryBus()
    if says.url.startswith(("redis", "rediss")):
        with _driver("redis"):
            from pilothouse.communication.bus.redis import RedisCarrier

            return CarriedBus(RedisCarrier(says.url, says.channel))
    if says.url:
        with _driver("nats"):
            from pilothouse.communication.bus.nats import NatsCarrier

            return CarriedBus(NatsCarrier(says.url, says.channel))
    if settings.records.is_pooled:
        return MemoryBus()
    with _driver("postgres"):
        from pilothouse.storage.records.postgres.notify import PostgresCarrier

        return CarriedBus(PostgresCarrier(settings.records.url, postgres_options(settings)))


def hot_of(settings: Settings, now: Callable[[], int]) -> "MemoryHotStore | RedisHotStore":
    """`now` in microseconds: the clock of the node."""
    says = settings.hot
    if not says.url:
        return MemoryHotStore(now, says.memory_mb * 1024 * 1024)
    with _driver("redis"):
        from pilothouse.storage.hot.redis import RedisHotStore

        return RedisHotStore(says.url, says.prefix, says.within_seconds)


def blobs_of(settings: Settings) -> Blobs | None:
    if not settings.blobs.url:
        return None
    with _driver("blobs"):
        from pilothouse.storage.blobs.objects import ObjectBlobs

        return ObjectBlobs(settings.blobs.url)


def checkpoint_objects_of(settings: Settings) -> Blobs | None:
    """Where signed checkpoints are kept besides."""
    if not settings.audit.checkpoint_url:
        return None
    with _driver("blobs"):
        from pilothouse.storage.blobs.objects import ObjectBlobs

        return ObjectBlobs(settings.audit.checkpoint_url, "audit.checkpoint_url")


def postgres_options(settings: Settings) -> "PostgresOptions":
    from pilothouse.storage.records.postgres.options import PostgresOptions

    return PostgresOptions(is_pooled=settings.records.is_pooled)


def look_at_postgres(settings: Settings) -> "PostgresFacts":
    """Without touching it. Raises `RecordsInvalid`, `SettingsInvalid`."""
    with _driver("postgres"):
        from pilothouse.storage.records.postgres.examine import examine

        return examine(settings.records.url, postgres_options(settings))


@contextlib.contextmanager
def _driver(extra: str) -> Iterator[None]:
    """What speaks with a database or a broker is part of an extra."""
    try:
        yield
    except ImportError as error:
        raise SettingsInvalid(
            reason=f"the settings ask for what needs {error.name}, which is not installed",
            hint=f'Run pip install "pilothouse[{extra}]".',
        ) from error
