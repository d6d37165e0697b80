"""Long payloads: aside from 16 KiB on, once per tenant and content, and gone with their last user."""

import pytest

from pilothouse.domain.retention import Retention
from pilothouse.storage.records.payload import LIMIT
from pilothouse.testing.records.build import AT, SECOND, born, ended, fence, finish, put, read, step


def text_of(size, letter=b"x"):
    return b'"' + letter * (size - 2) + b'"'


@pytest.mark.parametrize(("size", "aside"), [(LIMIT, 0), (LIMIT + 1, 1)], ids=["at the limit", "over it"])
async def test_a_payload_over_the_limit_is_kept_aside(records, looked_at, size, aside):
    await put(records, born("run_a", input=text_of(size)))
    assert looked_at("select count(*) from payload") == [(aside,)]
    assert looked_at("select length(input) from run") == [(33 if aside else size,)]
    assert (await read(records, "run_a")).input == text_of(size)


async def test_the_same_content_is_kept_once_in_a_tenant(records, looked_at):
    long = text_of(50_000)
    for tenant, run in (("acme", "run_a"), ("acme", "run_b"), ("other", "run_c")):
        await put(records, born(run, tenant=tenant, input=long))
        await put(records, fence(run, tenant=tenant), step(run, ended("s", long), tenant))
    assert looked_at("select tenant, length(bytes) from payload order by tenant") == [
        ("acme", 50_000),
        ("other", 50_000),
    ]
    for tenant, run in (("acme", "run_b"), ("other", "run_c")):
        assert (await read(records, run, tenant)).input == long
        assert [row.output for row in await records.load_journal(tenant, run)] == [long]


async def test_a_payload_goes_with_its_last_user(records, looked_at):
    long = text_of(50_000)
    for run in ("run_a", "run_b"):
        await put(records, born(run, input=long))
    await put(records, finish("run_a", output=long))
    assert (await records.prune(Retention(AT + 2 * SECOND, AT + 2 * SECOND), 10)).runs == 1
    assert looked_at("select count(*) from payload") == [(1,)]
    await put(records, finish("run_b"))
    assert (await records.prune(Retention(AT + 2 * SECOND, AT + 2 * SECOND), 10)).runs == 1
    assert looked_at("select count(*) from payload") == [(0,)]
    assert looked_at("select count(*) from payload_use") == [(0,)]
