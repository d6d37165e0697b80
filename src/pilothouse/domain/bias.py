"""The figures of a bias audit: how often each group was favoured, and whether the differences may be chance.

Selection rates and impact ratios are those of New York City's Local Law 144 (6 RCNY 5-301: the ratio to the most
selected group) and of the four-fifths rule (29 CFR 1607.4 D); demographic parity and equalized odds those of Hardt,
Price and Srebro (2016), defined as fairlearn does. A rate has a Wilson interval (Wilson 1927), a ratio one on the
logarithm (Katz, Baptista, Azen and Pike 1978). A group under the minimum size is shown and not judged: nothing follows
from three people. Pure, and plain arithmetic.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from math import exp, log, sqrt
from statistics import NormalDist

from msgspec import Struct

FOUR_FIFTHS = 0.8
TOGETHER = " x "
"""Between the names of attributes, and of groups, that are looked at together."""
NOT_TOLD = "not told"


class Case(Struct, frozen=True):
    """One decision: the groups of whom it is about, whether it was favourable, and whether it should have been."""

    groups: Mapping[str, str]
    selected: bool
    label: bool | None = None


class Interval(Struct, frozen=True):
    low: float
    high: float


class GroupFigures(Struct, frozen=True, kw_only=True):
    """`ratio` is the impact ratio: to the group with the highest rate of those that are large enough. None: it cannot
    be said. `is_flagged`: it is under four fifths, and the group is large enough for that to be said."""

    group: str
    count: int
    selected: int
    rate: float
    rate_interval: Interval
    ratio: float | None
    ratio_interval: Interval | None
    is_small: bool
    is_flagged: bool
    true_positive_rate: float | None = None
    false_positive_rate: float | None = None


class AttributeFigures(Struct, frozen=True, kw_only=True):
    """Of one attribute, or several together. The four summaries look at the groups that are large enough: differences
    of the highest and the lowest rate, and ratios of the lowest to the highest; None with fewer than two groups.
    Equalized odds take the larger difference (the smaller ratio) of true and false positive rates, over groups with
    labels of both kinds."""

    attribute: str
    reference: str | None
    groups: tuple[GroupFigures, ...]
    demographic_parity_difference: float | None
    demographic_parity_ratio: float | None
    equalized_odds_difference: float | None
    equalized_odds_ratio: float | None


class Figures(Struct, frozen=True, kw_only=True):
    cases: int
    selected: int
    minimum: int
    confidence: float
    attributes: tuple[AttributeFigures, ...]


def quantile(confidence: float) -> float:
    """The z of a two-sided interval: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes: int, count: int, confidence: float = 0.95) -> Interval:
    """The score interval of a share (Wilson 1927). Without cases nothing is known: 0 to 1."""
    if count == 0:
        return Interval(0.0, 1.0)
    z, share = quantile(confidence), successes / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    low = 0.0 if successes == 0 else max(0.0, middle - reach)
    return Interval(low, 1.0 if successes == count else min(1.0, middle + reach))


def katz(first: tuple[int, int], second: tuple[int, int], confidence: float = 0.95) -> Interval | None:
    """The interval of the ratio of two shares, each (successes, count), on the logarithm (Katz and others 1978). None
    where one of them has no success: its logarithm is not there."""
    (a, n), (b, m) = first, second
    if not (a and b and n and m):
        return None
    reach = quantile(confidence) * sqrt(1 / a - 1 / n + 1 / b - 1 / m)
    middle = log((a / n) / (b / m))
    return Interval(exp(middle - reach), exp(middle + reach))


class _Tally:
    def __init__(self) -> None:
        self.count = self.selected = 0
        self.right: dict[bool, int] = {True: 0, False: 0}
        self.labelled: dict[bool, int] = {True: 0, False: 0}

    def add(self, case: Case) -> None:
        self.count += 1
        self.selected += case.selected
        if case.label is not None:
            self.labelled[case.label] += 1
            self.right[case.label] += case.selected

    def rate_where(self, label: bool) -> float | None:
        """Of the cases with this label, the share that was favoured: true or false positives."""
        return self.right[label] / self.labelled[label] if self.labelled[label] else None


def figures_of(
    cases: Sequence[Case], attributes: Sequence[str], minimum: int = 30, confidence: float = 0.95, *, pairs: bool = True
) -> Figures:
    """Of each attribute, and of each two together (intersectional). `minimum`: cases of a group that is judged."""
    wanted: list[tuple[str, ...]] = [(one,) for one in attributes]
    if pairs:
        wanted += combinations(attributes, 2)
    found = tuple(_of_attribute(cases, names, minimum, confidence) for names in wanted)
    selected = sum(case.selected for case in cases)
    return Figures(cases=len(cases), selected=selected, minimum=minimum, confidence=confidence, attributes=found)


def _of_attribute(cases: Iterable[Case], names: Sequence[str], minimum: int, confidence: float) -> AttributeFigures:
    tallies: dict[str, _Tally] = {}
    for case in cases:
        group = TOGETHER.join(case.groups.get(name, NOT_TOLD) for name in names)
        tallies.setdefault(group, _Tally()).add(case)
    told = {name: one for name, one in tallies.items() if NOT_TOLD not in name.split(TOGETHER)}
    large = {name: one for name, one in told.items() if one.count >= minimum}
    reference = max(sorted(large), key=lambda name: large[name].selected / large[name].count, default=None)
    groups = tuple(
        _of_group(name, tallies[name], large, reference, confidence, name in told) for name in sorted(tallies)
    )
    rates = [one.selected / one.count for one in large.values()]
    odds = [(one.rate_where(True), one.rate_where(False)) for one in large.values() if all(one.labelled.values())]
    true = [rate for rate, _ in odds if rate is not None]
    false = [rate for _, rate in odds if rate is not None]
    return AttributeFigures(
        attribute=TOGETHER.join(names),
        reference=reference,
        groups=groups,
        demographic_parity_difference=_difference(rates),
        demographic_parity_ratio=_ratio(rates),
        equalized_odds_difference=_pick(max, _difference(true), _difference(false)),
        equalized_odds_ratio=_pick(min, _ratio(true), _ratio(false)),
    )


def _of_group(
    name: str,
    tally: _Tally,
    large: Mapping[str, _Tally],
    reference: str | None,
    confidence: float,
    is_told: bool,
) -> GroupFigures:
    rate = tally.selected / tally.count
    ratio: float | None = None
    interval: Interval | None = None
    if reference is not None and is_told and large[reference].selected:
        best = large[reference]
        ratio = rate / (best.selected / best.count)
        if name != reference:
            interval = katz((tally.selected, tally.count), (best.selected, best.count), confidence)
    is_small = name not in large
    return GroupFigures(
        group=name,
        count=tally.count,
        selected=tally.selected,
        rate=rate,
        rate_interval=wilson(tally.selected, tally.count, confidence),
        ratio=ratio,
        ratio_interval=interval,
        is_small=is_small,
        is_flagged=not is_small and ratio is not None and ratio < FOUR_FIFTHS,
        true_positive_rate=tally.rate_where(True),
        false_positive_rate=tally.rate_where(False),
    )


def _difference(rates: Sequence[float]) -> float | None:
    return max(rates) - min(rates) if len(rates) > 1 else None


def _ratio(rates: Sequence[float]) -> float | None:
    return min(rates) / max(rates) if len(rates) > 1 and max(rates) > 0 else None


def _pick(choose: Callable[[Iterable[float]], float], *values: float | None) -> float | None:
    known = [one for one in values if one is not None]
    return choose(known) if known else None
