"""What is asked all the time goes along indexes of live rows: ten million ended runs cost it nothing."""

import re

import apsw
import pytest

from pilothouse.storage.records.migrate import migrate, migrations
from pilothouse.storage.records.statements import load

WANTED = {
    "ready_tenants": {"run_ready_at"},
    "best_of_tenant": {"run_ready"},
    "due_runs": {"run_due"},
    "list_expired": {"run_lease"},
    "list_owned": {"run_lease"},
    "next_due": {"run_due", "run_deadline", "review_expires"},
    "list_overdue": {"run_deadline", "run_cancelled"},
    "renew_leases": {"run_lease"},
    "count_live": {"run_live"},
    "list_backlogs": {"run_live", "run_ready_at"},
    "due_deliveries": {"delivery_due", "delivery_lane"},
    "next_delivery": {"delivery_due"},
    "list_open_deliveries": {"delivery_status"},
    "claim_deliveries": set(),
    "claim_runs": set(),
    "ready_runs": set(),
    "line_up_runs": set(),
}
PARTIAL = {"run_ready", "run_due", "run_lease", "run_deadline", "run_cancelled", "run_live", "review_expires"}
PARTIAL |= {"run_ready_at", "delivery_due", "delivery_lane", "delivery_status"}


@pytest.fixture(scope="module")
def connection():
    connection = apsw.Connection(":memory:")
    migrate(connection, migrations())
    yield connection
    connection.close()


def plan_of(connection, name):
    text = load()[name].shapes[1]
    values = tuple([1] * text.count("?")) if "?" in text else dict.fromkeys(re.findall(r":(\w+)", text), 1)
    return [row[3] for row in connection.execute(f"explain query plan {text}", values)]


@pytest.mark.parametrize("name", WANTED)
def test_a_statement_of_the_clock_reads_live_rows_only(connection, name):
    plan = plan_of(connection, name)
    for line in plan:
        assert not re.match(r"SCAN (run|r|review)\b(?!.* USING (COVERING )?INDEX)", line), plan
        used = re.search(r"^(SCAN|SEARCH) (?:run|r|review)\b.*INDEX (\w+)", line)
        assert used is None or used[2] in PARTIAL, plan
        assert "SORTER" not in line, plan
    assert WANTED[name] <= set(re.findall(r"INDEX (\w+)", " ".join(plan))), plan


def test_the_indexes_of_live_rows_are_partial(connection):
    rows = connection.execute("select name, sql from sqlite_schema where type = 'index' and sql is not null").fetchall()
    assert {name for name, sql in rows if " where " in " ".join(sql.split())} >= PARTIAL
