"""People in charge, in a browser: policies are tried, activated and seen to decide; a hold stops an agent."""

import pytest
from playwright.sync_api import expect

from pilothouse.testing import Answer, ScriptedModel, Usage
from tests.console.accessibility import faults_of
from tests.console.project import serve

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

POLICIES = """
@id("small")
permit (principal, action == Action::"refund", resource) when { context.arguments.cents < 100 };
@id("none-for-large")
forbid (principal, action == Action::"refund", resource) when { context.arguments.cents >= 100 };
"""
EVERYTHING = """
@id("everything")
permit (principal, action, resource);
"""


def try_policies(page, text):
    page.goto("/#/policies?tab=compare")
    page.get_by_label("Policies to try on what happened lately").fill(text)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("region", name="What they would change")).to_be_visible()


def test_policies_are_tried_on_what_happened_then_activated_and_seen_on_the_run_they_decide(page, node):
    paid = node.ended(node.start("payer", 5_000)["id"])
    assert paid["status"] == "succeeded"
    try_policies(page, POLICIES)
    page.get_by_role("button", name="Activate…").click()
    dialog = page.get_by_role("dialog", name="Activate these policies?")
    assert faults_of(page) == []
    dialog.get_by_role("button", name="Activate", exact=True).click()
    expect(page.get_by_role("region", name="The active policies")).to_contain_text("none-for-large")

    denied = node.ended(node.start("payer", 6_000)["id"])
    page.goto(f"/#/runs/{denied['id']}")
    page.get_by_role("button", name="refund").or_(page.get_by_role("row", name="refund")).first.click()
    decision = page.get_by_role("region", name="The decision")
    expect(decision).to_contain_text("deny")
    expect(decision).to_contain_text("none-for-large")
    assert faults_of(page) == []

    try_policies(page, EVERYTHING)
    page.get_by_role("button", name="Activate…").click()
    activate = dialog.get_by_role("button", name="Activate", exact=True)
    expect(activate).to_be_disabled()
    dialog.get_by_label("I answer for what is newly allowed").check()
    activate.click()
    expect(page.get_by_role("region", name="The active policies")).to_contain_text("everything")
    signed = node.http.get("/v1/policies").json()["active"]["signed_by"]
    assert signed is not None, "what is newly allowed was signed by a person"


def test_a_text_that_was_changed_since_it_was_compared_cannot_be_activated(page, node):
    try_policies(page, EVERYTHING)
    page.get_by_label("Policies to try on what happened lately").fill(POLICIES)
    expect(page.get_by_role("button", name="Activate…")).to_have_count(0)


def test_a_hold_keeps_an_agent_from_starting_until_it_is_lifted(page, node):
    page.goto("/#/holds")
    page.get_by_role("button", name="Place a hold").click()
    dialog = page.get_by_role("dialog", name="Place a hold")
    dialog.get_by_label("Agent").select_option("quick")
    dialog.get_by_label("Why").fill("It counts wrongly.")
    assert faults_of(page) == []
    dialog.get_by_role("button", name="Place the hold").click()
    row = page.get_by_role("row").filter(has_text="It counts wrongly.")
    expect(row).to_contain_text("effective")
    held = node.start("quick", 1)
    page.goto(f"/#/runs/{held['id']}")
    expect(page.get_by_text("queued").first).to_be_visible()
    page.goto("/#/holds")
    row.get_by_role("button", name="Lift").click()
    page.get_by_role("dialog", name="Lift this hold?").get_by_role("button", name="Lift the hold").click()
    expect(row).to_contain_text("lifted")
    assert node.ended(held["id"])["status"] == "succeeded"
    assert faults_of(page) == []


def test_what_calls_cost_is_shown_by_agent_and_by_model(browser, tmp_path):
    with (
        ScriptedModel(Answer("MIT", usage=Usage(1200, 30))) as model,
        serve(tmp_path, PILOTHOUSE_EGRESS_MODE="open", **model.environment) as node,
    ):
        assert node.ended(node.start("writer", "x")["id"])["status"] == "succeeded"
        context = browser.new_context(base_url=node.url)
        page = context.new_page()
        page.goto("/#/costs")
        row = page.get_by_role("row").filter(has_text="writer")
        expect(row).to_contain_text("1,200")
        expect(page.get_by_text("Calls of models without a price")).to_be_visible()
        page.get_by_role("tab", name="By model").click()
        expect(page.get_by_role("row").filter(has_text="scripted")).to_be_visible()
        assert faults_of(page) == []
        context.close()
