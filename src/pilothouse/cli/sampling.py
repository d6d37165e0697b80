"""`pilothouse sampling`: which finished runs people look at, and how far their judgement can be trusted.

Which runs are chosen follows from a key that never leaves the records, so nothing here can tell it beforehand.
"""

from typing import Any, get_args

import click

from pilothouse.cli.connect import SpanParam, connect, node_options, read_input
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import show_fields, show_json, show_table, span
from pilothouse.domain.sampling import WhenFull


@click.group(short_help="Choose runs for people to look at.")
def sampling() -> None:
    """Choose runs for people to look at. A chosen run opens a review when it has ended; `approve` says it was right.

    \b
    Example:
      pilothouse sampling set credit --rate 0.05 --by metadata.region --minimum 5 --role quality
      pilothouse sampling seed credit --input '{"income": 0}' --output '{"granted": true}' --wrong
      pilothouse sampling reviewers credit
    """


@sampling.command("set", short_help="Say how runs of an agent are chosen.")
@click.argument("agent")
@click.option("--rate", type=click.FloatRange(0, 1), required=True, help="The share of runs that is looked at.")
@click.option("--by", "strata", multiple=True, metavar="PATH",
              help="A dotted path below input, output or metadata. May be given many times.")  # fmt: skip
@click.option("--minimum", type=click.IntRange(0, 1000), default=0, show_default=True, metavar="N",
              help="So many of each kind in each period, whatever the rate gives.")  # fmt: skip
@click.option("--period", type=SpanParam(), default="1d", show_default=True, metavar="SPAN", help="The period.")
@click.option("--capacity", type=click.IntRange(1, 10_000), default=200, show_default=True, metavar="N",
              help="Open reviews that are too many.")  # fmt: skip
@click.option("--when-full", type=click.Choice(get_args(WhenFull)), default="lower", show_default=True,
              help="Then: halve the rate, or pause the agent.")  # fmt: skip
@click.option("--role", default="", metavar="ROLE", help="Who decides; without it any person.")
@node_options
def set_plan(agent: str, strata: tuple[str, ...], period: float, url: str | None, is_json: bool, **plan: Any) -> int:
    """Say how runs of AGENT are chosen, from now on.

    \b
    Example: pilothouse sampling set credit --rate 0.05 --by metadata.region --minimum 5 --role quality
    """
    with connect(url) as client:
        found = client.set_sampling(agent, strata=list(strata), period_seconds=period, **plan)
    return _show(found, is_json)


@sampling.command("show", short_help="How runs of an agent are chosen.")
@click.argument("agent")
@node_options
def show_plan(agent: str, url: str | None, is_json: bool) -> int:
    """How runs of AGENT are chosen, with the rate in use.

    \b
    Example: pilothouse sampling show credit
    """
    with connect(url) as client:
        found = client.get_sampling(agent)
    return _show(found, is_json)


def _show(found: dict[str, Any], is_json: bool) -> int:
    if is_json:
        show_json(found)
        return Exit.DONE
    show_fields(
        [
            ("agent", found["agent"]),
            ("rate", f"{found['rate']:g}"),
            ("in use", f"{found['rate_now']:g}"),
            ("by", " ".join(found["strata"])),
            ("minimum", f"{found['minimum']} in {span(found['period_seconds'])}" if found["minimum"] else None),
            ("capacity", f"{found['capacity']} open reviews, then {found['when_full']}"),
            ("role", found["role"]),
            ("set by", found["set_by"]),
        ]
    )
    return Exit.DONE


@sampling.command("drop", short_help="Choose no more runs of an agent.")
@click.argument("agent")
@node_options
def drop_plan(agent: str, url: str | None, is_json: bool) -> int:
    """Choose no more runs of AGENT; reviews that are open stay open.

    \b
    Example: pilothouse sampling drop credit
    """
    with connect(url) as client:
        client.drop_sampling(agent)
    if is_json:
        show_json({"agent": agent, "dropped": True})
    else:
        click.echo(f"Runs of {agent} are not sampled any more.")
    return Exit.DONE


@sampling.command("seed", short_help="Put a known case among those to be reviewed.")
@click.argument("agent")
@click.option("--input", "given", required=True, metavar="INPUT", help="JSON, or a text; `-` is stdin, `@file` a file.")
@click.option("--output", required=True, metavar="OUTPUT", help="What the agent is said to have answered.")
@click.option("--right/--wrong", default=None, required=True, help="Whether that is right.")
@node_options
def seed(agent: str, given: str, output: str, right: bool, url: str | None, is_json: bool) -> int:
    """Put a case of AGENT whose answer is known among those to be reviewed. Nobody is told which one it is.

    \b
    Example: pilothouse sampling seed credit --input '{"income": 0}' --output '{"granted": true}' --wrong
    """
    with connect(url) as client:
        client.seed_case(agent, read_input(given), read_input(output), right=right)
    if is_json:
        show_json({"agent": agent, "seeded": True})
    else:
        click.echo("It is among the others.")
    return Exit.DONE


@sampling.command("reviewers", short_help="How reviewers judged known cases.")
@click.argument("agent")
@node_options
def reviewers(agent: str, url: str | None, is_json: bool) -> int:
    """How reviewers judged the known cases of AGENT: how often rightly, and how many wrong ones they approved
    (automation bias).

    \b
    Example: pilothouse sampling reviewers credit
    """
    with connect(url) as client:
        page = client.list_reviewers(agent)
    if is_json:
        show_json(page)
        return Exit.DONE
    rows = []
    for one in page["items"]:
        low, high = one["automation_bias_low"], one["automation_bias_high"]
        bias = "-" if one["automation_bias"] is None else f"{one['automation_bias']:.1%} ({low:.1%} to {high:.1%})"
        rows.append((one["reviewer"], str(one["decided"]), f"{one['agreement']:.1%}", str(one["wrong_seen"]), bias))
    show_table(("REVIEWER", "KNOWN CASES", "AGREEMENT", "WRONG ONES", "APPROVED OF THEM (95 %)"), rows)
    return Exit.DONE
