"""Ten thousand runs, more reviews and holds than a page has, a node that has nothing, and a proxy with a path."""

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from pilothouse.ports.change import Change, CloseReview
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import SECOND, asks, born, finish
from tests.console.accessibility import faults_of
from tests.console.conftest import PATIENCE
from tests.console.prefix import PREFIX, Prefixed
from tests.console.project import host_of, serve

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

MANY = 10_000
DECIDED = 210
ANSWER = b'{"verdict":"approve","reason":"","by":"ada"}'


async def fill(path, many: int) -> None:
    since = round(time.time() - many) * SECOND  # runs that ended long ago would be pruned
    records = SqliteRecords(f"sqlite:///{path}")
    await records.open()
    try:
        for start in range(0, many, 500):
            changes = []
            for number in range(start, start + 500):
                run, at = f"run_{number:05d}", since + number * SECOND
                made = born(run, tenant="default", agent="quick", created_at=at, started_at=at)
                ended = finish(run, tenant="default", finished_at=at + 5000)
                changes.append(records.commit(Change((made,))))
                changes.append(records.commit(Change((ended,))))
            await asyncio.gather(*changes)
        for number in range(DECIDED):
            review, at = f"rev_{number:03d}", since + number * SECOND
            question = f"May I do number {number}?"
            row = asks(review, "run_00000", tenant="default", agent="quick", question=question, created_at=at)
            await records.commit(Change((row,)))
            await records.commit(Change((CloseReview("default", review, "decided", ANSWER, at),)))
    finally:
        await records.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    with ThreadPoolExecutor(1) as thread:  # while a browser is open no loop can run in this one
        thread.submit(asyncio.run, fill(folder / "pilothouse.db", MANY)).result()
    with serve(folder) as node:
        yield node


PAGES = 1 + (MANY - 100 + 199) // 200
"""The first has a hundred runs, each later one two hundred."""
DRAWN_AT_MOST = 100
LAST = "document.querySelector('.rows').scrollTo(0, 1e9)"


def test_ten_thousand_runs_are_read_page_by_page_and_few_rows_are_in_the_document(page, node):
    """No page is asked for before somebody comes near it, none twice, and rows go as others come."""
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "/v1/runs?" in request.url else None)
    page.goto("/#/runs")
    rows, tally = page.locator("[data-row]"), page.locator(".tally")
    expect(rows.first).to_be_visible()
    expect(tally).to_have_text("100 read so far, more below")
    assert later(asked) == [], "only the first hundred were asked for"
    assert rows.count() < DRAWN_AT_MOST
    most = 0
    for number in range(1, PAGES + 1):
        before = tally.inner_text()
        if before == "10,000 runs":
            break
        page.evaluate(LAST)
        page.wait_for_function("before => document.querySelector('.tally').innerText !== before", arg=before)
        most = max(most, rows.count())
        assert len(later(asked)) <= number + 1, "at most one page ahead of who scrolls"
    expect(tally).to_have_text("10,000 runs")
    page.evaluate(LAST)
    expect(page.locator("a[href='#/runs/run_00000']")).to_be_visible()
    assert max(most, rows.count()) < DRAWN_AT_MOST
    assert len(later(asked)) == len(set(later(asked))) == PAGES - 1
    assert all("payloads=short" in url for url in asked), "rows have no use for whole inputs and outputs"
    assert faults_of(page) == []
    run = node.start("quick", 1)
    page.evaluate("document.querySelector('.rows').scrollTo(0, 0)")
    expect(page.locator(f"a[href='#/runs/{run['id']}']")).to_be_visible()


def later(asked: list[str]) -> list[str]:
    """Requests for a page that is not the first. The first is read again as runs change."""
    return [url for url in asked if "cursor=" in url]


def test_what_was_decided_last_is_shown_however_much_was_decided_before(page):
    """Lists came oldest first, so past a hundred decisions the closed reviews showed no new one any more."""
    page.goto("/#/reviews?show=closed")
    expect(page.get_by_role("link").filter(has_text=f"number {DECIDED - 1}?").first).to_be_visible()
    expect(page.get_by_text("these are the newest 100")).to_be_visible()
    expect(page.get_by_role("link").filter(has_text="number 0?")).to_have_count(0)


def test_a_hold_is_shown_and_lifted_however_many_were_lifted_before(page, node):
    """Past two hundred holds the one that was just placed was on no page, so nobody could lift it there."""
    asked = {"effect": "pause", "agent": "nobody", "reason": "A drill."}
    for _ in range(210):
        placed = node.http.post("/v1/holds", json=asked)
        node.http.delete(f"/v1/holds/{placed.json()['id']}").raise_for_status()
    node.http.post("/v1/holds", json=asked | {"reason": "This one counts."}).raise_for_status()
    page.goto("/#/holds")
    row = page.get_by_role("row").filter(has_text="This one counts.")
    row.get_by_role("button", name="Lift").click()
    page.get_by_role("dialog", name="Lift this hold?").get_by_role("button", name="Lift the hold").click()
    expect(row).to_contain_text("lifted")
    expect(page.get_by_text("Of the lifted ones, the newest 100.")).to_be_visible()


def test_the_console_works_behind_a_path_prefix_and_asks_for_nothing_outside_of_it(browser, node):
    with Prefixed(node.url) as proxy:
        context = browser.new_context()
        page = context.new_page()
        page.goto(proxy.url)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        run = node.start("quick", 2)
        page.goto(f"{proxy.url}#/runs/{run['id']}")
        expect(page.get_by_role("heading", level=1)).to_contain_text("succeeded")
        page.get_by_role("link", name="API").click()
        expect(page).to_have_url(re.compile(f"{PREFIX}docs"))
        expect(page.get_by_role("heading", name="Reference")).to_be_visible()
        expect(page.get_by_role("link", name=re.compile("Start a run")).first).to_be_visible()
        context.close()
        assert proxy.strays == []


def test_a_page_goes_on_where_it_was_when_its_node_is_killed_and_comes_again(browser, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    context = browser.new_context()
    page = context.new_page()
    with serve(folder) as node:
        port = node.url.rpartition(":")[2]
        run = node.start("climb", str(tmp_path))["id"]
        page.goto(f"{node.url}/#/runs/{run}")
        (tmp_path / "go-1").touch()
        host_of(tmp_path, 2)
        expect(page.get_by_role("button", name=re.compile("await_file"))).to_have_count(1)
        node.process.kill()
        expect(page.get_by_text("connecting again")).to_be_visible()
        expect(page.get_by_text("does not answer").first).to_be_visible()
    with serve(folder, "--port", port) as node:
        for number in (2, 3):
            (tmp_path / f"go-{number}").touch()
        expect(page.get_by_role("heading", level=1)).to_contain_text("succeeded")
        page.get_by_role("tab", name=re.compile("Events")).click()
        numbers = [int(text) for text in page.locator(".eventrow > :first-child").all_inner_texts()]
        assert numbers == list(range(1, len(numbers) + 1)), "no event is missing, and none is there twice"
    context.close()


PLANNED = "\n[agents.refunds.objectives]\ncost_usd_a_day = 0.001\n"
DRAWN = """() => {
    // In each plot, how many pixels have the colour of each kind of mark, as the topmost three rows of it have them.
    const colour = (name) => {
        const probe = document.createElement('span');
        probe.style.color = `var(${name})`;
        document.body.append(probe);
        const [r, g, b] = getComputedStyle(probe).color.match(/[0-9]+/g).map(Number);
        probe.remove();
        return `${r},${g},${b}`;
    };
    const kinds = {release: colour('--accent'), alert: colour('--bad'), hold: colour('--warn')};
    return [...document.querySelectorAll('canvas')].map((canvas) => {
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const found = {};
        for (let at = 0; at < data.length; at += 4) {
            const one = data.slice(at, at + 3).join();
            for (const [kind, wanted] of Object.entries(kinds)) found[kind] = (found[kind] || 0) + (one === wanted);
        }
        return Object.keys(kinds).filter((kind) => found[kind] > 0).join();
    });
}"""


def test_the_overview_marks_releases_alerts_and_holds_in_its_plots_and_lists_them(browser, tmp_path):
    with serve(tmp_path) as node:
        node.ended(node.start("refunds", {"customer": "ada", "cents": 5})["id"])
    with serve(tmp_path, more="\n\ndef added() -> None: ...\n", settings=PLANNED) as node:
        release = node.ended(node.start("refunds", {"customer": "eve", "cents": 5})["id"])["release"]
        context = browser.new_context(base_url=node.url, viewport={"width": 1280, "height": 860}, color_scheme="light")
        page = context.new_page()
        page.goto("/#/overview?range=15m")
        expect(page.get_by_role("link", name=f"refunds went over to release {release[:12]}")).to_be_visible()
        expect(page.locator("canvas")).to_have_count(4)
        context.set_default_timeout(PATIENCE)
        drawn = f"(kind) => ({DRAWN})().every((one) => one.includes(kind))"
        page.wait_for_function(drawn, arg="release", polling=500)
        assert "hold" not in "".join(page.evaluate(DRAWN)), "what did not happen is not drawn"
        hold = node.http.post("/v1/holds", json={"agent": "desk", "reason": "Looks odd."}).json()["id"]
        page.reload()
        row = page.get_by_role("listitem").filter(has_text="Hold (pause) over agent desk: Looks odd.")
        expect(row).to_contain_text("goes on")
        node.http.delete(f"/v1/holds/{hold}")
        page.reload()
        expect(row).to_contain_text("was over after")
        expect(page.get_by_role("link", name=re.compile("refunds cost .* 0.00 are planned"))).to_be_visible()
        for kind in ("release", "alert", "hold"):
            page.wait_for_function(drawn, arg=kind, polling=500)
        tiles = page.evaluate("""() => [...document.querySelectorAll('.tile')].map((one) => one.getBoundingClientRect())
            .map((one) => [Math.round(one.left), Math.round(one.right), Math.round(one.top)])""")
        box = page.locator(".tiles").bounding_box()
        rows = {top: [(left, right) for left, right, at in tiles if at == top] for _, _, top in tiles}
        for row in rows.values():  # no band of grey beside the last tile of a row
            assert abs(max(right for _, right in row) - (box["x"] + box["width"])) <= 2
            assert abs(min(left for left, _ in row) - box["x"]) <= 2
        assert faults_of(page) == []
        context.close()


EMPTY = (
    "overview", "runs", "sessions", "reviews", "reviews?kind=appeal", "queue", "audit", "alerts", "deliveries",
    "bias", "bias?tab=findings", "evaluations", "evaluations?tab=datasets",
)  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_page_says_what_to_do_next(browser, tmp_path_factory, name, empty):
    context = browser.new_context(base_url=empty.url)
    page = context.new_page()
    page.goto(f"/#/{name}")
    expect(page.locator(".empty, .card").first).to_be_visible()
    assert faults_of(page) == []
    context.close()


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("empty")) as node:
        yield node
