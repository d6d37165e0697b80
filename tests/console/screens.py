"""Takes the screens of docs/howto/console.md anew: `python -m tests.console.screens`.

A node of the tests is filled with something to look at, and each page is photographed as it is. For a person who
changed a page; the tests look at the pages themselves.
"""

import shutil
import tempfile
from pathlib import Path

from tests.console.conftest import BROWSERS
from tests.console.project import Node, serve
from tests.console.test_browser_figures import CREDIT, EXAMPLES, SETTINGS, decide, evaluate

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
    node.http.post("/v1/incidents", json={"happened": "Refunds went out twice.", "agent": "payer"}).raise_for_status()
    appeal = {"reason": "It broke on the first day.", "asks": {"paid": 4900}}
    node.http.post(f"/v1/runs/{run}/appeals", json=appeal).raise_for_status()
    for text in TALK:
        node.http.post("/v1/agents/desk/runs", json={"input": text, "session": "customer-42"})
    with tempfile.TemporaryDirectory() as folder:
        node.start("climb", folder)
    return {"run": run, "review": reviews[0]["id"]}


def fill_figures(node: Node) -> list[dict]:
    """Examples of what should have come out, in a dataset."""
    for _ in range(EXAMPLES):
        said = {"kind": "correction", "expected": {"granted": True}}
        node.http.post(f"/v1/runs/{decide(node, 5)}/feedback", json=said).raise_for_status()
    node.http.post("/v1/datasets/cases", json={"agent": "credit"}).raise_for_status()
    return [item["example"] for item in node.http.get("/v1/datasets/cases/1").json()["items"]]


def fill_audit(node: Node) -> str:
    for number in range(12):
        decide(node, 20 if number < 10 else 5, sex="male")
        decide(node, 20 if number < 4 else 5, sex="female")
    decide(node, 20, sex="other")
    return node.http.post("/v1/agents/credit/bias", json={}).json()["id"]


def take(page, name: str) -> None:
    page.wait_for_timeout(900)
    page.screenshot(path=FOLDER / f"{name}.png")


def main() -> None:
    from playwright.sync_api import sync_playwright

    FOLDER.mkdir(exist_ok=True)
    path = next(found for name in BROWSERS if (found := shutil.which(name)))
    with tempfile.TemporaryDirectory() as folder:
        with serve(Path(folder), more=CREDIT, settings=SETTINGS) as node:
            examples = fill_figures(node)
            first = evaluate(node, examples, EXAMPLES)["id"]
        more = CREDIT + "\n\ndef added() -> None: ...\n"  # another release
        with serve(Path(folder), more=more, settings=SETTINGS) as node, sync_playwright() as playwright:
            second = evaluate(node, examples, 3)["id"]
            ids = {"audit": fill_audit(node), "evaluation": f"{second}?to={first}", **fill(node)}
            photograph(node, playwright, path, ids)


def photograph(node: Node, playwright, path: str, ids: dict[str, str]) -> None:
    browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
    page = browser.new_context(base_url=node.url, viewport=DESKTOP, color_scheme="light").new_page()
    for name, address in (
        ("overview", "#/overview?range=15m"),
        ("runs", "#/runs"),
        ("session", "#/sessions/desk/customer-42"),
        ("agent", "#/agents/refunds"),
        ("queue", "#/queue"),
        ("bias", f"#/bias/{ids['audit']}"),
        ("evaluation", f"#/evaluations/{ids['evaluation']}"),
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
