"""Reviews that several people decide, each signed in with a key of their own, and what is shown of each kind.

The node asks for keys. Where two decide at once, the request of one is kept back in their browser until the other's
has been answered, so who loses is never a matter of speed.
"""

import re

import pytest
from playwright.sync_api import expect

from tests.console.accessibility import faults_of
from tests.console.conftest import PATIENCE, Watched
from tests.console.project import serve

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

TWO = '@id("two of finance") @review("finance") @quorum("2") permit (principal, action == Action::"refund", resource);'


def hire(node, name, *roles):
    """The text of a key for a person."""
    body = {"name": name, "kind": "human", "scopes": ["*"], "roles": list(roles)}
    answer = node.http.post("/v1/keys", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["text"]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("reviews")) as node:
        root = hire(node, "root", "*")
        node.http.headers["Authorization"] = f"Bearer {root}"
        done = node.http.put("/v1/policies", json={"text": TWO, "mode": "enforce", "signed": True})
        assert done.status_code == 200, done.text
        node.people = {name: hire(node, name, "finance") for name in ("ada", "bob", "cleo")}
        yield node


@pytest.fixture
def sign_in(browser, node):
    """Opens a browser of somebody's own, signed in, at an address. Each is watched until the test is over."""
    opened = []

    def open_for(key, address):
        context = browser.new_context(base_url=node.url, viewport={"width": 1280, "height": 860})
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        opened.append((context, Watched(page, node.url)))
        page.goto(address)
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        return page

    yield open_for
    for context, _ in opened:
        context.close()
    assert [fault for _, watched in opened for fault in watched.faults] == []


def decide(page, verdict, button):
    page.get_by_role("radio", name=verdict).click()
    page.get_by_role("button", name=button).click()


def test_two_people_with_their_own_keys_decide_and_the_run_goes_on_after_the_second(node, sign_in):
    run = node.start("payer", 4_000)
    review = node.parked(run["id"])
    pages = {name: sign_in(node.people[name], f"/#/reviews/{review['id']}") for name in ("ada", "bob")}
    ada, bob = pages["ada"], pages["bob"]
    for page in pages.values():
        votes = page.get_by_role("region", name="Votes")
        expect(votes).to_contain_text("0 of 2 with the role finance")
        expect(votes).to_contain_text("2 more people have to agree.")
        expect(page.get_by_role("region", name="The action")).to_contain_text("4000")
    decide(ada, "Approve", "Approve it")
    for page in pages.values():  # the other one sees it without doing anything
        expect(page.get_by_role("region", name="Votes")).to_contain_text("One more person has to agree.")
        expect(page.get_by_role("list", name="Votes so far")).to_contain_text("ada agreed")
    expect(ada.get_by_text("You have agreed. Others have to as well")).to_be_visible()
    expect(ada.get_by_role("radio")).to_have_count(0)
    assert faults_of(ada) == []
    again = ada.evaluate(
        """async (review) => {
            const {csrf_token} = await (await fetch('v1/signin')).json();
            const headers = {'Content-Type': 'application/json', 'X-CSRF-Token': csrf_token};
            const body = JSON.stringify({verdict: 'approve'});
            const answer = await fetch(`v1/reviews/${review}/decision`, {method: 'POST', headers, body});
            return (await answer.json()).code;
        }""",
        review["id"],
    )
    assert again == "vote_refused", "also one who gets around the page does not vote twice"
    assert node.http.get(f"/v1/runs/{run['id']}").json()["status"] == "waiting"
    decide(bob, "Approve", "Approve it")
    expect(bob.get_by_role("region", name="The answer")).to_contain_text("approve by ada, bob")
    expect(ada.get_by_role("region", name="The answer")).to_contain_text("approve by ada, bob")
    assert node.ended(run["id"])["output"] == "paid 4000 for A-1042"


def test_who_decides_a_moment_too_late_is_told_so_in_place(node, sign_in):
    run = node.start("payer", 5_000)
    review = node.parked(run["id"])
    winner = sign_in(node.people["bob"], f"/#/reviews/{review['id']}")
    loser = sign_in(node.people["cleo"], f"/#/reviews/{review['id']}")
    kept_back = []
    loser.route("**/decision", lambda route: kept_back.append(route))
    decide(loser, "Approve", "Approve it")
    while not kept_back:
        loser.wait_for_timeout(20)
    decide(winner, "Reject", "Reject it")
    expect(winner.get_by_role("region", name="The answer")).to_contain_text("reject by bob")
    [late] = kept_back
    late.continue_()
    expect(loser.get_by_role("alert")).to_contain_text("Your “approve” came too late and does not count")
    expect(loser.get_by_role("region", name="The answer")).to_contain_text("reject by bob")
    assert faults_of(loser) == []
    assert node.ended(run["id"])["status"] == "failed"


@pytest.fixture(scope="module")
def kinds(node):
    """An open review of each kind that people meet, by kind."""
    plan = node.http.put("/v1/agents/quick/sampling", json={"rate": 1.0})
    assert plan.status_code == 200, plan.text
    done = node.ended(node.start("quick", 7)["id"])["id"]
    asks = {"reason": "It should have been eight.", "asks": 8}
    appeal = node.http.post(f"/v1/runs/{done}/appeals", json=asks)
    incident = node.http.post("/v1/incidents", json={"happened": "Refunds went out twice.", "agent": "payer"})
    gate = node.parked(node.start("refunds", {"customer": "grace", "cents": 30_000})["id"])
    asked = node.parked(node.start("payer", 6_000)["id"])
    alone = node.http.post("/v1/keys", json={"name": "dana", "kind": "human", "scopes": ["*"],
                                             "roles": ["break-glass"]}).json()["text"]  # fmt: skip
    node.http.post(
        f"/v1/reviews/{asked['id']}/decision",
        json={"verdict": "approve", "reason": "Nobody else was awake.", "break_glass": True},
        headers={"Authorization": f"Bearer {alone}"},
    ).raise_for_status()

    def only(kind):
        [one] = node.http.get("/v1/reviews", params={"status": "open", "kind": kind, "limit": 200}).json()["items"]
        return one

    found = {"appeal": appeal.json(), "incident": incident.json(), "gate": gate}
    return found | {kind: only(kind) for kind in ("sample", "audit")}


SAYS = {
    "gate": ("What it is about, as the agent gave it", "30000"),
    "sample": ("What came out", "7"),
    "appeal": ("Why it is not accepted", "It should have been eight."),
    "incident": ("What happened", "Refunds went out twice."),
    "audit": ("What was decided alone", "Nobody else was awake."),
}


def test_each_kind_has_its_mark_and_shows_what_whoever_decides_needs(node, sign_in, kinds):
    page = sign_in(node.people["ada"], "/#/reviews")
    inbox = page.get_by_role("list", name="Reviews", exact=True)
    for kind, (title, text) in SAYS.items():
        page.goto(f"/#/reviews/{kinds[kind]['id']}")
        letter = page.get_by_role("article")
        expect(letter.get_by_role("heading", name=title, exact=True)).to_be_visible()
        expect(letter).to_contain_text(text)
        expect(inbox.locator("[aria-current=true]")).to_contain_text(kind)
        has_edit = kind not in ("incident", "audit")
        expect(page.get_by_role("radio", name="Edit")).to_have_count(int(has_edit))
        assert faults_of(page) == []
    page.goto(f"/#/reviews/{kinds['appeal']['id']}")
    expect(page.get_by_role("group", name="what the appeal asks for")).to_contain_text("added: 8")
    page.keyboard.press("e")
    expect(page.get_by_label("What it shall be instead")).to_have_value("7")


def test_the_inbox_is_filtered_by_kind_and_the_filter_stays_in_the_address(node, sign_in, kinds):
    page = sign_in(node.people["ada"], "/#/reviews")
    inbox = page.get_by_role("list", name="Reviews", exact=True)
    expect(inbox.get_by_role("link").filter(has_text="grace")).to_be_visible()
    page.get_by_role("combobox", name="Kind").select_option("incident")
    expect(page).to_have_url(re.compile("kind=incident"))
    expect(inbox.get_by_role("link")).to_have_count(1)
    expect(inbox).to_contain_text("An incident of payer")
    page.reload()
    expect(page.get_by_role("combobox", name="Kind")).to_have_value("incident")
    expect(inbox.get_by_role("link")).to_have_count(1)
    page.get_by_role("combobox", name="Kind").select_option("budget")
    expect(page.get_by_text("Nobody is asked anything of the kind “budget”")).to_be_visible()
    assert faults_of(page) == []
    page.get_by_role("button", name="Show all kinds").click()
    expect(inbox.get_by_role("link").filter(has_text="grace")).to_be_visible()


def test_the_inbox_shows_what_asks_for_ones_roles_and_remembers_it_in_the_address(node, sign_in, kinds):
    asked = node.parked(node.start("payer", 7_100)["id"])
    page = sign_in(node.people["ada"], "/#/reviews")
    inbox = page.get_by_role("list", name="Reviews", exact=True)
    mine, others = (inbox.locator(f"a[href*='{one['id']}']") for one in (asked, kinds["gate"]))
    expect(mine).to_be_visible()
    expect(others).to_be_visible()
    page.get_by_role("button", name="For my roles").click()
    expect(page).to_have_url(re.compile("for=me"))
    expect(others).to_have_count(0)
    expect(mine).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="For my roles", pressed=True)).to_be_visible()
    expect(mine).to_be_visible()
    expect(others).to_have_count(0)
    assert faults_of(page) == []


def test_a_role_is_lent_for_a_time_and_who_has_it_may_vote_until_it_is_ended(node, sign_in):
    stranger = hire(node, "eve")
    review = node.parked(node.start("payer", 7_200)["id"])
    eve = sign_in(stranger, f"/#/reviews/{review['id']}")
    expect(eve.get_by_role("note")).to_contain_text("do not have the role finance")
    ada = sign_in(node.people["ada"], "/#/reviews")
    ada.get_by_role("button", name="Delegations").click()
    dialog = ada.get_by_role("dialog", name="Who votes in whose name")
    expect(dialog.get_by_text("Nobody votes in the name of another")).to_be_visible()
    expect(dialog.get_by_label("finance")).to_be_checked()
    dialog.get_by_label("Who votes in your name").fill("eve")
    dialog.get_by_role("combobox", name="For how long").select_option(label="a week")
    assert faults_of(ada) == []
    dialog.get_by_role("button", name="Let them vote").click()
    row = dialog.get_by_role("row").filter(has_text="eve")
    expect(row).to_contain_text("finance")
    eve.reload()
    expect(eve.get_by_role("radio", name="Approve")).to_be_visible()
    row.get_by_role("button", name="End").click()
    expect(dialog.get_by_text("Nobody votes in the name of another")).to_be_visible()
    assert node.http.get("/v1/delegations").json()["items"] == []
    eve.reload()
    expect(eve.get_by_role("note")).to_contain_text("do not have the role finance")


def test_who_may_break_the_glass_decides_alone_with_a_reason_and_others_are_asked_about_it(node, sign_in):
    run = node.start("payer", 7_300)
    review = node.parked(run["id"])
    without = sign_in(node.people["ada"], f"/#/reviews/{review['id']}")
    expect(without.get_by_role("radio", name="Approve")).to_be_visible()
    expect(without.get_by_role("button", name="Break the glass…")).to_have_count(0)
    page = sign_in(hire(node, "fred", "break-glass"), f"/#/reviews/{review['id']}")
    expect(page.get_by_role("radio", name="Approve")).to_have_count(0)
    page.get_by_role("button", name="Break the glass…").click()
    dialog = page.get_by_role("dialog", name="Decide this alone?")
    expect(dialog.get_by_role("button", name="Decide alone")).to_be_disabled()
    dialog.get_by_label("Why it cannot wait").fill("The lamp burns.")
    assert faults_of(page) == []
    dialog.get_by_role("button", name="Decide alone").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto(f"/#/reviews/{review['id']}")  # it has gone on to the next one
    answer = page.get_by_role("region", name="The answer")
    expect(answer).to_contain_text("approve by fred")
    expect(answer).to_contain_text("The lamp burns.")
    assert node.ended(run["id"])["output"] == "paid 7300 for A-1042"
    audits = node.http.get("/v1/reviews", params={"status": "open", "kind": "audit", "run": run["id"]}).json()["items"]
    assert [one["details"]["reason"] for one in audits] == ["The lamp burns."]


def test_whoever_asks_how_policies_would_rule_is_told_who_would_be_asked(node, sign_in):
    page = sign_in(node.people["ada"], "/#/policies?tab=explain")
    page.get_by_label("Tool").fill("refund")
    page.get_by_label("Arguments").fill('{"order": "A-1042", "cents": 900}')
    page.get_by_role("button", name="Explain").click()
    ruling = page.get_by_role("region", name="The ruling")
    expect(ruling).to_contain_text("ask")
    expect(ruling).to_contain_text("2 people with the role finance")
    expect(ruling).to_contain_text("Decided by two of finance.")
    assert faults_of(page) == []
