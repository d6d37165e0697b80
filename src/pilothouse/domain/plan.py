"""How many places and workers an arrival rate wants, what they cost, and a simulation that says whether that holds.

The formula is Erlang's C for the chance to wait at all, with the correction of Allen and Cunneen for run times that are
not exponential:

    a = rate x mean            the places that would be taken if nobody waited (erlangs)
    C = Erlang C(places, a)    the chance that a run has to wait (A. K. Erlang, 1917)
    v = (1 + scv) / 2          Poisson arrivals; scv is the squared coefficient of variation of run times
    mean wait = v x C x mean / (places - a)
    P(wait > t) = C x exp(-(places - a) x t / (mean x v))

(A. O. Allen, Probability, Statistics and Queueing Theory, 2nd ed. 1990, chapter 5; for one place the mean is that of
Pollaczek and Khinchine, for exponential times the tail is exact.) Run times are taken to be lognormal with the mean and
the 95th percentile that are given.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from math import ceil, exp, log, sqrt

from msgspec import Struct

Z95 = 1.6448536269514722
"""The 95th percentile of the standard normal distribution."""
P95_AT_MOST = exp(Z95**2 / 2)
"""Times the mean: no lognormal distribution has its 95th percentile farther out (3.87)."""
PLACES_LIMIT = 100_000
HOURS_A_MONTH = 730.5
"""365.25 days."""
WARM = 0.1
"""Of the simulated runs, so many are left out: the queue is empty at first."""
PARTS = 20
"""In so many parts the simulated runs are divided, to see how much its figures vary (batch means)."""
CONFIDENT = 3.0
"""Standard errors that a simulated figure may be off."""


class Demand(Struct, frozen=True):
    """`rate` runs a second; `mean` and `p95` seconds a run holds its place; `wait` seconds that no more than `late` of
    the runs may wait longer than; `concurrency` places of a worker."""

    rate: float
    mean: float
    p95: float
    wait: float
    late: float
    concurrency: int


class Wait(Struct, frozen=True):
    """What runs wait: the chance to wait at all, the mean in seconds, and the share that waits longer than asked."""

    chance: float
    mean: float
    late: float


class Simulated(Struct, frozen=True):
    """`late_error`: the standard error of `late`."""

    runs: int
    mean: float
    late: float
    late_error: float


class PlanImpossible(ValueError):
    """What was given contradicts itself or has no answer; the text says what and what to give instead."""


def check(demand: Demand) -> None:
    """Raises `PlanImpossible`."""
    if demand.rate <= 0 or demand.mean <= 0:
        raise PlanImpossible("The rate and the mean run time must be over 0.")
    if demand.concurrency < 1:
        raise PlanImpossible("A worker needs at least one place.")
    if demand.wait < 0 or not 0 < demand.late < 1:
        raise PlanImpossible("The wait must not be negative, and the share of late runs lies between 0 and 1.")
    if demand.p95 < demand.mean:
        raise PlanImpossible(
            f"The 95th percentile ({demand.p95:g} s) is below the mean ({demand.mean:g} s), which lognormal run times "
            "never have. Few very long runs raise the mean: plan them by themselves, as an agent of their own."
        )
    if demand.p95 > P95_AT_MOST * demand.mean:
        raise PlanImpossible(
            f"The 95th percentile ({demand.p95:g} s) is over {P95_AT_MOST:.2f} times the mean ({demand.mean:g} s), "
            "which no lognormal distribution reaches. Plan short and long runs by themselves."
        )
    if demand.rate * demand.mean >= PLACES_LIMIT:
        raise PlanImpossible(f"This wants over {PLACES_LIMIT:,} places: split it, see docs/explanation/scale.md.")


def sigma_of(mean: float, p95: float) -> float:
    """The standard deviation of the logarithm of a lognormal time: p95 / mean = exp(Z95 s - s^2 / 2), the smaller s."""
    return Z95 - sqrt(max(0.0, Z95**2 - 2 * log(p95 / mean)))


def variation(demand: Demand) -> float:
    """The squared coefficient of variation of the run times."""
    return exp(sigma_of(demand.mean, demand.p95) ** 2) - 1


def erlang_c(places: int, load: float) -> float:
    """The chance that an arrival has to wait at `places` servers under `load` erlangs, less than `places`. By the
    recursion of Erlang's B, which neither overflows nor cancels."""
    blocked = 1.0
    for number in range(1, places + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / places * (1 - blocked))


def wait_at(demand: Demand, places: int) -> Wait:
    load, spread = demand.rate * demand.mean, (1 + variation(demand)) / 2
    chance = erlang_c(places, load)
    mean = spread * chance * demand.mean / (places - load)
    late = chance * exp(-(places - load) * demand.wait / (demand.mean * spread))
    return Wait(chance, mean, late)


def places_for(demand: Demand) -> int:
    """The fewest places with which no more than `late` of the runs wait longer than `wait`. Raises `PlanImpossible`."""
    check(demand)
    low = int(demand.rate * demand.mean) + 1
    high = low
    while wait_at(demand, high).late > demand.late:
        if high > PLACES_LIMIT:
            raise PlanImpossible(f"This wants over {PLACES_LIMIT:,} places: split it, see docs/explanation/scale.md.")
        high += max(1, high // 2)
    while low < high:
        middle = (low + high) // 2
        if wait_at(demand, middle).late > demand.late:
            low = middle + 1
        else:
            high = middle
    return low


def workers_for(places: int, concurrency: int) -> int:
    return ceil(places / concurrency)


def simulate(demand: Demand, places: int, runs: int, draws: Iterator[tuple[float, float]]) -> Simulated:
    """The queue itself, run by run: whoever comes first gets the place that is free first. `draws` gives for each run
    a number between 0 and 1 (exclusive), and one of the standard normal distribution."""
    sigma = sigma_of(demand.mean, demand.p95)
    centre = log(demand.mean) - sigma**2 / 2
    free = [0.0] * places
    heapify(free)
    at = 0.0
    first = int(runs * WARM)
    size = max(1, (runs - first) // PARTS)
    waited, late, parts = 0.0, 0, [0] * PARTS
    for number in range(first + size * PARTS):
        uniform, normal = next(draws)
        at -= log(uniform) / demand.rate
        begins = max(at, heappop(free))
        heappush(free, begins + exp(centre + sigma * normal))
        if number >= first:
            waited += begins - at
            if begins - at > demand.wait:
                late += 1
                parts[(number - first) // size] += 1
    counted = size * PARTS
    shares = [part / size for part in parts]
    middle = late / counted
    error = sqrt(sum((share - middle) ** 2 for share in shares) / (PARTS - 1) / PARTS)
    return Simulated(counted, waited / counted, middle, error)


def holds(demand: Demand, simulated: Simulated) -> bool:
    """Whether the simulation contradicts that no more than `late` of the runs are late."""
    return simulated.late <= demand.late + CONFIDENT * simulated.late_error
