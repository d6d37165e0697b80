"""`pilothouse costs`: what model calls have cost, by agent, session, model or day, and what the month will come to.

The sums come from a table of days, so looking at a year costs no more than looking at a day.
"""

import re

import click

from pilothouse.cli.connect import connect, node_options
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import lay_out, show_json
from pilothouse.client.shape import Cost, Costs, Forecast

GROUPS = ("agent", "session", "provider", "model", "day")
COLUMNS = ("CALLS", "TOKENS IN", "CACHED", "TOKENS OUT", "USD")
DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _day(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not DAY.fullmatch(value):
        raise click.BadParameter("expected a day, as in 2026-11-28")
    return value


@click.command(short_help="What model calls have cost, and what the month will come to.")
@click.option("--by", type=click.Choice(GROUPS), default="agent", show_default=True, help="Sum up by this.")
@click.option(
    "--from", "first", callback=_day, metavar="DAY", help="From this day on (UTC); else from the first of the month."
)
@click.option("--to", "last", callback=_day, metavar="DAY", help="To the end of this day; else to today.")
@click.option("--agent", metavar="NAME", help="Of this agent only.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Show the dearest so many.")
@node_options
def costs(
    by: str, first: str | None, last: str | None, agent: str | None, limit: int, url: str | None, is_json: bool
) -> int:
    """What model calls have cost: calls, tokens and US dollars, the dearest first, and a forecast of the month.

    \b
    Example: pilothouse costs --by model --from 2026-11-01
    """
    with connect(url) as client:
        found = client.get_costs(by, first_day=first, last_day=last, agent=agent, limit=limit)  # type: ignore[arg-type]
    if is_json:
        show_json(found)
    else:
        click.echo("\n".join(_lines(found)))
    return Exit.DONE


def _lines(found: Costs) -> list[str]:
    lines = [f"{found.first_day} to {found.last_day} (UTC): {_told(found.total)}."]
    if found.items:
        name = found.group.upper()
        lines += ["", *lay_out((name, *COLUMNS), [_row(one) for one in found.items], name, None)]
    if not found.is_whole:
        lines.append("More are not shown: raise --limit, or narrow the days.")
    for count, what in (
        (found.total.unpriced_calls, "have no price (set it in [providers.NAME] prices)"),
        (found.total.untold_calls, "did not tell their tokens"),
    ):
        if count:
            lines += ["", f"{count:,} calls {what}: what they cost is not in it."]
    if found.forecast is not None:
        lines += ["", _ahead(found.forecast)]
    return lines


def _told(total: Cost) -> str:
    return f"{total.calls:,} calls, {total.input_tokens + total.output_tokens:,} tokens, {total.cost_usd:,.2f} USD"


def _row(one: Cost) -> tuple[str, ...]:
    counts = (one.calls, one.input_tokens, one.cache_tokens, one.output_tokens)
    return (one.name, *(f"{count:,}" for count in counts), f"{one.cost_usd:,.4f}")


def _ahead(found: Forecast) -> str:
    return (
        f"{found.month} will come to about {found.expected_usd:,.2f} USD ({found.low_usd:,.2f} to "
        f"{found.high_usd:,.2f} with {found.share:.0%} confidence; {found.spent_usd:,.2f} so far).\n"
        f"  How: {found.method}."
    )
