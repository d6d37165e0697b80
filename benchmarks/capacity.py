"""A capacity model, fitted to RESULTS.json and held against a figure that it was not fitted to.

Run as `python -m benchmarks.capacity`. With n callers in a closed loop, all of them advance together: a round costs a
fixed part F (the sync of a commit, the turns of loops and links, what one caller waits for alone) and a part c for each
caller (processor time). So a round takes F + n c, and n / (F + n c) units are done in a second. F and c are taken from
the fewest and the most callers; what lies between is predicted and compared. docs/explanation/scale.md builds on it.
"""

from pathlib import Path
from typing import Any

import msgspec

RESULTS = Path(__file__).parent / "RESULTS.json"
SUBJECTS = ("host", "inline")


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


def main() -> None:
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
