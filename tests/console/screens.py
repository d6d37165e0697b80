"""Takes the screens of docs/howto/console.md anew: `python -m tests.console.screens`.

A node of the tests is filled with something to look at, and each page is photographed as it is. For a person who
changed a page; the tests look at the pages themselves.
"""

import shutil
import tempfile
from pathlib import Path

from tests.console.conftest import BROWSERS
from tests.console.project import Node, serve

FOLDER = Path(__file__).parents[2] / "docs" / "howto" / "console"
DESKTOP, PHONE = {"width": 1320, "height": 860}, {"width": 390, "height": 780}
TALK = ("Hello, where is my order A-1042?", "It says delivered, but nothing came.", "Then please pay it back.")


def fill(node: Node) -> dict[str, str]:
    """Runs of all kinds; the ids that pages need."""
    for number in range(24):
        node.start("refunds", {"customer": f"customer-{number}", "cents": 900 + 17 * number, "reason": "It broke."})
    for customer in ("mallory", "eve"):
        node.start("refunds", {"customer": customer, "cents": -5})
    run = node.ended(node.start("refunds", {"customer": "ada", "cents": 4900})["id"])["id"]
    reviews = [
        node.parked(node.start("refunds", {"customer": name, "cents": 25_000})["id"]) for name in ("grace", "ruth")
    ]
    for text in TALK:
        node.http.post("/v1/agents/desk/runs", json={"input": text, "session": "customer-42"})
    with tempfile.TemporaryDirectory() as folder:
        node.start("climb", folder)
    return {"run": run, "review": reviews[0]["id"]}


def take(page, name: str) -> None:
    page.wait_for_timeout(900)
    page.screenshot(path=FOLDER / f"{name}.png")


def main() -> None:
    from playwright.sync_api import sync_playwright

    FOLDER.mkdir(exist_ok=True)
    path = next(found for name in BROWSERS if (found := shutil.which(name)))
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as node, sync_playwright() as playwright:
        ids = fill(node)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_context(base_url=node.url, viewport=DESKTOP, color_scheme="light").new_page()
        for name, address in (
            ("overview", "#/overview?range=15m"),
            ("runs", "#/runs"),
            ("session", "#/sessions/desk/customer-42"),
            ("agent", "#/agents/refunds"),
            ("queue", "#/queue"),
        ):
            page.goto(f"/{address}")
            take(page, name)
        page.goto(f"/#/runs/{ids['run']}")
        page.get_by_role("button", name="ask_model").click()
        take(page, "run")
        page.goto(f"/#/reviews/{ids['review']}")
        page.get_by_role("radio", name="Edit").click()
        field = page.get_by_label("What it shall be instead")
        field.fill(field.input_value().replace("25000", "19000"))
        take(page, "review")
        phone = browser.new_context(base_url=node.url, viewport=PHONE, color_scheme="dark").new_page()
        phone.goto("/#/runs")
        take(phone, "phone")
        browser.close()


if __name__ == "__main__":
    main()
