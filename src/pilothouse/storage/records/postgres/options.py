"""How the records on PostgreSQL are tuned: sizes, limits and patience, nothing that changes what they promise.

The defaults suit a server; tests make them small, so that every limit is reached.
"""

from msgspec import Struct


class PostgresOptions(Struct, frozen=True, kw_only=True):
    batch_limit: int = 512
    """Changes in one transaction. Each session among them holds one advisory lock: a server has
    max_locks_per_transaction * max_connections of these (6,400 as it comes)."""
    waiting_limit: int = 100_000
    """Changes handed over and not yet durable; more are refused with `RecordsUnavailable`."""
    memory_limit: int = 65_536
    """Runs whose last event number, or session, the lane remembers."""
    readers: int = 4
    """Connections for reads, beside the one that writes."""
    answer_within: float = 5.0
    """Seconds a statement may take before its connection is given up: a network may swallow packets and say nothing."""
    connect_within: float = 3.0
    hold_for: float = 2.0
    """Seconds that Changes wait for a connection that was lost, before they are refused with `RecordsUnavailable`."""
    doubt_for: float = 10.0
    """Seconds after which a caller is refused who waits for a commit of which nobody knows whether it was made.
    Attempts wait longer: they must not write twice."""
    is_pooled: bool = False
    """Behind a pool that gives out connections for one transaction only (PgBouncer in transaction mode)."""
