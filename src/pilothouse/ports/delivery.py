"""What the engine asks of the records about deliveries: who is due, and what became of them.

Part of `Records`; a conversation of its own because whoever sends has no other with them.
"""

from collections.abc import Awaitable
from typing import Protocol

from msgspec import Struct

from pilothouse.domain.delivery import Delivery


class DeliveryFilter(Struct, frozen=True):
    status: str | None = None
    run: str | None = None
    receiver: str | None = None


class Deliveries(Protocol):
    def claim_deliveries(self, at: int, until: int, limit: int, busy: tuple[str, ...]) -> Awaitable[list[Delivery]]:
        """Pending ones that are due at `at`, the longest due first, with `attempt` raised and not due again before
        `until`. Of a lane only the oldest; none of the receivers that are `busy`."""
        ...

    async def next_delivery(self) -> int | None:
        """The earliest `due_at` of a pending one."""
        ...

    async def get_delivery(self, tenant: str, delivery: str) -> Delivery | None: ...

    async def list_deliveries(
        self, tenant: str, where: DeliveryFilter, cursor: str | None, limit: int
    ) -> tuple[list[Delivery], str | None]:
        """Newest first, with the next cursor."""
        ...

    async def find_stop(self, tenant: str, receiver: str) -> str | None:
        """Why the receiver is not asked any more; None: it is."""
        ...
