"""A browser for the tests that need one, and a watch over what its pages do.

Where there is no Chromium, or the console is not built, those tests are left out and the report says so; with
BROWSER=required that is a failure, so that continuous integration cannot pass without them. Each page is watched: a
message of the content security policy, a fault of a script or a request to another host fails the test.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.project import Node, serve

PATIENCE = 45_000
"""Milliseconds that anything may take to appear: a machine under load is slow, and no page is wrong for that."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STATIC = Path(__file__).parents[2] / "src" / "pilothouse" / "console" / "static"
AXE = Path(__file__).parents[2] / "console" / "node_modules" / "axe-core" / "axe.min.js"


def lacking() -> str:
    """What keeps the browser tests from running; empty: nothing."""
    if not any(shutil.which(name) for name in BROWSERS):
        return "there is no Chromium (Debian, Ubuntu: apt-get install chromium)"
    if not (STATIC / "index.html").is_file():
        return "the console is not built (make console)"
    if not AXE.is_file():
        return "the packages of the console are not installed (make console)"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = lacking()
    if not reason:
        return
    for item in items:
        if item.get_closest_marker("browser") is None:
            continue
        if os.environ.get("BROWSER") == "required":
            raise pytest.UsageError(f"the tests in a browser are required, but {reason}")
        item.add_marker(pytest.mark.skip(reason=f"left out: {reason}"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with serve(tmp_path_factory.mktemp("console")) as node:
        yield node


@pytest.fixture(scope="module")
def browser():
    """For one module and no longer: while it is open, no loop of asyncio can run in this thread."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    path = next(found for name in BROWSERS if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """What a page did that none may do."""

    def __init__(self, page, origin: str) -> None:
        self.faults: list[str] = []
        self.refused: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._hear)
        page.on("request", lambda request: self._look(request.url, origin))

    def _hear(self, message) -> None:
        is_refusal = message.text.startswith("Failed to load resource")  # an answer that is no 2xx is not a fault
        if (message.type == "error" and not is_refusal) or "Content Security Policy" in message.text:
            self.faults.append(message.text)

    def _look(self, url: str, origin: str) -> None:
        if not url.startswith((origin, "data:", "blob:")):
            self.faults.append(f"a request to {url}")


@pytest.fixture
def page(browser, node):
    """A page at desktop width, watched until the test is over."""
    context = browser.new_context(base_url=node.url, viewport={"width": 1280, "height": 860})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    watched = Watched(page, node.url)
    yield page
    context.close()
    assert watched.faults == []
