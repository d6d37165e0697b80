"""Signing in with a browser where keys are asked for, acting there, and leaving."""

import re

import pytest
from playwright.sync_api import expect

from tests.console.accessibility import faults_of
from tests.console.project import serve

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("signin")) as node:
        root = node.http.post(
            "/v1/keys", json={"name": "root", "kind": "human", "scopes": ["*"], "roles": ["*"]}
        ).json()
        node.http.headers["Authorization"] = f"Bearer {root['text']}"
        node.root = root["text"]
        yield node


def test_nothing_is_shown_before_a_key_is_and_all_is_after(page, node):
    review = node.parked(node.start("refunds", {"customer": "ada", "cents": 20_000})["id"])
    page.goto(f"/#/reviews/{review['id']}")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_text("ada")).to_have_count(0)
    assert faults_of(page) == []
    page.get_by_label("API key").fill("phk_0_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("API key").fill(node.root)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Pay back 20000 to ada?")).to_be_visible()
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert node.root not in cookie["value"]
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert "phk_" not in stored
    page.keyboard.press("x")
    page.get_by_role("button", name="Reject it").click()
    expect(page.get_by_text("Rejected; the run is told.")).to_be_visible()
    assert node.http.get(f"/v1/reviews/{review['id']}").json()["answer"]["by"] == "root"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_who_may_not_is_told_which_scope_is_missing(page, node):
    body = {"name": "reader", "kind": "human", "scopes": ["runs:read", "reviews:read"]}
    key = node.http.post("/v1/keys", json=body).json()["text"]
    run = node.ended(node.start("refunds", {"customer": "eve", "cents": -1})["id"])
    page.goto(f"/#/runs/{run['id']}")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("failed")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text(re.compile("scope runs:write")).first).to_be_visible()
