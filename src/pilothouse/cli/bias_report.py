"""The report of a bias audit, for people who must judge it and were not there: Markdown and HTML from the same JSON.

Its tables have the shape that New York City asks for (6 RCNY 5-301): for each category the number of people, the
selection rate and the impact ratio, by sex, by race or ethnicity, and for both together. It says what was left out,
what cannot be said, and how each figure is computed.
"""

import html
from typing import Any

METHOD = (
    "Selection rate: the share of the group that got a favourable outcome. Impact ratio: that rate divided by the rate "
    "of the most favoured group that is large enough (6 RCNY 5-301). A ratio under 0.8 is flagged (four-fifths rule, "
    "29 CFR 1607.4 D). Intervals: Wilson (1927) for rates, Katz and others (1978) for ratios. Groups under the minimum "
    "size are shown and not judged. Demographic parity and equalized odds as defined by fairlearn, over the groups "
    "that are large enough. A flag is a reason to look, and no proof of unlawful treatment; no flag is no proof of the "
    "opposite."
)
HEAD = ("Category", "People", "Selected", "Selection rate", "Interval", "Impact ratio", "Interval", "Note")
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #999;padding:.3rem .5rem;text-align:right}"
    "td:first-child,th:first-child,td:last-child{text-align:left}.flag{background:#fde8e8}"
)


def facts(audit: dict[str, Any]) -> list[tuple[str, str]]:
    said = audit["decision"]
    favourable = ", ".join(str(one).lower() if isinstance(one, bool) else str(one) for one in said["favourable"])
    return [
        ("Agent", audit["agent"]),
        ("Releases", ", ".join(audit["releases"]) or "none"),
        ("Decision", f"`{said['outcome'] or 'output'}` is {favourable}"),
        ("Outcomes", "as the agent decided" if audit["outcomes"] == "original" else "as in force after overrides"),
        ("Span", f"{audit['since']} to {audit['until']}"),
        ("Audited", f"{audit['at']} by {audit['by']}"),
        ("Cases", f"{audit['cases']}, of which {audit['selected']} favourable"),
        (
            "Left out",
            f"{audit['not_ended']} that did not succeed, {audit['undecided']} whose output does not say the outcome",
        ),
        ("Overridden by people", str(audit["overridden"])),
        ("Minimum size of a group", str(audit["minimum"])),
    ]


def rows(attribute: dict[str, Any]) -> list[tuple[bool, tuple[str, ...]]]:
    """(is flagged, cells) of each group."""
    found: list[tuple[bool, tuple[str, ...]]] = []
    for one in attribute["groups"]:
        rate, ratio = one["rate_interval"], one["ratio_interval"]
        note = []
        if one["is_small"]:
            note.append("too small to judge")
        if one["is_flagged"]:
            note.append("under four fifths")
        if one["group"] == attribute["reference"]:
            note.append("most favoured")
        cells = (
            one["group"], str(one["count"]), str(one["selected"]), f"{one['rate']:.3f}",
            f"{rate['low']:.3f} to {rate['high']:.3f}", "-" if one["ratio"] is None else f"{one['ratio']:.3f}",
            "-" if ratio is None else f"{ratio['low']:.3f} to {ratio['high']:.3f}", ", ".join(note),
        )  # fmt: skip
        found.append((one["is_flagged"], cells))
    return found


def summary(attribute: dict[str, Any]) -> str:
    said = []
    for name in (
        "demographic_parity_difference", "demographic_parity_ratio",
        "equalized_odds_difference", "equalized_odds_ratio",
    ):  # fmt: skip
        value = attribute[name]
        said.append(f"{name.replace('_', ' ')} {'cannot be said' if value is None else f'{value:.3f}'}")
    return "; ".join(said) + "."


def title_of(attribute: dict[str, Any]) -> str:
    name = attribute["attribute"].replace("_", " ")
    return f"Intersectional: {name}" if " x " in name else name.capitalize()


def as_markdown(audit: dict[str, Any]) -> str:
    lines = [f"# Bias audit of {_cell(audit['agent'])}", "", f"Audit {audit['id']}.", ""]
    lines += ["| | |", "| --- | --- |", *(f"| {name} | {_cell(value)} |" for name, value in facts(audit)), ""]
    for attribute in audit["attributes"]:
        lines += [f"## {_cell(title_of(attribute))}", "", "| " + " | ".join(HEAD) + " |"]
        lines.append("| --- " + "| ---: " * (len(HEAD) - 2) + "| --- |")
        for is_flagged, cells in rows(attribute):
            shown = [_cell(one) for one in cells]
            lines.append("| " + " | ".join([f"**{shown[0]}**" if is_flagged else shown[0], *shown[1:]]) + " |")
        lines += ["", summary(attribute), ""]
    lines += ["## Findings", "", ", ".join(audit["findings"]) or "None.", "", "## Method", ""]
    lines += [f"{METHOD} Intervals are at {audit['confidence']:.0%}.", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


def as_html(audit: dict[str, Any]) -> str:
    def row(tag: str, cells: tuple[str, ...], mark: str = "") -> str:
        return f"<tr{mark}>" + "".join(f"<{tag}>{html.escape(one)}</{tag}>" for one in cells) + "</tr>"

    title = html.escape(f"Bias audit of {audit['agent']}")
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>',
        f"<h1>{title}</h1><p>Audit {html.escape(audit['id'])}.</p><table>",
        *(row("td", one) for one in facts(audit)),
        "</table>",
    ]
    for attribute in audit["attributes"]:
        parts += [f"<h2>{html.escape(title_of(attribute))}</h2><table>", row("th", HEAD)]
        for is_flagged, cells in rows(attribute):
            parts.append(row("td", cells, ' class="flag"' if is_flagged else ""))
        parts.append(f"</table><p>{html.escape(summary(attribute))}</p>")
    found = ", ".join(audit["findings"]) or "None."
    parts.append(f"<h2>Findings</h2><p>{html.escape(found)}</p><h2>Method</h2><p>{html.escape(METHOD)} ")
    parts.append(f"Intervals are at {audit['confidence']:.0%}.</p></html>\n")
    return "\n".join(parts)
