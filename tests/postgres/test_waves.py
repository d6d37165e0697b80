"""Changes of one tick on PostgreSQL, where one statement may apply them all: as on SQLite, they leave what they leave
alone. Here each schedule has two tenants of one database, one for either way.
"""

import asyncio
import json

import pytest
from msgspec.structs import replace

from pilothouse.ports.change import Change
from tests.storage.test_waves import SEEDS, drawn, shown

TABLES = """select c.table_name, bool_or(c.column_name = 'pos') from information_schema.columns as c
where c.table_schema = current_schema() group by c.table_name having bool_or(c.column_name = 'tenant')"""


@pytest.mark.slow
async def test_changes_in_one_tick_leave_what_they_leave_one_by_one(nodes, postgres_server, database):
    [records] = await nodes(1)
    for seed in SEEDS:
        apart = []
        for change in of_tenant(f"apart{seed}", seed):
            apart += await asyncio.gather(records.commit(change), return_exceptions=True)
        changes = of_tenant(f"together{seed}", seed)
        together = await asyncio.gather(*(records.commit(change) for change in changes), return_exceptions=True)
        assert [told(one) for one in together] == [told(one) for one in apart], seed
    rows = read_all(postgres_server, database)
    for seed in SEEDS:
        assert rows[f"together{seed}"] == rows[f"apart{seed}"], seed
    seen = {table for found in rows.values() for table in found}
    assert seen >= {"run", "step", "event", "session", "turn", "review", "audit", "idempotency", "payload", "spend"}


def of_tenant(tenant, seed):
    return [Change(tuple(replace(one, tenant=tenant) for one in statements)) for statements in drawn(seed)]


def told(outcome):
    """But for the tenant."""
    found = shown(outcome)
    return (*found[:2], found[2][1:]) if found[0] == "fell" else found


def read_all(server, database):
    """Rows by tenant and table, in their order; of steps, whose order is seen in one run only, by run."""
    found = {}
    for line in server.query(database, TABLES).splitlines():
        table, has_pos = line.split("|")
        order = {"step": "run, pos"}.get(table, "pos" if has_pos == "t" else "to_jsonb(t)::text")
        rows = server.query(database, f"select to_jsonb(t) from {table} as t order by {order}")
        for row in map(json.loads, rows.splitlines()):
            row.pop("pos", None)
            found.setdefault(row.pop("tenant"), {}).setdefault(table, []).append(row)
    for tables in found.values():
        tables["audit"] = [entry for row in tables.get("audit", ()) for entry in lines_of(row)]
    return found


def lines_of(row):
    """One by one: entries that come together share a row."""
    return [
        (row["seq"] + number, line)
        for number, line in enumerate(bytes.fromhex(row["lines"].removeprefix("\\x")).split(b"\n"))
    ]
