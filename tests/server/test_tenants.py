"""Requests at once are shared by tenants: one that has its share is answered 429, and another is served."""

import threading
from contextlib import suppress

import httpx2
import pytest

from pilothouse.domain.principal import Principal
from pilothouse.engine.key import create_key
from tests.server.node import serve_node

pytestmark = pytest.mark.slow

REQUESTS = 10


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with serve_node(tmp_path_factory.mktemp("shared"), max_requests=REQUESTS) as served:
        yield served


def key_of(served, tenant):
    owner = Principal("owner", "human", tenant, frozenset("*"), frozenset("*"))
    keys: list[str] = []

    async def make() -> None:
        keys.append((await create_key(served.node.world, owner, "test", "human", ["*"], ["*"], None))[1])

    served.do(make())
    return {"Authorization": f"Bearer {keys[0]}"}


def test_a_tenant_that_has_its_share_of_the_requests_is_refused_and_another_is_served(shared, tmp_path):
    acme, globex = key_of(shared, "acme"), key_of(shared, "globex")
    assert shared.post("echo", 1, headers=globex).status_code == 200
    assert shared.post("echo", 1, headers=acme).status_code == 200
    gate = tmp_path / "gate"

    def hold() -> None:
        with suppress(httpx2.HTTPError):
            shared.post("hold", str(gate), headers=acme)

    holders = [threading.Thread(target=hold) for _ in range(8)]
    for holder in holders:
        holder.start()
    try:
        shares = shared.node.http.front.shares
        while shares.held.get("acme", 0) < 8:
            threading.Event().wait(0.002)
        answer = shared.post("echo", 1, headers=acme)
        assert (answer.status_code, answer.json()["code"]) == (429, "tenant_overloaded")
        assert answer.headers["retry-after"] == "1"
        assert shared.post("echo", 1, headers=globex).status_code == 200
        assert shared.http.get("/healthz").status_code == 200
    finally:
        gate.touch()
        for holder in holders:
            holder.join(30)
    assert shared.post("echo", 1, headers=acme).status_code == 200
    assert shares.held == {}
