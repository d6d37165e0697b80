"""People in charge, in a browser: policies are tried, activated and seen to decide; a hold stops an agent.

Schedules are paused and fired, what did not arrive is sent again, and the audit log tells who did it all.
"""

import re

import pytest
from playwright.sync_api import expect

from pilothouse.testing import Answer, ScriptedModel, Usage
from tests.console.accessibility import faults_of
from tests.console.project import serve
from tests.receiver import receiving

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


DELIVERIES = """
[deliveries]
loopback = true
secret = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("charge"), settings=DELIVERIES) as node:
        yield node


@pytest.fixture
def receiver():
    """A receiver that is gone (410) the first time, and takes what comes from then on."""
    heard: list[str] = []

    def hear(headers, body) -> int:
        heard.append(headers["webhook-id"])
        return 410 if len(heard) == 1 else 200

    with receiving(hear) as url:
        yield url, heard


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


def keep_changes(page, address) -> list:
    """The changes that the page asks for there, which wait until they are let go."""
    kept: list = []
    page.route(address, lambda route: kept.append(route) if route.request.method == "POST" else route.fallback())
    return kept


def let_go(page, kept) -> None:
    while not kept:
        page.wait_for_timeout(20)
    kept[0].continue_()


def test_a_form_is_sent_once_however_often_it_is_pressed_while_its_answer_is_out(page, node):
    """Two quick clicks on "Place the hold" placed two holds, and each had to be lifted: forms had no memory of what
    was under way."""
    kept = keep_changes(page, "**/v1/holds")
    page.goto("/#/holds")
    page.get_by_role("button", name="Place a hold").click()
    dialog = page.get_by_role("dialog", name="Place a hold")
    dialog.get_by_label("Only the session").fill("nobody")
    dialog.get_by_label("Why").fill("Pressed twice.")
    dialog.get_by_role("button", name="Place the hold").click()
    expect(dialog.get_by_role("button", name="Place the hold")).to_be_disabled()
    dialog.locator("form").evaluate("form => form.requestSubmit()")  # as a key does that a script presses
    let_go(page, kept)
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("row").filter(has_text="Pressed twice.")).to_have_count(1)
    assert len(kept) == 1
    placed = [one for one in node.http.get("/v1/holds").json()["items"] if one["reason"] == "Pressed twice."]
    assert len(placed) == 1
    node.http.delete(f"/v1/holds/{placed[0]['id']}").raise_for_status()


def test_a_run_is_retried_once_however_often_the_button_is_pressed(page, node):
    failed = node.ended(node.start("refunds", {"customer": "mallory", "cents": -5})["id"])["id"]
    kept = keep_changes(page, "**/retry")
    page.goto(f"/#/runs/{failed}")
    retry = page.get_by_role("button", name="Retry")
    retry.click()
    expect(retry).to_be_disabled()
    let_go(page, kept)
    expect(page).not_to_have_url(re.compile(failed))
    assert len(kept) == 1
    made = [one for one in node.http.get("/v1/runs", params={"limit": 50}).json()["items"] if one["origin"] == failed]
    assert len(made) == 1


def test_an_incident_is_opened_for_a_run_and_for_an_agent_and_marked_on_the_overview(page, node):
    run = node.ended(node.start("quick", 3)["id"])["id"]
    for address, text in ((f"runs/{run}", "It counted to three."), ("agents/quick", "It cannot count.")):
        page.goto(f"/#/{address}")
        page.get_by_role("button", name="Incident").click()
        dialog = page.get_by_role("dialog", name="Open an incident")
        expect(dialog.get_by_role("button", name="Open the incident")).to_be_disabled()
        dialog.get_by_label("What happened").fill(text)
        assert faults_of(page) == []
        dialog.get_by_role("button", name="Open the incident").click()
        expect(page.get_by_role("article")).to_contain_text(text)
    opened = node.http.get("/v1/reviews", params={"kind": "incident"}).json()["items"]
    assert [(one["agent"], one["run"]) for one in opened] == [("quick", run), ("quick", "")]
    page.goto("/#/overview?agent=quick")
    changes = page.get_by_role("region", name="What changed").get_by_role("listitem").filter(has_text="Incident")
    expect(changes).to_have_count(2)
    expect(changes.filter(has_text="It counted to three.")).to_contain_text("goes on")
    legend = page.get_by_role("figure").filter(has_text="Runs that ended").get_by_role("listitem")
    expect(legend.filter(has_text="incident")).to_have_count(1)
    assert faults_of(page) == []


def test_a_schedule_is_fired_now_paused_and_resumed(page, node):
    rule = {"name": "nightly", "agent": "quick", "at": "2999-01-01T00:00:00Z", "input": 7}
    node.http.post("/v1/schedules", json=rule).raise_for_status()
    page.goto("/#/schedules")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="nightly"))
    expect(row).to_contain_text("never")
    row.get_by_role("button", name="Pause").click()
    expect(row.get_by_role("button", name="Resume")).to_be_visible()
    expect(row.get_by_role("rowheader")).to_contain_text("paused")
    assert node.http.get("/v1/schedules/nightly").json()["status"] == "paused"
    row.get_by_role("button", name="Resume").click()
    expect(row.get_by_role("button", name="Pause")).to_be_visible()
    assert node.http.get("/v1/schedules/nightly").json()["status"] == "active"
    kept = keep_changes(page, "**/nightly/run")
    now = row.get_by_role("button", name="Now")
    now.click()
    expect(now).to_be_disabled()  # a second press while the answer is out starts no second run
    let_go(page, kept)
    row.get_by_role("link", name=re.compile("^run_")).click()
    expect(page).to_have_url(re.compile("#/runs/run_"))
    run = page.url.rsplit("/", 1)[1]
    assert node.ended(run)["output"] == 7


def test_a_delivery_that_was_given_up_is_sent_again(page, node, receiver):
    url, heard = receiver
    run = node.start("quick", 1, webhook={"url": url})["id"]
    page.goto("/#/deliveries")
    row = page.get_by_role("row").filter(has=page.locator(f"a[href='#/runs/{run}']"))
    expect(row).to_contain_text("dead")
    expect(row).to_contain_text("410")
    assert faults_of(page) == []
    row.get_by_role("button", name="Again").click()
    expect(row).to_contain_text("delivered")
    expect(row.get_by_role("button")).to_have_count(0)
    assert len(heard) == 2
    assert len(set(heard)) == 1, "a receiver can tell that it is the same"
    page.get_by_role("group", name="Which deliveries").get_by_role("button", name="dead").click()
    expect(page.get_by_text("No delivery")).to_be_visible()


def test_the_audit_page_lists_who_did_what_with_a_checkpoint_and_how_to_verify_it(page, node):
    hold = node.http.post("/v1/holds", json={"effect": "pause", "agent": "climb", "reason": "Told below."}).json()
    page.goto("/#/audit")
    entries = page.get_by_role("region", name="Entries, newest first").get_by_role("listitem")
    placed = entries.filter(has_text=hold["id"]).filter(has_text="hold.placed")
    expect(placed).to_have_count(1)
    expect(placed).to_contain_text("by local")
    placed.locator("summary").click()
    expect(placed.get_by_role("group", name=re.compile("^entry"))).to_contain_text("Told below.")
    checkpoint = page.get_by_role("region", name=re.compile("^Checkpoint over [0-9,]+ entr"))
    expect(checkpoint).to_contain_text(node.http.get("/v1/audit/checkpoint").json()["key"])
    expect(checkpoint).to_contain_text("pilothouse audit export log.tar && pilothouse audit verify log.tar")
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
        page.goto("/#/providers")
        cells = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="scripted")).get_by_role("cell")
        expect(cells.first).to_have_text("asked")
        expect(cells.nth(3)).to_have_text("1")
        expect(cells.nth(4)).to_have_text("0 %")
        context.close()
