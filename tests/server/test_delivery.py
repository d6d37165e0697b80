"""Webhooks over HTTP: asked for, told, listed, sent once more, and refused when they lead where they must not."""

import asyncio

import pytest

from pilothouse.settings import Flag
from tests.deliveries.receiver import Receiver, answers
from tests.server.node import serve_node

SECRET = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    more = (Flag("deliveries.secret", "secret", SECRET), Flag("deliveries.loopback", "loopback", True))
    with serve_node(tmp_path_factory.mktemp("telling"), more) as node:
        yield node


async def wait_deliveries(node, run: str, status: str) -> list[dict]:
    async with asyncio.timeout(60):
        while True:
            answer = await asyncio.to_thread(node.http.get, "/v1/deliveries", params={"run": run, "status": status})
            if found := answer.json()["items"]:
                return found
            await asyncio.sleep(0.01)


async def start(node, agent: str, input: object, **webhook) -> dict:
    answer = await asyncio.to_thread(node.post, agent, input, webhook=webhook)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


async def test_a_run_of_any_kind_tells_the_webhook_of_its_request(telling):
    async with Receiver() as receiver:
        runs = [
            await start(telling, "echo", "hello", url=receiver.url),
            await start(telling, "diary", "note", url=receiver.url),
            await start(telling, "digest", "one two\nthree", url=receiver.url),
        ]
        for run in runs:
            [one] = await wait_deliveries(telling, run["id"], "delivered")
            assert (one["type"], one["receiver"], one["attempt"]) == ("run.succeeded", receiver.url, 1)
        assert sorted(post.json["data"]["run"] for post in receiver.posts) == sorted(run["id"] for run in runs)
        assert all(post.is_signed_with(SECRET) for post in receiver.posts)
        assert (await asyncio.to_thread(telling.http.get, f"/v1/runs/{runs[0]['id']}")).status_code == 200


async def test_one_that_was_given_up_is_sent_once_more_when_somebody_asks(telling):
    async with Receiver([answers(410), answers(200)]) as receiver:
        run = await start(telling, "digest", "one", url=receiver.url + "?key=hidden")
        [dead] = await wait_deliveries(telling, run["id"], "dead")
        assert "410" in dead["reason"]
        assert "hidden" not in dead["receiver"]
        asked = await asyncio.to_thread(telling.http.post, f"/v1/deliveries/{dead['id']}/retry")
        assert (asked.status_code, asked.json()["status"]) == (202, "pending")
        [again] = await wait_deliveries(telling, run["id"], "delivered")
        assert again["id"] == dead["id"]
        assert {post.id for post in receiver.posts} == {dead["id"]}
        shown = await asyncio.to_thread(telling.http.get, f"/v1/deliveries/{dead['id']}")
        assert shown.json() == again


@pytest.mark.parametrize(
    "url",
    ["https://10.0.0.1/", "http://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/", "ftp://shop.example/",
     "https://user:word@shop.example/", "shop.example"],
)  # fmt: skip
def test_a_webhook_that_leads_where_it_must_not_is_refused_at_once(telling, url):
    answer = telling.post("echo", "x", webhook={"url": url})
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_refused")
    assert "word" not in answer.json()["detail"].replace("password", "")


def test_an_event_that_is_none_is_refused_with_its_place(telling):
    answer = telling.post("echo", "x", webhook={"url": "https://shop.example", "events": ["output.delta"]})
    assert answer.json()["code"] == "invalid_input"
    assert answer.json()["faults"][0]["path"].startswith("$.webhook.events")
    assert telling.post("echo", "x", webhook={"url": "https://shop.example", "typo": 1}).status_code == 422


def test_a_delivery_that_is_not_there_is_told(telling):
    for answer in (telling.http.get("/v1/deliveries/dlv_no"), telling.http.post("/v1/deliveries/dlv_no/retry")):
        assert (answer.status_code, answer.json()["code"]) == (404, "delivery_not_found")
    assert telling.http.get("/v1/deliveries?cursor=abc").json()["code"] == "bad_cursor"
    assert telling.http.get("/v1/deliveries?status=lost").status_code == 422
