"""How the records on SQLite are tuned: sizes and limits, nothing that changes what they promise.

The defaults suit a server; tests make them small, so that every limit is reached.
"""

from msgspec import Struct

PAGE = 4096


class SqliteOptions(Struct, frozen=True, kw_only=True):
    batch_limit: int = 1024
    """Changes in one transaction."""
    waiting_limit: int = 100_000
    """Changes handed over and not yet durable; more are refused with `RecordsUnavailable`."""
    wal_size: int = 24 * 1024 * 1024
    """Bytes the WAL has from the start, so that commits overwrite blocks which the file system has allocated already;
    also the size to which it shrinks after a spike. 0: it grows as it will."""
    checkpoint_pages: int = 4000
    """Pages of 4 KiB in the WAL from which on it is written back to the file."""
    cache_size: int = 8 * 1024 * 1024
    """Bytes of pages each reader may keep in memory."""
    writer_cache_size: int = 4 * 1024 * 1024
    """Bytes of pages the writer may keep in memory. A commit that has split a page of an index looks at all that are
    kept: with 32 MiB that took longer than all the rest of the commit."""
    busy_after: float = 5.0
    """Seconds to wait for a lock that a foreign program holds on the file."""
    memory_limit: int = 65_536
    """Runs whose last event number, or session, the writer remembers."""
    inline_rows: int = 64
    """Reads that may return more rows than this leave the loop's thread."""
    vfs: str | None = None
    """Another file layer of SQLite: the fault tests have one that tears writes."""
