"""Clauses about lists of runs: filters, pages, cursors, tenants (I13).

Newest first means by the order in which the records took them in, so that pages do not move when clocks do.
"""

from typing import Any

from pilothouse.errors import BadCursor
from pilothouse.ports.records import RunFilter
from pilothouse.testing.records.build import AT, LONG, TENANT, OpenRecords, born, finish, put, queued, turn


async def listed(records: OpenRecords, where: RunFilter, limit: int = 3, tenant: str = TENANT) -> list[str]:
    """All pages."""
    found: list[str] = []
    cursor = None
    while True:
        page = await records.list_runs(tenant, where, cursor, limit)
        assert len(page.items) <= limit
        assert all(run.tenant == tenant for run in page.items)
        found += [run.id for run in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


class ListClauses:
    async def test_runs_are_listed_newest_first_in_pages(self, records: OpenRecords) -> None:
        for number in range(10):
            await put(records, queued(f"run_{number}"))
        await put(records, queued("run_x", tenant="other"))
        newest_first = [f"run_{number}" for number in reversed(range(10))]
        for limit in (1, 3, 5, 9, 10, 11):
            assert await listed(records, RunFilter(), limit) == newest_first
        assert await listed(records, RunFilter(), tenant="other") == ["run_x"]
        assert await listed(records, RunFilter(), tenant="nobody") == []

    async def test_new_runs_do_not_move_the_pages(self, records: OpenRecords) -> None:
        for number in range(4):
            await put(records, queued(f"run_{number}"))
        page = await records.list_runs(TENANT, RunFilter(), None, 2)
        await put(records, queued("run_new"))
        rest = await records.list_runs(TENANT, RunFilter(), page.next_cursor, 2)
        assert [run.id for run in page.items + rest.items] == ["run_3", "run_2", "run_1", "run_0"]
        assert rest.next_cursor is None

    async def test_filters_narrow_the_list_alone_and_together(self, records: OpenRecords) -> None:
        await put(records, queued("run_a"), born("run_b", agent="audit"), born("run_c"), finish("run_c"))
        await put(records, turn("run_d"), turn("run_e", agent="audit"), turn("run_f"))
        await put(records, born("run_g", parent="run_a", parent_key="k"), finish("run_g", status="failed"))
        await put(records, queued("run_h", parent="run_a", parent_key="l"))
        cases: list[tuple[dict[str, Any], str]] = [
            ({"agent": "audit"}, "eb"),
            ({"agent": "desk"}, "hgfdca"),
            ({"agent": "none"}, ""),
            ({"session": "chat"}, "fed"),
            ({"session": "chat", "agent": "desk"}, "fd"),
            ({"session": "chat", "statuses": ("running",)}, "ed"),
            ({"statuses": ("queued",)}, "hfa"),
            ({"statuses": ("queued", "running")}, "hfedba"),
            ({"statuses": ("succeeded",)}, "c"),
            ({"statuses": ("failed",)}, "g"),
            ({"statuses": ("failed", "queued")}, "hgfa"),
            ({"statuses": ("failed",), "agent": "audit"}, ""),
            ({"statuses": ("queued",), "agent": "desk", "session": "chat"}, "f"),
            ({"parent": "run_a"}, "hg"),
            ({"parent": "run_a", "statuses": ("failed",)}, "g"),
            ({"parent": "run_b"}, ""),
        ]
        for fields, expected in cases:
            assert await listed(records, RunFilter(**fields), 2) == [f"run_{letter}" for letter in expected], fields

    async def test_a_foreign_cursor_is_refused(self, records: OpenRecords) -> None:
        for number in range(3):
            await put(records, queued(f"run_{number}"), queued(f"run_{number}", tenant="other"))
        cursor = (await records.list_runs(TENANT, RunFilter(), None, 1)).next_cursor
        assert cursor is not None
        wrong: list[tuple[str, RunFilter, str]] = [
            ("other", RunFilter(), cursor),
            (TENANT, RunFilter(agent="desk"), cursor),
            (TENANT, RunFilter(), cursor[:-1]),
            (TENANT, RunFilter(), cursor + "A"),
            (TENANT, RunFilter(), ""),
            (TENANT, RunFilter(), "1"),
            (TENANT, RunFilter(), "AAAAAAAAAAAAAAAAAAAAAA"),
            (TENANT, RunFilter(), "é' or 1=1 --"),
            (TENANT, RunFilter(), "A" * 10_000),
        ]
        for tenant, where, text in wrong:
            try:
                await records.list_runs(tenant, where, text, 1)
            except BadCursor:
                continue
            raise AssertionError(f"the cursor {text[:40]!r} was taken")

    async def test_listed_runs_bring_their_long_payloads(self, records: OpenRecords) -> None:
        await put(records, queued("run_a", input=LONG))
        [run] = (await records.list_runs(TENANT, RunFilter(), None, 10)).items
        assert run.input == LONG

    async def test_live_children_are_listed(self, records: OpenRecords) -> None:
        await put(records, born("run_p"))
        for number in range(4):
            await put(records, born(f"run_{number}", parent="run_p", parent_key=f"call-{number}"))
        await put(records, finish("run_1"))
        await put(records, queued("run_x", tenant="other", parent="run_p", parent_key="k"))
        assert await records.list_live_children(TENANT, "run_p") == ["run_0", "run_2", "run_3"]
        assert await records.list_live_children(TENANT, "run_0") == []

    async def test_text_of_all_kinds_is_kept_as_it_is(self, records: OpenRecords) -> None:
        odd = "grüße 🚢 '\";--%_\\"
        await put(records, queued("run_a", subject=odd, metadata='{"k":"🚢"}'.encode(), deadline_at=AT + 2**40))
        await put(records, turn("run_b", odd))
        assert await listed(records, RunFilter(session=odd)) == ["run_b"]
        found = await records.get_run(TENANT, "run_a")
        assert found is not None
        assert (found.subject, found.deadline_at) == (odd, AT + 2**40)
