"""How long the console's first page takes in a browser: an empty cache, a node of its own, the browser's own clock.

From the navigation to the first paint of content, and to the moment at which the figures stand there, which need the
answers of the API. Chromium is the system's; without it the table says that it was left out.
"""

import shutil
from pathlib import Path

from benchmarks.load import ask, post
from benchmarks.plan import Plan, Table, median, spread
from benchmarks.server import ALL_CORES, NodeServer

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


def measure_page(plan: Plan, folder: Path) -> Table:
    title = "Console: the first page, from an empty cache"
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
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
