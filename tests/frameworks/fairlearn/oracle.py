"""Answers what fairlearn says of decisions, line by line, in the environment that has fairlearn.

A line in is `{"groups": [...], "selected": [...], "labels": [...]}`, a line out its figures.
"""

import json
import sys

from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    equalized_odds_ratio,
    selection_rate,
)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


say("ready")
for line in sys.stdin:
    asked = json.loads(line)
    told = {"sensitive_features": asked["groups"]}
    labels, selected = asked["labels"], asked["selected"]
    frame = MetricFrame(metrics=selection_rate, y_true=labels, y_pred=selected, **told)
    said = {
        "rates": {str(name): float(rate) for name, rate in frame.by_group.items()},
        "demographic_parity_difference": float(demographic_parity_difference(labels, selected, **told)),
        "demographic_parity_ratio": float(demographic_parity_ratio(labels, selected, **told)),
        "equalized_odds_difference": float(equalized_odds_difference(labels, selected, **told)),
        "equalized_odds_ratio": float(equalized_odds_ratio(labels, selected, **told)),
    }
    say(json.dumps(said))
