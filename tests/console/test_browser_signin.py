"""Signing in with a browser where keys are asked for, acting there, and leaving."""

import re
from typing import get_args

import pytest
from playwright.sync_api import expect

from pilothouse.domain.principal import Scope
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


def test_a_key_is_made_with_any_scope_that_there_is_then_used_and_revoked(page, node):
    """The form once lacked the scopes of bias audits, examples and erasure."""
    page.goto("/#/keys")
    page.get_by_label("API key").fill(node.root)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog", name="New key")
    expect(dialog.get_by_role("checkbox")).to_have_count(len(get_args(Scope)))
    assert {*dialog.locator(".check").all_inner_texts()} == {*get_args(Scope)} - {"*"} | {"everything"}
    dialog.get_by_label("For whom").fill("fairness")
    dialog.get_by_role("checkbox", name="runs:read").uncheck()
    dialog.get_by_role("checkbox", name="bias:audit").check()
    assert faults_of(page) == []
    dialog.get_by_role("button", name="Make the key").click()
    shown = page.get_by_role("dialog", name="The new key")
    with_it = {"Authorization": f"Bearer {shown.locator('code').inner_text()}"}
    assert node.http.get("/v1/bias/audits", headers=with_it).status_code == 200
    assert node.http.get("/v1/runs", headers=with_it).status_code == 403
    shown.get_by_role("button", name="I have it").click()
    row = page.get_by_role("row").filter(has_text="fairness")
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog", name="Revoke this key?").get_by_role("button", name="Revoke the key").click()
    expect(row).to_have_count(0)
    assert node.http.get("/v1/bias/audits", headers=with_it).status_code == 401
