"""How long the console's pages take in a browser: an empty cache, a node of its own, the browser's own clock.

The first page: from the navigation to the first paint of content, and to the moment at which the figures stand there,
which need the answers of the API. The list of runs: to the first rows and down to the last of many runs, with what was
asked for and how many rows the page held. Chromium is the system's; without it the tables say that they were left out.
"""

import asyncio
import shutil
import time
from pathlib import Path

from benchmarks.load import ask, post
from benchmarks.plan import Plan, Table, median, spread
from benchmarks.server import ALL_CORES, NodeServer
from pilothouse.ports.change import Change
from pilothouse.storage.records.sqlite import SqliteRecords
from pilothouse.testing.records.build import SECOND, born, finish

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HEAD = ["page", "loads", "first content ms", "figures ms", "requests", "KB over the wire", "KB of script"]
RUNS = 200
WATCH = """new MutationObserver((_, watch) => {
    if (document.querySelector('.tile')) { window.figuresAt = performance.now(); watch.disconnect(); }
}).observe(document, {childList: true, subtree: true});"""
READ = """() => {
    const loaded = performance.getEntriesByType('resource');
    const [page] = performance.getEntriesByType('navigation');
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    return {
        content: paint ? paint.startTime : null,
        figures: window.figuresAt,
        requests: loaded.length + 1,
        bytes: loaded.reduce((sum, one) => sum + one.transferSize, page.transferSize),
        script: loaded.filter((one) => one.name.endsWith('.js')).reduce((sum, one) => sum + one.encodedBodySize, 0),
    };
}"""


LIST_HEAD = ["runs kept", "loads", "first rows ms", "requests by then", "rows in the page", "to the last run s",
             "pages of runs", "most rows in the page"]  # fmt: skip
LISTED = (100, 10_000)
LOADS = 3
"""Each goes down to the last run, which takes seconds."""
AT_ONCE = 500
FIRST_ROWS = """new MutationObserver((_, watch) => {
    if (document.querySelector('[data-row]')) {
        window.rowsAt = performance.now();
        window.requestsThen = performance.getEntriesByType('resource').length + 1;
        watch.disconnect();
    }
}).observe(document, {childList: true, subtree: true});"""
TO_THE_LAST = """async (all) => {
    const rows = () => document.querySelectorAll('[data-row]').length;
    const drawn = () => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
    const first = rows(), began = performance.now();
    let most = first;
    while (document.querySelector('.tally').innerText !== all) {
        document.querySelector('.rows').scrollTo(0, 1e9);
        await drawn();
        most = Math.max(most, rows());
    }
    const asked = performance.getEntriesByType('resource').filter((one) => one.name.includes('/v1/runs?'));
    const pages = asked.filter((one) => one.name.includes('cursor=')).length + 1;
    return {first, most, pages, seconds: (performance.now() - began) / 1000, rowsAt: window.rowsAt,
            requests: window.requestsThen};
}"""


def measure_page(plan: Plan, folder: Path) -> Table:
    title = "Console: the first page, from an empty cache"
    path = find_browser()
    if path is None:
        return Table("page", title, HEAD, [], [], "Left out: there is no Chromium here.")
    server = NodeServer(folder / "page")
    server.start(ALL_CORES)
    try:
        for _ in range(RUNS):
            ask(server.port, post("/v1/agents/job/runs", b'{"input":"x"}', "Prefer: wait=10"))
        loads = _load(path, server.port, max(2, plan.repeats))
    finally:
        server.stop()
    content, figures = [one["content"] for one in loads], [one["figures"] for one in loads]
    raw = [{"page": "overview", "content_ms": median(content), "figures_ms": median(figures), **loads[-1]}]
    last = loads[-1]
    line = ["overview", str(len(loads)), spread(content), spread(figures), str(last["requests"]),
            f"{last['bytes'] / 1000:.0f}", f"{last['script'] / 1000:.0f}"]  # fmt: skip
    note = f"{RUNS} runs are kept. The first load, which also starts the browser's processes, is not counted."
    return Table("page", title, HEAD, [line], raw, note)


def _load(path: str, port: int, times: int) -> list[dict[str, float]]:
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(times + 1):
            context = browser.new_context(viewport={"width": 1280, "height": 860})
            page = context.new_page()
            page.add_init_script(WATCH)
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_function(
                "() => window.figuresAt && performance.getEntriesByName('first-contentful-paint').length"
            )
            found.append(page.evaluate(READ))
            context.close()
        browser.close()
    return found[1:]


def find_browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def measure_runs(plan: Plan, folder: Path) -> Table:
    """Few runs beside many: what grows with them, and what does not."""
    title = "Console: the list of runs, to its first rows and to its last run"
    path = find_browser()
    if path is None:
        return Table("runs", title, LIST_HEAD, [], [], "Left out: there is no Chromium here.")
    lines, raw = [], []
    for many in LISTED:
        server = NodeServer(folder / f"runs_{many}")
        server.prepare()
        asyncio.run(_fill(server.folder / "bench.db", many))
        server.start(ALL_CORES)
        try:
            loads = _list(path, server.port, min(LOADS, max(2, plan.repeats)), many)
        finally:
            server.stop()
        last = loads[-1]
        rows, down = [one["rowsAt"] for one in loads], [one["seconds"] for one in loads]
        lines.append([f"{many:,}", str(len(loads)), spread(rows), str(last["requests"]), str(last["first"]),
                      spread(down), str(last["pages"]), str(max(one["most"] for one in loads))])  # fmt: skip
        raw.append({"runs": many, "first_rows_ms": median(rows), "to_the_last_s": median(down), **last})
    note = "From the navigation, with an empty cache. A page of runs is 100 at first and 200 then; rows are drawn ones."
    return Table("runs", title, LIST_HEAD, lines, raw, note)


async def _fill(path: Path, many: int) -> None:
    """Ended runs, the last of them now: those that ended long ago would be pruned."""
    since = round(time.time() - many) * SECOND
    records = SqliteRecords(f"sqlite:///{path}")
    await records.open()
    try:
        for start in range(0, many, AT_ONCE):
            changes = []
            for number in range(start, min(start + AT_ONCE, many)):
                run, at = f"run_{number:05d}", since + number * SECOND
                made = born(run, tenant="default", agent="job", created_at=at, started_at=at)
                changes.append(records.commit(Change((made,))))
                changes.append(records.commit(Change((finish(run, tenant="default", finished_at=at + 5000),))))
            await asyncio.gather(*changes)
    finally:
        await records.close()


def _list(path: str, port: int, times: int, many: int) -> list[dict[str, float]]:
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(times + 1):
            context = browser.new_context(viewport={"width": 1280, "height": 860})
            page = context.new_page()
            page.add_init_script(FIRST_ROWS)
            page.goto(f"http://127.0.0.1:{port}/#/runs")
            page.wait_for_function("() => window.rowsAt")
            found.append(page.evaluate(TO_THE_LAST, f"{many:,} runs"))
            context.close()
        browser.close()
    return found[1:]
