"""`pilothouse bias`: whether groups of people are treated alike by what an agent decides about them.

Groups are recorded beside runs and never shown again; what can be read is figures, and findings that somebody deals
with. A report is written to a draft and then renamed, so that nobody reads half of it.
"""

import os
from pathlib import Path
from typing import Any, get_args

import click

from pilothouse.cli.bias_report import as_html, as_markdown
from pilothouse.cli.connect import connect, node_options, page_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import show_json, show_table
from pilothouse.domain.finding import FindingState


@click.group(short_help="Audit whether groups of people are treated alike.")
def bias() -> None:
    """Audit whether groups of people are treated alike by what an agent decides about them.

    \b
    Example:
      pilothouse bias groups run_... sex=female race_ethnicity=Black
      pilothouse bias audit credit --format html --output audit.html
      pilothouse bias findings --state open
    """


@bias.command("groups", short_help="Record the groups of whom a run is about.")
@click.argument("run")
@click.argument("groups", nargs=-1, metavar="[ATTRIBUTE=GROUP]...")
@click.option("--label/--no-label", default=None, help="Whether the outcome should have been favourable.")
@node_options
def record_groups(run: str, groups: tuple[str, ...], label: bool | None, url: str | None, is_json: bool) -> int:
    """Record the groups of whom RUN is about: beside the run, where no agent sees them. They are never shown again.

    \b
    Example: pilothouse bias groups run_... sex=female race_ethnicity=Black --label
    """
    given = dict(_pair(one) for one in groups)
    if not given and label is None:
        raise click.UsageError("Give at least one ATTRIBUTE=GROUP, or --label or --no-label.")
    with connect(url) as client:
        found = client.record_groups(run, given, label=label)
    if is_json:
        show_json(found)
    else:
        click.echo(f"Recorded of {run}: {', '.join(found['attributes']) or 'the label'}.")
    return Exit.DONE


def _pair(text: str) -> tuple[str, str]:
    name, separator, group = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} is not of the form ATTRIBUTE=GROUP.")
    return name, group


@bias.command("audit", short_help="Selection rates, impact ratios and a report.")
@click.argument("agent")
@click.option("--since", metavar="INSTANT", help="Runs made from then on, as in 2026-01-01T00:00:00Z.")
@click.option("--until", metavar="INSTANT", help="Runs made before then. [default: now]")
@click.option("--minimum", type=click.IntRange(1), metavar="N", help="Cases of a group that is judged.")
@click.option("--confidence", type=click.FloatRange(0.5, 0.9999), default=0.95, show_default=True,
              help="Of the intervals.")  # fmt: skip
@click.option("--outcomes", type=click.Choice(("original", "in_force")), default="original", show_default=True,
              help="What the agent decided, or what is in force after overrides.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(("markdown", "html", "json")), default="markdown",
              show_default=True, help="Of the report.")  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Where to write it. [default: stdout]")
@node_options
def audit(agent: str, form: str, output: str | None, url: str | None, is_json: bool, **asked: Any) -> int:
    """Audit the decisions of AGENT, keep the figures and print the report. Leaves with 1 when a group is flagged.

    \b
    Example: pilothouse bias audit credit --since 2026-01-01T00:00:00Z --format html --output audit.html
    """
    with connect(url) as client:
        found = client.audit_bias(agent, **{name: one for name, one in asked.items() if one is not None})
    return _report(found, "json" if is_json else form, output)


@bias.command("show", short_help="The report of an earlier audit.")
@click.argument("audit")
@click.option("--format", "form", type=click.Choice(("markdown", "html", "json")), default="markdown",
              show_default=True, help="Of the report.")  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False), metavar="FILE", help="Where to write it. [default: stdout]")
@node_options
def show_audit(audit: str, form: str, output: str | None, url: str | None, is_json: bool) -> int:
    """The report of an earlier audit.

    \b
    Example: pilothouse bias show bias_... --format html --output audit.html
    """
    with connect(url) as client:
        found = client.get_bias_audit(audit)
    _report(found, "json" if is_json else form, output)
    return Exit.DONE


def _report(found: dict[str, Any], form: str, output: str | None) -> int:
    if form == "json" and output is None:
        show_json(found)
        return Exit.FAILED if _is_flagged(found) else Exit.DONE
    if form == "json":
        import json

        text = json.dumps(found, indent=2) + "\n"
    else:
        text = as_html(found) if form == "html" else as_markdown(found)
    if output is None:
        click.echo(text)
    else:
        path = Path(output)
        draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
        click.echo(f"{found['id']} is in {output}.", err=True)
    return Exit.FAILED if _is_flagged(found) else Exit.DONE


def _is_flagged(found: dict[str, Any]) -> bool:
    return any(group["is_flagged"] for one in found["attributes"] for group in one["groups"])


@bias.command("list", short_help="The audits there were.")
@click.option("--agent", metavar="AGENT", help="Only of this agent.")
@page_options
@node_options
def list_audits(agent: str | None, limit: int, cursor: str | None, url: str | None, is_json: bool) -> int:
    """The audits there were, the newest first.

    \b
    Example: pilothouse bias list --agent credit
    """
    with connect(url) as client:
        page = client.list_bias_audits(agent=agent, limit=limit, cursor=cursor)
    if is_json:
        show_json(page)
        return Exit.DONE
    rows = [(one["id"], one["agent"], one["at"], str(one["cases"]), str(len(one["findings"]))) for one in page["items"]]
    show_table(("AUDIT", "AGENT", "AT", "CASES", "FINDINGS"), rows)
    if page["next_cursor"]:
        click.echo(f"More:  --cursor {page['next_cursor']}", err=True)
    return Exit.DONE


@bias.command("findings", short_help="What audits found, and what became of it.")
@click.option("--state", type=click.Choice(get_args(FindingState)), help="Only those.")
@page_options
@node_options
def list_findings(state: str | None, limit: int, cursor: str | None, url: str | None, is_json: bool) -> int:
    """What audits found, and what became of it, the newest first.

    \b
    Example: pilothouse bias findings --state open
    """
    with connect(url) as client:
        page = client.list_findings(state=state, limit=limit, cursor=cursor)
    if is_json:
        show_json(page)
        return Exit.DONE
    rows = [
        (
            one["id"],
            one["state"],
            one["agent"],
            one["attribute"],
            one["group"],
            f"{one['ratio']:.3f}",
            str(one["count"]),
        )
        for one in page["items"]
    ]
    show_table(("FINDING", "STATE", "AGENT", "ATTRIBUTE", "GROUP", "RATIO", "PEOPLE"), rows)
    if page["next_cursor"]:
        click.echo(f"More:  --cursor {page['next_cursor']}", err=True)
    return Exit.DONE


@bias.command("resolve", short_help="Say what becomes of a finding.")
@click.argument("finding")
@click.argument("state", type=click.Choice(get_args(FindingState)))
@click.option("--reason", required=True, metavar="TEXT", help="Why. It stays in the audit log for good.")
@node_options
def resolve(finding: str, state: str, reason: str, url: str | None, is_json: bool) -> int:
    """Say what becomes of FINDING: accepted (known and borne), mitigated (something was changed) or closed.

    \b
    Example: pilothouse bias resolve fnd_... mitigated --reason "threshold lowered in release 2026.11"
    """
    with connect(url) as client:
        found = client.move_finding(finding, state, reason)
    if is_json:
        show_json(found)
    else:
        click.echo(f"{found['id']} is {found['state']}.")
    return Exit.DONE
