"""Clauses about lists of runs: filters, pages, cursors, tenants (I13).

Newest first means by the order in which the records took them in, so that pages do not move when clocks do.
"""

from typing import Any

from pilothouse.errors import BadCursor
from pilothouse.ports.records import OpenReviews, RunFilter
from pilothouse.testing.records.build import (
    AGENT,
    AT,
    LONG,
    TENANT,
    OpenRecords,
    asks,
    born,
    finish,
    put,
    queued,
    takes,
    turn,
)


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

    async def test_facts_are_of_the_newest_runs_and_of_one_tenant(self, records: OpenRecords) -> None:
        for number in range(5):
            await put(records, born(f"run_{number}", created_at=AT + number, agent="audit" if number % 2 else "desk"))
        await put(records, finish("run_4", status="failed", error=LONG, usage=b'{"input_tokens":3}'))
        await put(records, born("run_x", tenant="other", created_at=AT + 9))
        facts, is_whole = await records.list_facts(TENANT, None, AT + 1, 10)
        assert ([one.run for one in facts], is_whole) == (["run_4", "run_3", "run_2", "run_1"], True)
        assert (facts[0].status, facts[0].usage, facts[1].finished_at) == ("failed", b'{"input_tokens":3}', None)
        facts, is_whole = await records.list_facts(TENANT, "audit", 0, 10)
        assert ([one.run for one in facts], is_whole) == (["run_3", "run_1"], True)

    async def test_facts_say_when_there_are_more_than_were_asked_for(self, records: OpenRecords) -> None:
        for number in range(4):
            await put(records, queued(f"run_{number}", created_at=AT + number))
        for limit, since, whole in ((3, AT, False), (4, AT, True), (2, AT + 2, True), (1, AT + 2, False)):
            facts, is_whole = await records.list_facts(TENANT, None, since, limit)
            assert is_whole is whole
            assert len(facts) == min(limit, sum(AT + number >= since for number in range(4)))

    async def test_sessions_are_listed_by_key_in_pages(self, records: OpenRecords) -> None:
        for number, key in enumerate(("b/2", "a", "b/1", "b", "c%", "c_")):
            await put(records, turn(f"run_{number}", key=key))
            await put(records, finish(f"run_{number}"), takes(f"run_{number}", key=key, state=b'{"n":1}'))
        found, cursor = [], None
        while True:
            page, cursor = await records.list_sessions(TENANT, AGENT, "", cursor, 2)
            found += page
            if cursor is None:
                break
        assert [one.key for one in found] == ["a", "b", "b/1", "b/2", "c%", "c_"]
        assert {(one.turns, one.version, one.state) for one in found} == {(1, 1, b"{}")}
        for prefix, keys in (("b", ["b", "b/1", "b/2"]), ("b/", ["b/1", "b/2"]), ("c%", ["c%"]), ("d", [])):
            assert [one.key for one in (await records.list_sessions(TENANT, AGENT, prefix, None, 9))[0]] == keys
        assert await records.list_sessions("other", AGENT, "", None, 9) == ([], None)

    async def test_open_reviews_are_counted(self, records: OpenRecords) -> None:
        assert await records.count_open_reviews(TENANT) == OpenReviews(0, None, None)
        await put(records, born("run_a"))
        await put(records, asks("rev_1", "run_a", created_at=AT + 5, expires_at=AT + 90))
        await put(records, asks("rev_2", "run_a", created_at=AT + 1), asks("rev_3", "run_a", expires_at=AT + 80))
        assert await records.count_open_reviews(TENANT) == OpenReviews(3, AT, AT + 80)
        assert (await records.count_open_reviews("other")).count == 0
        assert await records.count_open_reviews_by_agent(9) == [(AGENT, 3, AT)]
        assert await records.count_open_reviews_by_agent(0) == []
