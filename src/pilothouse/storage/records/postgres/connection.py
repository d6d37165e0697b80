"""A connection to PostgreSQL on which the code that was written for both databases runs unchanged.

That code is synchronous and asks a `Database`; here it runs in a greenlet, and each statement switches back to the task
that awaits the server, so that neither a thread nor a second version of the code is needed. One connection is used by
one greenlet at a time.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar

import asyncpg
from greenlet import getcurrent, greenlet

from pilothouse.errors import RecordsInvalid
from pilothouse.storage.records.postgres.dialect import load
from pilothouse.storage.records.postgres.options import PostgresOptions

P = ParamSpec("P")
T = TypeVar("T")

LOST = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    OSError,
    TimeoutError,
)
"""What says that this connection is of no more use, and nothing of the statement. A server that became a standby takes
no writes: then the address is asked again. The driver's own fault (`InternalClientError`) is how it shows that the
server said its last word in the middle of a statement."""

AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
"""Two nodes got in each other's way; the same again soon is right."""

FULL = (asyncpg.InsufficientResourcesError, asyncpg.PostgresSystemError, asyncpg.InternalServerError)
"""The server, and not what was asked of it, is at fault: a full disk, no memory."""

FORBIDDEN = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)

SESSION = {
    "application_name": "pilothouse",
    "jit": "off",
    # A statement for a batch is as long as it is wide: planning it for every batch would cost more than running it.
    "plan_cache_mode": "force_generic_plan",
    # Every statement is to find its rows by an index. Before its first statistics the planner would read whole tables,
    # and a prepared statement would keep that plan.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # A node that was stopped in the middle of a transaction must not hold the rows of others longer than its leases.
    "idle_in_transaction_session_timeout": "5000",
    # Of a node that vanished without a word the server would keep the connections for two hours.
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


def is_lost(error: BaseException) -> bool:
    """Not the ValueError of the same family, which says that a value is out of its range."""
    return isinstance(error, LOST) and not isinstance(error, ValueError)


class PostgresConnection:
    """`many`, `ask` and `execute` within `run`; see `statements.Database`."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", options: PostgresOptions) -> None:
        self._connection = connection
        self._options = options

    async def run(self, work: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
        """Runs synchronous code that asks this connection. Raises what it raises."""
        inner = greenlet(work)
        answer = inner.switch(*values, **named)
        while not inner.dead:
            try:
                found = await answer
            except BaseException:
                answer = inner.throw(*sys.exc_info())
            else:
                answer = inner.switch(found)
        return answer  # type: ignore[no-any-return]

    def many(self, name: str, rows: Sequence[tuple[Any, ...]]) -> list[Any]:
        if name in ("drop_unused_payloads", "move_payloads"):
            self.many("lock_payloads", [row[:2] for row in rows])
        if name == "last_entry":
            self.many("hold_heads", rows)
        return self.fetch(load()[name].text, *zip(*rows, strict=True))

    def ask(self, name: str, values: dict[str, Any]) -> list[Any]:
        worded = load()[name]
        return self.fetch(worded.text, *(values[one] for one in worded.names))

    def fetch(self, text: str, *values: Any) -> list[Any]:
        found = wait_for(self._connection.fetch(text, *values, timeout=self._options.answer_within))
        return [tuple(row) for row in found]

    def execute(self, statements: str) -> str:
        """What the last one did, as the server says it (`UPDATE 1`)."""
        return wait_for(self._connection.execute(statements, timeout=self._options.answer_within))

    @property
    def is_closed(self) -> bool:
        return self._connection.is_closed()

    async def close(self) -> None:
        """Politely, and not for long."""
        try:
            await self._connection.close(timeout=1.0)
        except (*LOST, asyncpg.PostgresError):
            self._connection.terminate()

    def terminate(self) -> None:
        self._connection.terminate()


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """From within `run`: lets the task that runs it await this."""
    outer = getcurrent().parent
    assert outer is not None
    return outer.switch(coroutine)  # type: ignore[no-any-return]


async def connect(url: str, options: PostgresOptions) -> PostgresConnection:
    """Raises one of LOST when the server does not answer, `RecordsInvalid` when it will not have us."""
    pooled: dict[str, Any] = {"statement_cache_size": 0}
    if not options.is_pooled:
        pooled = {"server_settings": SESSION, "statement_cache_size": 512, "max_cacheable_statement_size": 0}
    try:
        async with asyncio.timeout(options.connect_within):
            connection = await asyncpg.connect(url, **pooled)
    except FORBIDDEN as error:
        raise RecordsInvalid(
            reason=f"PostgreSQL refuses: {error}",
            hint="Look at the user, the password and the database in records.url.",
        ) from error
    return PostgresConnection(connection, options)
