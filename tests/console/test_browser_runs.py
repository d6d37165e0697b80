"""Runs in a browser: the list, one run, what can be done about it, and what happens while one looks."""

import os
import re
import signal

import pytest
from playwright.sync_api import expect

from tests.console.accessibility import faults_of
from tests.console.project import host_of

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_list_shows_what_is_kept_and_filters_stay_in_the_address(page, node):
    done = node.ended(node.start("refunds", {"customer": "ada", "cents": 5})["id"])
    failed = node.ended(node.start("refunds", {"customer": "eve", "cents": -1})["id"])
    assert (done["status"], failed["status"]) == ("succeeded", "failed")
    page.goto("/#/runs")
    rows = page.get_by_role("row")
    expect(rows.filter(has_text="refunds").first).to_be_visible()
    page.get_by_role("group", name="States").get_by_role("button", name="failed").click()
    expect(page).to_have_url(re.compile("status=failed"))
    expect(rows.filter(has_text="a claim of less than nothing").first).to_be_visible()
    expect(rows.filter(has_text="succeeded")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("button", name="failed")).to_have_attribute("aria-pressed", "true")
    expect(rows.filter(has_text="succeeded")).to_have_count(0)


def test_a_run_shows_its_steps_messages_and_logs_as_text(page, node):
    run = node.ended(node.start("refunds", {"customer": "ada", "cents": 5})["id"])
    page.goto(f"/#/runs/{run['id']}")
    page.get_by_role("button", name=re.compile("ask_model")).click()
    step = page.get_by_role("region", name="Step ask_model")
    expect(step.get_by_text("<img src=x onerror")).to_be_visible()
    expect(step.get_by_text("calls find_order")).to_be_visible()
    assert page.locator("main a[href*='javascript'], main a[href*='elsewhere'], main img").count() == 0
    page.get_by_role("tab", name=re.compile("Logs")).click()
    expect(page.get_by_text("claim of ada")).to_be_visible()
    page.get_by_role("tab", name=re.compile("Events")).click()
    expect(page.get_by_text("run.succeeded")).to_be_visible()
    assert page.title().startswith("Run ")


def test_a_new_run_appears_in_the_list_while_it_is_open(page, node):
    page.goto("/#/runs?agent=quick")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    run = node.start("quick", 7)
    expect(page.locator(f"a[href='#/runs/{run['id']}']")).to_be_visible()


def test_a_run_is_watched_while_its_host_is_killed(page, node, tmp_path):
    run = node.start("climb", str(tmp_path))
    page.goto(f"/#/runs/{run['id']}")
    (tmp_path / "go-1").touch()
    first = host_of(tmp_path, 2)
    expect(page.get_by_role("button", name=re.compile("await_file"))).to_have_count(1)
    (tmp_path / "began-2").unlink()
    os.kill(first, signal.SIGKILL)
    assert host_of(tmp_path, 2) != first
    expect(page.get_by_text("attempts")).to_be_visible()
    (tmp_path / "go-2").touch()
    (tmp_path / "go-3").touch()
    expect(page.get_by_role("heading", level=1)).to_contain_text("succeeded")
    expect(page.get_by_role("button", name=re.compile("await_file"))).to_have_count(3)
    assert node.ended(run["id"])["output"][0] == first, "the first step ran in the host that was killed, and once"


def test_a_run_is_cancelled_retried_and_forked_with_another_result(page, node, tmp_path):
    run = node.start("climb", str(tmp_path))
    page.goto(f"/#/runs/{run['id']}")
    (tmp_path / "go-1").touch()
    host_of(tmp_path, 2)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_label("Reason").fill("taken back")
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")
    expect(page.get_by_text("taken back")).to_be_visible()
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_text(re.compile("Made from"))).to_be_visible()
    (tmp_path / "go-2").touch()
    (tmp_path / "go-3").touch()
    expect(page.get_by_role("heading", level=1)).to_contain_text("succeeded")
    page.get_by_role("button", name=re.compile("await_file")).first.click()
    page.get_by_role("button", name="Fork from here").click()
    page.get_by_label(re.compile("Its result")).fill("41")
    page.get_by_role("button", name="Fork with this result").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_contain_text("succeeded")
    forked = page.url.rpartition("/")[2]
    assert node.ended(forked)["output"][0] == 41


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_runs_and_a_run(page, node, theme):
    run = node.ended(node.start("refunds", {"customer": "eve", "cents": -1})["id"])
    page.emulate_media(color_scheme=theme)
    page.goto("/#/runs")
    expect(page.get_by_role("row").nth(1)).to_be_visible()
    assert faults_of(page) == []
    page.goto(f"/#/runs/{run['id']}")
    page.get_by_role("button", name=re.compile("ask_model")).click()
    expect(page.get_by_role("region", name="Step ask_model")).to_be_visible()
    assert faults_of(page) == []
