"""Clauses about deliveries: claimed by one at a time, settled once, in the order of their lane, visible when dead.

Whoever claims has a delivery for a time; whatever is said of an attempt that is over does not count.
"""

import asyncio

from pilothouse.domain.retention import Retention
from pilothouse.errors import BadCursor
from pilothouse.ports.change import AllowReceiver, InsertDelivery, RetryDelivery, SettleDelivery, StopReceiver
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.testing.records.build import AGENT, AT, LONG, SECOND, TENANT, OpenRecords, born, falls, finish, put

LATER = AT + 60 * SECOND


def goes(delivery: str, run: str = "run_a", **fields: object) -> InsertDelivery:
    known: dict[str, object] = {"receiver": "shop", "lane": None, "body": b'{"type":"run.succeeded"}', "at": AT}
    known |= {"tenant": TENANT, "id": delivery, "run": run, "agent": AGENT, "type": "run.succeeded"}
    return InsertDelivery(**(known | fields))  # type: ignore[arg-type]


def settles(delivery: str, attempt: int, status: str = "delivered", due_at: int | None = None) -> SettleDelivery:
    at = None if due_at is not None else AT + 1
    return SettleDelivery(TENANT, delivery, attempt, status, due_at, None if status == "delivered" else "it broke", at)


async def claimed(records: OpenRecords, at: int = AT, limit: int = 10, *busy: str) -> list[str]:
    return [one.id for one in await records.claim_deliveries(at, at + 30 * SECOND, limit, busy)]


class DeliveryClauses:
    async def test_a_delivery_is_read_back_as_it_was_written(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), goes("dlv_a", body=LONG, lane="shop\nrun_a"))
        found = await records.get_delivery(TENANT, "dlv_a")
        assert found is not None
        assert (found.run, found.agent, found.type, found.receiver) == ("run_a", AGENT, "run.succeeded", "shop")
        assert (found.body, found.lane, found.status, found.attempt) == (LONG, "shop\nrun_a", "pending", 0)
        assert (found.due_at, found.reason, found.created_at, found.finished_at) == (AT, None, AT, None)
        assert await records.get_delivery("other", "dlv_a") is None

    async def test_one_that_is_due_is_claimed_once_until_the_claim_is_over(self, records: OpenRecords) -> None:
        await put(records, goes("dlv_b", at=AT + 5), goes("dlv_a"), goes("dlv_c", at=LATER))
        assert await records.next_delivery() == AT
        claims = await asyncio.gather(*[claimed(records, AT + 5) for _ in range(5)])
        assert sorted(map(tuple, claims)) == [(), (), (), (), ("dlv_a", "dlv_b")]
        assert await claimed(records, AT + 5 + 30 * SECOND - 1) == []
        assert await claimed(records, AT + 5 + 30 * SECOND) == ["dlv_b", "dlv_a"]
        found = await records.get_delivery(TENANT, "dlv_a")
        assert found is not None
        assert found.attempt == 2

    async def test_what_is_said_of_an_attempt_that_is_over_does_not_count(self, records: OpenRecords) -> None:
        await put(records, goes("dlv_a"))
        assert await falls(put(records, settles("dlv_a", 1))) == "settle_delivery"
        await claimed(records)
        await claimed(records, AT + 30 * SECOND)
        assert await falls(put(records, settles("dlv_a", 1))) == "settle_delivery"
        await put(records, settles("dlv_a", 2))
        assert await falls(put(records, settles("dlv_a", 2, "dead"))) == "settle_delivery"
        found = await records.get_delivery(TENANT, "dlv_a")
        assert found is not None
        assert (found.status, found.due_at, found.finished_at) == ("delivered", None, AT + 1)
        assert await records.next_delivery() is None

    async def test_one_that_failed_is_due_again_and_one_that_is_dead_is_not(self, records: OpenRecords) -> None:
        await put(records, goes("dlv_a"), goes("dlv_b"))
        await claimed(records)
        await put(records, settles("dlv_a", 1, "pending", LATER), settles("dlv_b", 1, "dead"))
        assert await records.next_delivery() == LATER
        assert await claimed(records, LATER) == ["dlv_a"]
        dead, _ = await records.list_deliveries(TENANT, DeliveryFilter(status="dead"), None, 10)
        assert [(one.id, one.reason) for one in dead] == [("dlv_b", "it broke")]

    async def test_of_a_lane_only_the_oldest_is_claimed(self, records: OpenRecords) -> None:
        await put(records, goes("dlv_a", lane="l"), goes("dlv_b", lane="l"), goes("dlv_c", lane="m"), goes("dlv_d"))
        assert await claimed(records) == ["dlv_a", "dlv_c", "dlv_d"]
        assert await claimed(records) == []
        await put(records, settles("dlv_a", 1, "pending", LATER), settles("dlv_c", 1), settles("dlv_d", 1))
        assert await claimed(records, LATER - 1) == []
        assert await claimed(records, LATER) == ["dlv_a"]
        await put(records, settles("dlv_a", 2, "dead"))
        assert await claimed(records, LATER) == ["dlv_b"]

    async def test_a_lane_keeps_its_order_within_one_change(self, records: OpenRecords) -> None:
        await put(records, born("run_a"))
        await put(records, finish("run_a"), *[goes(f"dlv_{number}", lane="l") for number in range(5)])
        for number in range(5):
            assert await claimed(records) == [f"dlv_{number}"]
            await put(records, settles(f"dlv_{number}", 1))

    async def test_the_receivers_that_are_busy_are_left_out(self, records: OpenRecords) -> None:
        await put(
            records, goes("dlv_a"), goes("dlv_b", receiver="shop2"), goes("dlv_c", receiver="https://x.example/a b")
        )
        assert await claimed(records, AT, 10, "shop") == ["dlv_b", "dlv_c"]
        assert await claimed(records, AT, 10, "shop2", "other") == ["dlv_a"]

    async def test_one_that_is_asked_for_again_starts_anew_whatever_it_was(self, records: OpenRecords) -> None:
        await put(records, goes("dlv_a"), goes("dlv_b"))
        await claimed(records)
        await put(records, settles("dlv_a", 1, "dead"))
        await put(records, RetryDelivery(TENANT, "dlv_a", LATER), RetryDelivery(TENANT, "dlv_b", LATER))
        assert await falls(put(records, settles("dlv_b", 1))) == "settle_delivery"
        assert await falls(put(records, RetryDelivery(TENANT, "dlv_z", LATER))) == "retry_delivery"
        assert await claimed(records, LATER) == ["dlv_a", "dlv_b"]
        found = await records.get_delivery(TENANT, "dlv_a")
        assert found is not None
        assert (found.status, found.attempt, found.finished_at) == ("pending", 1, None)

    async def test_a_receiver_that_stopped_is_known_until_it_is_allowed(self, records: OpenRecords) -> None:
        await put(records, StopReceiver(TENANT, "shop", AT, "410"), StopReceiver(TENANT, "shop", AT + 1, "again"))
        assert await records.find_stop(TENANT, "shop") == "410"
        assert await records.find_stop(TENANT, "other") is None
        assert await records.find_stop("other", "shop") is None
        await put(records, AllowReceiver(TENANT, "shop"), AllowReceiver(TENANT, "nobody"))
        assert await records.find_stop(TENANT, "shop") is None

    async def test_deliveries_are_listed_newest_first_by_status_run_and_receiver(self, records: OpenRecords) -> None:
        for number in range(6):
            await put(records, goes(f"dlv_{number}", f"run_{number % 2}", receiver="shop" if number < 4 else "desk"))
        await put(records, goes("dlv_x", tenant="other"))
        await claimed(records, AT, 2)
        await put(records, settles("dlv_0", 1, "dead"), settles("dlv_1", 1))

        async def listed(**where: str) -> str:
            found, cursor = "", None
            while True:
                page, cursor = await records.list_deliveries(TENANT, DeliveryFilter(**where), cursor, 2)
                assert len(page) <= 2
                found += "".join(one.id.removeprefix("dlv_") for one in page)
                if cursor is None:
                    return found

        assert await listed() == "543210"
        assert await listed(run="run_0") == "420"
        assert await listed(receiver="shop") == "3210"
        assert await listed(status="pending") == "5432"
        assert await listed(status="dead") == "0"
        assert await listed(status="delivered") == "1"
        assert await listed(status="pending", receiver="desk", run="run_1") == "5"
        _, cursor = await records.list_deliveries(TENANT, DeliveryFilter(), None, 2)
        try:
            await records.list_deliveries(TENANT, DeliveryFilter(status="dead"), cursor, 2)
        except BadCursor:
            return
        raise AssertionError("a foreign cursor was taken")

    async def test_a_delivery_goes_with_its_run_and_when_it_is_old(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), finish("run_a", finished_at=AT + 1), goes("dlv_a", body=LONG))
        await put(records, goes("dlv_b", "run_gone"), goes("dlv_c", "run_gone"))
        await claimed(records)
        await put(records, settles("dlv_b", 1))
        await records.prune(Retention(AT + 1, AT + 1), 100)
        assert await records.get_delivery(TENANT, "dlv_a") is not None
        await records.prune(Retention(LATER, LATER), 100)
        found = [await records.get_delivery(TENANT, f"dlv_{name}") for name in "abc"]
        assert [one and one.id for one in found] == [None, None, "dlv_c"]
