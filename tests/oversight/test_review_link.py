"""Signed links: who is told of a question gets an address that opens that one, for a time, and decides nothing."""

import json
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode

import httpx2
import pytest

from pilothouse import Context, agent
from pilothouse.domain.delivery import Receiver, Receivers
from pilothouse.domain.ids import DEFAULT_TENANT
from pilothouse.domain.principal import LOCAL, Principal
from pilothouse.domain.signature import LinkedReview, ReviewLinks, read_link, sign_link
from pilothouse.engine import review
from pilothouse.engine.review_link import NOBODY, make_link
from pilothouse.errors import LinkRefused, Unauthenticated
from pilothouse.ports.delivery import DeliveryFilter
from pilothouse.settings import Flag
from pilothouse.testing import LocalNode
from tests.server.node import serve_node

KEY, OTHER = b"k" * 32, b"o" * 32
LINKED = LinkedReview("acme", "rev_a", 1000)


@agent(mode="event")
async def desk(ctx: Context, what: str) -> str:
    return (await ctx.review(f"{what}?")).verdict


@pytest.fixture
async def node():
    async with LocalNode({"desk": desk}) as node:
        node.world.links = ReviewLinks((KEY,), "https://ops.example.com/", 3600.0)
        node.world.receivers = Receivers((Receiver(name="mail", events=("review.requested",)),), signs=True)
        yield node


def test_a_link_is_read_back_until_its_end_and_with_an_older_key():
    text = sign_link(KEY, LINKED)
    assert read_link((KEY,), text, 999) == LINKED
    assert read_link((OTHER, KEY), text, 999) == LINKED
    assert read_link((KEY,), text, 1000) == "it is over"
    assert read_link((OTHER,), text, 999) == "its signature is not one of ours"


def test_no_other_link_can_be_made_of_one():
    text = sign_link(KEY, LINKED)
    payload, _, digest = text.partition(".")
    plain = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    forged = [plain.replace(b"rev_a", b"rev_b"), plain.replace(b"acme", b"evil"), plain.replace(b"1000", b"9999")]
    tampered = [f"{urlsafe_b64encode(one).rstrip(b'=').decode()}.{digest}" for one in forged]
    tampered += [
        f"{payload}.",
        payload,
        "",
        ".",
        f"{payload}={digest}",
        f"{text}=",
        f"{text} ",
        text[:-1],
        "ä.ä",
        "x" * 9999,
    ]
    tampered += [
        text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] for at in range(len(text)) if text[at] != "."
    ]
    for one in tampered:
        assert read_link((KEY,), one, 999) == "its signature is not one of ours", one


async def test_what_tells_of_a_question_has_the_link_and_no_event_has_it(node):
    run = await node.start("desk", "send it")
    asked = await node.wait_review(run)
    page, _ = await node.kept.list_deliveries(DEFAULT_TENANT, DeliveryFilter(), None, 10)
    (told,) = [json.loads(one.body)["data"] for one in page]
    assert told["review"] == asked.id
    assert told["link"].startswith("https://ops.example.com/v1/review-links/")
    text = told["link"].rpartition("/")[2]
    assert (await review.open_link(node.world, text, LOCAL)).id == asked.id
    assert "link" not in json.dumps([event.body for event in (await node.get(run)).events])


async def test_a_link_shows_nothing_to_who_is_not_signed_in_unless_the_settings_say_so(node):
    asked = await node.wait_review(await node.start("desk", "send it"))
    text = make_link(node.world, DEFAULT_TENANT, asked.id).rpartition("/")[2]
    with pytest.raises(Unauthenticated):
        await review.open_link(node.world, text, NOBODY)
    with pytest.raises(LinkRefused, match="another tenant"):
        await review.open_link(node.world, text, Principal("eve", "human", "evil", frozenset({"*"})))
    node.world.links = ReviewLinks((KEY,), "https://ops.example.com/", 3600.0, needs_signin=False)
    assert (await review.open_link(node.world, text, NOBODY)).id == asked.id
    await node.decide(asked, "approve")
    with pytest.raises(LinkRefused, match="decided"):
        await review.open_link(node.world, text, NOBODY)
    assert (await review.open_link(node.world, text, LOCAL)).status == "decided"


async def test_a_link_is_over_after_its_time(node):
    asked = await node.wait_review(await node.start("desk", "send it"))
    text = make_link(node.world, DEFAULT_TENANT, asked.id).rpartition("/")[2]
    await node.advance(minutes=61)
    with pytest.raises(LinkRefused, match="it is over"):
        await review.open_link(node.world, text, LOCAL)


async def test_a_node_that_makes_no_links_opens_none(node):
    text = sign_link(KEY, LinkedReview(DEFAULT_TENANT, "rev_a", 2**40))
    with pytest.raises(LinkRefused, match="gone"):
        await review.open_link(node.world, text, LOCAL)
    node.world.links = None
    assert make_link(node.world, DEFAULT_TENANT, "rev_a") is None
    with pytest.raises(LinkRefused, match="makes no links"):
        await review.open_link(node.world, text, LOCAL)


@pytest.mark.slow
def test_over_http_a_browser_is_sent_to_the_console_a_program_needs_a_key_and_nobody_decides_by_it(
    tmp_path,
):
    secret = "whsec_" + b64encode(KEY).decode()
    more = (
        Flag("deliveries.secret", "secret", secret),
        Flag("deliveries.review_url", "url", "https://ops.example.com/desk/"),
    )
    with serve_node(tmp_path, more) as served:
        run = served.post("ask", "send it", headers={"Prefer": "respond-async"}).json()["id"]
        found: list = []
        for _ in range(500):
            found = served.http.get("/v1/reviews", params={"run": run}).json()["items"]
            if found:
                break
            served.http.get(f"/v1/runs/{run}", params={"wait": 0.05})
        root = served.http.post("/v1/keys", json={"name": "r", "kind": "human", "scopes": ["*"], "roles": ["*"]}).json()
        path = "/v1/review-links/" + sign_link(KEY, LinkedReview(DEFAULT_TENANT, found[0]["id"], 2**40))
        page = served.http.get(path, headers={"accept": "text/html"}, follow_redirects=False)
        assert (page.status_code, page.headers["location"]) == (303, f"../../#/reviews/{found[0]['id']}")
        assert served.http.get(path).json()["code"] == "unauthenticated"
        bearer = {"Authorization": f"Bearer {root['text']}"}
        assert served.http.get(path, headers=bearer).json()["id"] == found[0]["id"]
        for wrong in (path + "x", path[:-1], "/v1/review-links/x.y"):
            refused: httpx2.Response = served.http.get(wrong, headers={"accept": "text/html"}, follow_redirects=False)
            assert (refused.status_code, refused.json()["code"]) == (403, "link_refused")
        decision = served.http.post(f"/v1/reviews/{found[0]['id']}/decision", json={"verdict": "approve"})
        assert decision.status_code == 401
        assert served.http.post(path, headers=bearer).status_code == 405
