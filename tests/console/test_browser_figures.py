"""Bias audits, evaluations and alerts in a browser: an audit is run and read, a finding dealt with, two releases
compared, an alert fires and another is over.

The node is started twice with different code, so that its agent has two releases; what they score is handed in. One
objective of another agent is promised in the first life only: what it had missed is resolved in the second.
"""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.console.accessibility import faults_of
from tests.console.project import serve
from tests.console.test_browser_pages import DESKTOP, PHONE, wide

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

CREDIT = '''

@agent(mode="event")
async def credit(ctx: Context, income: int) -> dict[str, Any]:
    """Grants what it is asked for when the income is large enough."""
    return {"granted": income > 10}


@agent(mode="event")
async def lost(ctx: Context) -> None:
    """Says something, later than was promised, and fails."""
    await ctx.emit("where am I?")
    raise RuntimeError("lost")
'''
SETTINGS = """
[agents.credit]
target = "agents:credit"

[agents.credit.decision]
outcome = "granted"
groups = ["sex"]
minimum = 5

[agents.lost]
target = "agents:lost"

[agents.lost.objectives]
anomalies = false
"""
BRIEFLY = SETTINGS + "first_output_within_seconds = 0.000001\n"
EXAMPLES = 10


def decide(node, income, **groups):
    run = node.ended(node.start("credit", income)["id"])["id"]
    if groups:
        node.http.put(f"/v1/runs/{run}/groups", json={"groups": groups}).raise_for_status()
    return run


def evaluate(node, examples, right):
    """What this release scores when so many outputs are right."""
    scored = [
        {"example": one["id"], "run": decide(node, one["input"]), "scores": [float(number < right)]}
        for number, one in enumerate(examples)
    ]
    body = {"agent": "credit", "dataset": "cases", "number": 1, "evaluators": ["exact"], "scored": scored}
    answer = node.http.post("/v1/evaluations", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def alerts(node):
    return node.http.get("/v1/alerts").json()["items"]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    with serve(folder, more=CREDIT, settings=BRIEFLY) as node:
        assert node.ended(node.start("lost", None)["id"])["status"] == "failed"
        for _ in range(EXAMPLES):
            said = {"kind": "correction", "expected": {"granted": True}}
            node.http.post(f"/v1/runs/{decide(node, 5)}/feedback", json=said).raise_for_status()
        node.http.post("/v1/datasets/cases", json={"agent": "credit"}).raise_for_status()
        items = node.http.get("/v1/datasets/cases/1").json()["items"]
        examples = [item["example"] for item in items]
        first = evaluate(node, examples, EXAMPLES)
        while {one["objective"] for one in alerts(node)} != {"ended", "first_output"}:  # judged every 15 s
            time.sleep(0.1)
    with serve(folder, more=CREDIT + "\n\ndef added() -> None: ...\n", settings=SETTINGS) as node:
        node.first, node.second = first, evaluate(node, examples, 1)
        assert node.first["release"] != node.second["release"]
        for number in range(6):  # 5 of 6 men are granted, 2 of 6 women; two others are too few
            decide(node, 20 if number < 5 else 5, sex="male")
            decide(node, 20 if number < 2 else 5, sex="female")
        for _ in range(2):
            decide(node, 5, sex="other")
        yield node


def test_an_audit_is_run_and_read_with_what_it_flagged_and_what_was_too_small(page, node):
    page.goto("/#/bias")
    expect(page.get_by_text("Nothing was audited yet")).to_be_visible()
    page.get_by_role("button", name="Audit an agent").click()
    dialog = page.get_by_role("dialog", name="Audit an agent")
    expect(dialog.get_by_role("button", name="Audit", exact=True)).to_be_disabled()
    dialog.get_by_role("combobox", name="Agent").select_option("quick")
    dialog.get_by_role("button", name="Audit", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("quick")  # it declares no decision, and that is said
    dialog.get_by_role("combobox", name="Agent").select_option("credit")
    assert faults_of(page) == []
    dialog.get_by_role("button", name="Audit", exact=True).click()
    expect(page.get_by_role("heading", name="Audit of credit")).to_be_visible()
    groups = page.get_by_role("group", name="Groups by sex").get_by_role("row")
    female, male, other = [groups.filter(has=page.get_by_role("rowheader", name=name, exact=True))
                           for name in ("female", "male", "other")]  # fmt: skip
    [told] = node.http.get("/v1/bias/audits").json()["items"]
    [figures] = [one for one in told["attributes"][0]["groups"] if one["group"] == "female"]
    low, high = figures["ratio_interval"]["low"], figures["ratio_interval"]["high"]
    expect(female).to_contain_text(f"0.40 ({low:.2f} to {high:.2f})")
    expect(female).to_contain_text("33.3 %")
    expect(female).to_contain_text("flagged: under four fifths")
    expect(male).to_contain_text("most favoured")
    expect(other).to_contain_text("not judged: fewer than 5 cases")
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        assert faults_of(page) == []
        assert wide(page) <= 0
    page.get_by_role("link", name="Bias audits").click()
    expect(page.get_by_role("group", name="Audits").get_by_role("row").nth(1)).to_contain_text("14")


def test_a_finding_is_dealt_with_by_the_keyboard_and_keeps_who_and_why(page, node):
    node.http.post("/v1/agents/credit/bias", json={}).raise_for_status()
    page.goto("/#/bias?tab=findings")
    card = page.get_by_role("listitem", name="Finding about female")
    expect(card).to_contain_text("open")
    card.get_by_role("button", name="Change the state").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Change the state of this finding")
    expect(dialog.get_by_role("button", name="Change it")).to_be_disabled()
    dialog.get_by_role("radio", name=re.compile("^mitigated")).focus()
    page.keyboard.press("Tab")
    page.keyboard.type("The threshold is lower since today.")
    assert faults_of(page) == []
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Change it")).to_be_focused()
    page.keyboard.press("Enter")
    expect(card.get_by_role("list", name="What was done about it")).to_contain_text("mitigated by local")
    expect(card).to_contain_text("The threshold is lower since today.")
    page.get_by_role("group", name="Which findings").get_by_role("button", name="open").click()
    expect(page.get_by_text("No finding is open")).to_be_visible()
    [told] = node.http.get("/v1/bias/findings").json()["items"]
    assert (told["state"], told["history"][0]["reason"]) == ("mitigated", "The threshold is lower since today.")


def test_datasets_lead_to_what_was_scored_on_them_and_two_releases_are_compared(page, node):
    page.goto("/#/evaluations?tab=datasets")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="cases:1"))
    expect(row).to_contain_text("credit")
    expect(row.get_by_role("cell").nth(1)).to_have_text(str(EXAMPLES))  # now and then all of them are of one part
    assert faults_of(page) == []
    row.get_by_role("link").click()
    rows = page.get_by_role("group", name="Evaluations", exact=True).get_by_role("row")
    expect(rows).to_have_count(3)
    low, high = (node.second["scores"][0]["score"]["interval"][end] for end in ("low", "high"))
    newest = rows.filter(has_text=node.second["release"][:12])
    expect(newest).to_contain_text(f"exact 0.100 ({low:.3f} to {high:.3f})")
    newest.get_by_role("link").click()
    expect(page.get_by_role("heading", name="credit on cases:1")).to_be_visible()
    expect(page.get_by_role("group", name="Scores by evaluator")).to_contain_text(f"{low:.3f}")
    page.get_by_role("combobox", name="The earlier one").select_option(node.first["id"])
    compared = page.get_by_role("group", name="Differences by evaluator")
    expect(compared).to_contain_text("−0.900")
    expect(compared).to_contain_text("worse, and not by chance")
    expect(page).to_have_url(re.compile(f"to={node.first['id']}"))
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        assert faults_of(page) == []
        assert wide(page) <= 0


def test_alerts_that_fire_are_told_with_how_much_was_missed_and_those_that_are_over_stand_below(page, node):
    page.goto("/#/alerts")
    firing = page.get_by_role("list", name="Firing").get_by_role("listitem")
    expect(firing).to_have_count(1)
    [told] = alerts(node)
    expect(firing).to_contain_text(told["summary"])
    expect(firing).to_contain_text("ended")
    expect(firing).to_contain_text("Measured100 %")
    over = page.get_by_role("group", name="Resolved alerts").get_by_role("row")
    expect(over).to_have_count(2)
    expect(over.nth(1)).to_contain_text("lost")
    expect(over.nth(1)).to_contain_text("first_output")
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        assert faults_of(page) == []
        assert wide(page) <= 0
    firing.get_by_role("link", name="lost").click()
    expect(page).to_have_url(re.compile("overview.*agent=lost"))
