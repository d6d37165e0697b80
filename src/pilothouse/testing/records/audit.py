"""Clauses about evidence and documents.

Entries are numbered without a gap in the order of the commits, and stand exactly when the Change they are part of does
(I12). Of two who expect the same version of a document one wins.
"""

import asyncio

from pilothouse.domain.evidence import leaves_of
from pilothouse.errors import BadCursor
from pilothouse.ports.change import AppendAudit, Conflict, WriteDocument
from pilothouse.testing.records.build import AT, TENANT, OpenRecords, born, falls, fence, put, step, told
from pilothouse.testing.records.build import ended as ended_step


def says(word: str, tenant: str = TENANT, id: str = "run_a") -> AppendAudit:
    return AppendAudit(tenant, id, b'{"said":"%b"}' % word.encode())


def writes(id: str, version: int = 0, body: bytes | None = b"{}", **fields: str) -> WriteDocument:
    return WriteDocument(
        fields.get("tenant", TENANT), id, fields.get("kind", "hold"), version, fields.get("state", ""), body, AT
    )


async def all_entries(records: OpenRecords, tenant: str = TENANT) -> list[bytes]:
    """The leaves, read two segments at a time; fails when their numbers have a gap."""
    found: list[bytes] = []
    while page := await records.read_audit(tenant, len(found), 2):
        for segment in page:
            for seq, leaf in leaves_of(segment, len(found)):
                assert seq == len(found) + 1
                found.append(leaf)
    return found


class AuditClauses:
    async def test_entries_of_a_tenant_are_numbered_in_the_order_of_their_changes(self, records: OpenRecords) -> None:
        await asyncio.gather(*(put(records, says(str(number))) for number in range(100)))
        await put(records, says("x", "other"))
        await put(records, says("100"), says("101"))
        assert await all_entries(records) == [b'{"seq":%d,"said":"%d"}' % (n + 1, n) for n in range(102)]
        assert await all_entries(records, "other") == [b'{"seq":1,"said":"x"}']
        assert sorted(await records.count_audit()) == [(TENANT, 102), ("other", 1)]

    async def test_an_entry_stands_exactly_when_its_change_does(self, records: OpenRecords) -> None:
        await put(records, born("run_a"), says("born"))
        fallen = [
            put(records, fence("run_a", 7), step("run_a", ended_step("s")), says("stale")),
            put(records, born("run_a"), says("twice")),
            put(records, born("run_b"), born("run_a"), says("half")),
        ]
        standing = put(records, fence("run_a"), step("run_a", ended_step("s")), told("run_a", "x"), says("step"))
        outcomes = await asyncio.gather(*fallen, standing, return_exceptions=True)
        assert [isinstance(outcome, Conflict) for outcome in outcomes] == [True, True, True, False]
        assert await all_entries(records) == [b'{"seq":1,"said":"born"}', b'{"seq":2,"said":"step"}']

    async def test_reading_goes_on_after_any_entry(self, records: OpenRecords) -> None:
        await asyncio.gather(*(put(records, says(str(number))) for number in range(10)))
        for after in range(11):
            page = await records.read_audit(TENANT, after, 100)
            seqs = [seq for segment in page for seq, _ in leaves_of(segment, after)]
            assert seqs == list(range(after + 1, 11))
        assert await records.read_audit(TENANT, 10, 1) == []

    async def test_a_document_is_written_by_who_knows_its_version(self, records: OpenRecords) -> None:
        assert await falls(put(records, writes("hold_1", 1))) == "write_document"
        await put(records, writes("hold_1", body=b'{"n":1}'))
        assert await falls(put(records, writes("hold_1"))) == "write_document"
        await put(records, writes("hold_1", 1, b'{"n":2}', state="placed"))
        found = await records.get_document(TENANT, "hold_1")
        assert found is not None
        assert (found.version, found.state, found.body, found.kind) == (2, "placed", b'{"n":2}', "hold")
        assert await records.get_document("other", "hold_1") is None

    async def test_of_racing_writers_of_a_document_one_wins(self, records: OpenRecords) -> None:
        for version in range(3):
            writers = [put(records, writes("hold_1", version, b"%d" % number)) for number in range(10)]
            outcomes = await asyncio.gather(*writers, return_exceptions=True)
            assert [isinstance(outcome, Conflict) for outcome in outcomes] == [False] + [True] * 9

    async def test_a_document_that_is_removed_is_gone_and_may_be_written_anew(self, records: OpenRecords) -> None:
        await put(records, writes("hold_1", body=b'{"secret":1}'))
        assert await falls(put(records, writes("hold_1", 2, None))) == "write_document"
        await put(records, writes("hold_1", 1, None))
        assert await records.get_document(TENANT, "hold_1") is None
        await put(records, writes("hold_1", body=b"2"))
        found = await records.get_document(TENANT, "hold_1")
        assert found is not None
        assert (found.version, found.body) == (1, b"2")

    async def test_documents_are_listed_by_kind_and_state_from_either_end(self, records: OpenRecords) -> None:
        for number in range(5):
            await put(records, writes(f"hold_{number}", state="placed" if number % 2 else "lifted"))
        await put(records, writes("key_1", kind="key"), writes("hold_x", tenant="other", state="placed"))

        async def listed(tenant: str | None, kind: str, state: str | None, newest: bool = False) -> list[str]:
            found, cursor = [], None
            while True:
                page, cursor = await records.list_documents(tenant, kind, state, cursor, 2, newest=newest)
                assert len(page) <= 2
                found += [one.id for one in page]
                if cursor is None:
                    return found

        assert await listed(TENANT, "hold", None) == [f"hold_{number}" for number in range(5)]
        assert await listed(TENANT, "hold", "placed") == ["hold_1", "hold_3"]
        assert await listed(None, "hold", "placed") == ["hold_1", "hold_3", "hold_x"]
        assert await listed(TENANT, "key", None) == ["key_1"]
        assert await listed(TENANT, "hold", None, newest=True) == [f"hold_{number}" for number in (4, 3, 2, 1, 0)]
        assert await listed(TENANT, "hold", "placed", newest=True) == ["hold_3", "hold_1"]
        _, cursor = await records.list_documents(TENANT, "hold", None, None, 1)
        for tenant, newest in (("other", False), (TENANT, True)):
            try:
                await records.list_documents(tenant, "hold", None, cursor, 1, newest=newest)
            except BadCursor:
                continue
            raise AssertionError("a foreign cursor was taken")
