"""A capacity model, fitted to RESULTS.json and held against figures that it was not fitted to.

Run as `python -m benchmarks.capacity`; `--write` renews the table of docs/explanation/scale.md, which builds on it.
With n callers in a closed loop, all of them advance together: a round costs a fixed part F (the sync of a commit, the
turns of loops and links, what one caller waits for alone) and a part c for each caller (processor time). So a round
takes F + n c, and n / (F + n c) units are done in a second. F and c are taken from the fewest and the most callers;
what lies between was not shown to the model, is predicted, and compared.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

RESULTS = Path(__file__).parent / "RESULTS.json"
PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "scale.md"
BEGIN, END = "<!-- fitted: `make scale` writes from here -->", "<!-- to here -->"
SUBJECTS = ("host", "inline")
WORKS = {"W1": "stateless run (W1)", "W2": "session turn, two commits (W2)", "journal": "durable step (journal)"}
HEAD = ["work", "agent", "F", "c", "most, 1 / c", "callers", "predicted", "measured", "off by"]


def fit(points: dict[int, float]) -> tuple[float, float]:
    """(F, c) in seconds from units a second at the fewest and the most callers."""
    few, many = min(points), max(points)
    round_of_few, round_of_many = few / points[few], many / points[many]
    each = (round_of_many - round_of_few) / (many - few)
    return round_of_few - few * each, each


def predict(fixed: float, each: float, callers: int) -> float:
    """Units a second."""
    return callers / (fixed + callers * each)


def models(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each workload that was measured with three numbers of callers or more."""
    found = []
    for workload in results["workloads"]:
        for subject in SUBJECTS:
            rows = [row for row in workload["rows"] if row["subject"] == subject]
            points = {row["callers"]: row["per_second"] for row in rows}
            if len(points) < 2:
                continue
            fixed, each = fit(points)
            checks = {
                callers: (predict(fixed, each, callers), points[callers]) for callers in sorted(points)[1:-1]
            }  # fmt: skip
            found.append({"work": workload["key"], "subject": subject, "fixed": fixed, "each": each, "checks": checks})
    return found


def page_part(results: dict[str, Any]) -> str:
    """The table of the page, with what it was taken from and how far off its predictions are."""
    machine = results["machine"]
    lines, off = [], []
    for one in models(results):
        if one["each"] <= 0 or one["fixed"] <= 0:  # the most callers were no faster than one: nothing to predict from
            continue
        fixed, each, checks = one["fixed"], one["each"], one["checks"]
        figures = [f"{fixed * 1e3:.2f} ms", f"{each * 1e6:,.0f} us", f"{1 / each:,.0f}/s"]
        for callers, (told, seen) in checks.items() or {"": (0.0, 0.0)}.items():
            off += [max(told / seen, seen / told)] if seen else []
            check = [f"{told:,.0f}", f"{seen:,.0f}", f"{(told / seen - 1) * 100:+.0f} %"] if seen else [""] * 3
            lines.append([WORKS.get(one["work"], one["work"]), one["subject"], *figures, str(callers), *check])
    rows = [HEAD, ["---"] * len(HEAD), *lines]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    busy = machine["load_average"]
    told = (
        f"Fitted to the figures of {machine['at']}, commit {machine['commit']}, node *and* host on one core ("
        f"{machine['processor']});\nload average before: {busy:.2f}. "
    )
    worst = f"The worst of its predictions is off by a factor of {max(off):.2f}." if off else "Nothing was predicted."
    return f"{table}\n\n{told}{worst}"


def write_page(page: Path, results: dict[str, Any]) -> None:
    """Raises ValueError when the page has no place for it."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{page_part(results)}\n{END}{after}", encoding="utf-8")


def main() -> None:
    if "--write" in sys.argv[1:]:
        write_page(PAGE, msgspec.json.decode(RESULTS.read_bytes()))
    print(f"{'work':10}{'subject':10}{'F us':>10}{'c us':>10}{'limit 1/c':>12}   predicted / measured")
    for one in models(msgspec.json.decode(RESULTS.read_bytes())):
        checks = "  ".join(
            f"{callers}: {told:,.0f} / {seen:,.0f} ({(told / seen - 1) * 100:+.0f} %)"
            for callers, (told, seen) in one["checks"].items()
        )
        figures = f"{one['fixed'] * 1e6:10,.0f}{one['each'] * 1e6:10,.1f}{1 / one['each']:12,.0f}"
        print(f"{one['work']:10}{one['subject']:10}{figures}   {checks}")


if __name__ == "__main__":
    main()
