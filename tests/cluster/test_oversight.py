"""Holds and policies are those of the installation: what is decided at one gateway holds at all nodes."""

import asyncio

import pytest

from tests.faults.client import wait_until

pytestmark = pytest.mark.slow
RULES = 'permit(principal, action, resource) when { context.risk == "read" };\n'


async def test_a_hold_and_policies_of_one_gateway_are_obeyed_and_seen_by_the_other_and_by_workers(cluster):
    worker, first, second = cluster("worker"), cluster("gateway"), cluster("gateway")
    await asyncio.gather(*(node.start() for node in (worker, first, second)))
    await wait_until(lambda: knows_echo(second))

    placed = await first.caller.ask("POST", "/v1/holds", {"agent": "echo", "reason": "look at it first"})
    assert placed.status == 201, placed
    await wait_until(lambda: is_effective(second, placed.body["id"]))
    started = await second.caller.start("echo", "hello", headers={"prefer": "respond-async"})
    other = await second.caller.start("chat", "hello", headers={}, session="ada")
    assert other.body["status"] == "succeeded"  # the worker works; only what is held waits
    assert (await first.caller.run(started.body["id"]))["status"] == "queued"
    lifted = await second.caller.ask("DELETE", f"/v1/holds/{placed.body['id']}")
    assert lifted.status < 300, lifted
    assert (await first.caller.wait_end(started.body["id"]))["output"] == "hello"

    put = await first.caller.ask("PUT", "/v1/policies", {"text": RULES, "signed": True})
    assert put.status == 200, put
    for node in (second, worker):
        await wait_until(lambda node=node: has_policies(node))


async def knows_echo(node):
    answer = await node.caller.ask("GET", "/v1/agents")
    return "echo" in {one["name"] for one in answer.body["items"]}


async def is_effective(node, hold):
    answer = await node.caller.ask("GET", "/v1/holds")
    return any(one["id"] == hold and one["effective_at"] is not None for one in answer.body["items"])


async def has_policies(node):
    answer = await node.caller.ask("GET", "/v1/policies")
    return answer.body["active"] is not None and answer.body["active"]["text"] == RULES
