"""`pilothouse plan`: how many workers an arrival rate wants and what they cost, checked by a simulation.

The formula may be too hopeful, near the limit and for run times that vary much: then places are added until the
simulation agrees, and both numbers are told.
"""

import random
from collections.abc import Iterator

import click
from msgspec import Struct

from pilothouse.cli.connect import json_option
from pilothouse.cli.exits import Exit
from pilothouse.cli.show import show_json, show_table, span
from pilothouse.domain.plan import (
    HOURS_A_MONTH,
    Demand,
    PlanImpossible,
    Simulated,
    Wait,
    holds,
    places_for,
    simulate,
    variation,
    wait_at,
    workers_for,
)

TRIES = 20
RUNS_LIMIT = 1_000_000
FORMULA = (
    "a = rate x mean; C = Erlang C(places, a); v = (1 + scv) / 2 (Allen-Cunneen); "
    "mean wait = v C mean / (places - a); P(wait > t) = C exp(-(places - a) t / (mean v))"
)


class Answer(Struct, kw_only=True):
    """`places` holds in the simulation, `places_by_formula` is what the formula alone says. Money in US dollars."""

    demand: Demand
    formula: str
    erlangs: float
    scv: float
    places_by_formula: int
    places: int
    workers: int
    spare: int
    busy: float
    predicted: Wait
    simulated: Simulated
    seed: int
    holds: bool
    cost_month_usd: float | None
    cost_thousand_runs_usd: float | None


def answer(demand: Demand, spare: int, price: float | None, runs: int, seed: int) -> Answer:
    """Raises `PlanImpossible`."""
    by_formula = places = places_for(demand)
    simulated = simulate(demand, places, runs, draws(seed))
    for _ in range(TRIES):
        if holds(demand, simulated):
            break
        places += max(1, places // 50)
        simulated = simulate(demand, places, runs, draws(seed))
    workers = workers_for(places, demand.concurrency) + spare
    load = demand.rate * demand.mean
    month = None if price is None else workers * price * HOURS_A_MONTH
    return Answer(
        demand=demand,
        formula=FORMULA,
        erlangs=load,
        scv=variation(demand),
        places_by_formula=by_formula,
        places=places,
        workers=workers,
        spare=spare,
        busy=load / (workers * demand.concurrency),
        predicted=wait_at(demand, places),
        simulated=simulated,
        seed=seed,
        holds=holds(demand, simulated),
        cost_month_usd=month,
        cost_thousand_runs_usd=None if month is None else month / (demand.rate * 3600 * HOURS_A_MONTH) * 1000,
    )


def draws(seed: int) -> Iterator[tuple[float, float]]:
    source = random.Random(seed)
    while True:
        yield 1.0 - source.random(), source.gauss(0.0, 1.0)


positive = click.FloatRange(min=0, min_open=True, max=1e9)


@click.command(short_help="How many workers a load wants, and what they cost.")
@click.option("--rate", type=positive, required=True, metavar="N", help="Runs that come a second, at the busiest time.")
@click.option(
    "--run", "mean", type=positive, required=True, metavar="SECONDS", help="How long a run holds its place, on average."
)
@click.option(
    "--tail", "p95", type=positive, metavar="SECONDS", help="What 95 of 100 runs do not exceed. [default: 3 x mean]"
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 100_000),
    default=256,
    show_default=True,
    metavar="N",
    help="Places of one worker (worker.slots x worker.hosts).",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 1e9),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="A run should start so soon.",
)
@click.option(
    "--late",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    metavar="SHARE",
    help="The share of runs that may wait longer.",
)
@click.option(
    "--spare",
    type=click.IntRange(0, 1000),
    default=1,
    show_default=True,
    metavar="N",
    help="Workers that may be away at once: for a failure, or an upgrade.",
)
@click.option("--price", type=click.FloatRange(0, 1e6), metavar="USD", help="What a worker costs an hour.")
@click.option(
    "--runs",
    type=click.IntRange(1000, RUNS_LIMIT),
    default=100_000,
    show_default=True,
    metavar="N",
    help="How many runs the simulation plays.",
)
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="Of the simulation.")
@json_option
def plan(
    rate: float, mean: float, p95: float | None, concurrency: int, wait: float, late: float, spare: int,
    price: float | None, runs: int, seed: int, is_json: bool,
) -> int:  # fmt: skip
    """How many workers a load wants and what they cost: by a formula that is printed, checked by a simulation.

    \b
    Example: pilothouse plan --rate 20 --run 12 --tail 40 --concurrency 64 --wait 2 --price 0.17
    """
    demand = Demand(rate, mean, 3 * mean if p95 is None else p95, wait, late, concurrency)
    try:
        found = answer(demand, spare, price, runs, seed)
    except PlanImpossible as error:
        raise click.UsageError(str(error)) from None
    if is_json:
        show_json(found)
    else:
        _tell(found)
    return Exit.DONE


def _tell(found: Answer) -> None:
    demand, simulated = found.demand, found.simulated
    click.echo(f"{found.workers} workers of {demand.concurrency} places, {found.spare} of them to spare")
    if found.cost_month_usd is not None and found.cost_thousand_runs_usd is not None:
        click.echo(
            f"{found.cost_month_usd:,.2f} USD a month, {found.cost_thousand_runs_usd:.4f} USD for a thousand runs"
        )
    click.echo(f"\n{found.formula}\n")
    rows = [
        ("places", str(found.places), f"{found.places_by_formula} by the formula alone"),
        ("load", f"{found.erlangs:.2f}", f"erlangs; {found.busy:.0%} of all places are taken"),
        ("variation", f"{found.scv:.2f}", "scv of run times; 1 is exponential"),
        ("chance to wait", f"{found.predicted.chance:.2%}", "Erlang C"),
        ("mean wait", span(found.predicted.mean), f"{span(simulated.mean)} in the simulation"),
        (f"wait over {demand.wait:g} s", f"{found.predicted.late:.2%}",
         f"{simulated.late:.2%} +- {simulated.late_error:.2%} in the simulation of {simulated.runs:,} runs"),
    ]  # fmt: skip
    show_table(("WHAT", "FIGURE", ""), rows)
    if not found.holds:
        click.echo(
            f"\nThe simulation still sees more than {demand.late:.0%} late: give it more --runs, or more places."
        )
