"""Ten thousand runs, a node that has nothing, and a proxy that puts a path in front."""

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from pilothouse.ports.change import Change
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import SECOND, born, finish
from tests.console.accessibility import faults_of
from tests.console.prefix import PREFIX, Prefixed
from tests.console.project import host_of, serve

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

MANY = 10_000


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
    finally:
        await records.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    with ThreadPoolExecutor(1) as thread:  # while a browser is open no loop can run in this one
        thread.submit(asyncio.run, fill(folder / "pilothouse.db", MANY)).result()
    with serve(folder) as node:
        yield node


def test_ten_thousand_runs_scroll_to_the_last_with_few_rows_in_the_page(page, node):
    page.goto("/#/runs")
    rows = page.locator("[data-row]")
    expect(rows.first).to_be_visible()
    tally = page.locator(".tally")
    for _ in range(300):
        before = tally.inner_text()
        if before == "10,000 runs":
            break
        page.evaluate("document.querySelector('.rows').scrollTo(0, 1e9)")
        page.wait_for_function("before => document.querySelector('.tally').innerText !== before", arg=before)
    expect(page.locator(".tally")).to_have_text("10,000 runs")
    page.evaluate("document.querySelector('.rows').scrollTo(0, 1e9)")
    expect(page.locator("a[href='#/runs/run_00000']")).to_be_visible()
    assert rows.count() < 100
    assert faults_of(page) == []
    run = node.start("quick", 1)
    page.evaluate("document.querySelector('.rows').scrollTo(0, 0)")
    expect(page.locator(f"a[href='#/runs/{run['id']}']")).to_be_visible()


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


def test_the_overview_says_when_an_agent_went_over_to_another_release(browser, tmp_path):
    for more in ("", "\n\ndef added() -> None: ...\n"):
        with serve(tmp_path, more=more) as node:
            release = node.ended(node.start("quick", 1)["id"])["release"]
            if more:
                context = browser.new_context(base_url=node.url)
                page = context.new_page()
                page.goto("/#/overview")
                expect(page.get_by_role("link", name=f"quick went over to release {release[:12]}")).to_be_visible()
                assert faults_of(page) == []
                context.close()


@pytest.mark.parametrize("name", ["overview", "runs", "sessions", "reviews", "queue", "audit", "alerts", "deliveries"])
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
