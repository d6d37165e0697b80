"""The label: where data comes from and how sensitive it is, set by the runtime where data enters a run.

A tool says what its results are (`@tool(labels=...)`); a caller may say it of an input, in `metadata.labels`. What a
model writes carries the labels of everything that it has seen, so labels only grow: over steps, over the turns of a
session, and between a run and those that it calls. Policies see them, and the rule of two needs people where untrusted
and sensitive data meet before something leaves.
"""

from collections.abc import Iterable, Mapping

import msgspec

from pilothouse.domain.journal import ENDED, StepRow
from pilothouse.domain.policy import Tool

PROVENANCE = ("user", "system", "tool", "retrieved", "agent", "external")
UNTRUSTED, SENSITIVE = "untrusted", "sensitive"
IMPLIED: Mapping[str, str] = {"retrieved": UNTRUSTED, "external": UNTRUSTED}
"""What comes from documents and from outside is not to be trusted, whoever fetched it."""

LABELS_LIMIT = 50

RULE_OF_TWO = """// No external effect when a run has seen both untrusted and sensitive data, unless people approve it.
@id("rule-of-two")
@review("owner") @within("8h")
@reason("the run has read untrusted and sensitive data")
forbid (principal, action, resource)
when {
  (context.risk == "irreversible" || context.risk == "consequential")
  && context.labels.contains("untrusted") && context.labels.contains("sensitive")
}
unless { context.approved };
"""


def closed(labels: Iterable[str]) -> frozenset[str]:
    """The labels with those that they imply."""
    found = set(labels)
    return frozenset(found | {IMPLIED[one] for one in found if one in IMPLIED})


def labels_of_results(rows: Iterable[StepRow], tools: Mapping[str, Tool]) -> frozenset[str]:
    """What the results of tools in these rows bring with them."""
    found: set[str] = set()
    for row in rows:
        if row.phase == ENDED and row.kind in ("tool", "step") and row.name in tools:
            found.update(tools[row.name].labels)
    return closed(found)


def labels_of_metadata(metadata: bytes) -> frozenset[str]:
    """What a caller says of an input."""
    if b'"labels"' not in metadata:
        return frozenset()
    found = msgspec.json.decode(metadata)
    labels = found.get("labels") if isinstance(found, dict) else None
    if not isinstance(labels, list):
        return frozenset()
    return closed(one for one in labels[:LABELS_LIMIT] if isinstance(one, str))
