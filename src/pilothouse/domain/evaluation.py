"""How an output is scored, how sure a score is, and whether one release is worse than another.

Evaluators are deterministic: the same output scores the same, today and in the audit. Shares have Wilson intervals;
means of graded scores a bootstrap one (Efron 1979, percentiles), drawn with a seed that is kept. Two releases are
compared on the same examples: by the exact test of McNemar (1947) where scores are 0 or 1, and by a paired bootstrap of
the difference. Pure, and plain arithmetic.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isclose
from typing import Any, Literal

from msgspec import Struct

from pilothouse.domain.bias import Interval, wilson

DRAWS = 2000
WORK = 2_000_000
"""Values that are drawn in all, about."""
PATTERN_LIMIT = 1000
TEXT_LIMIT = 100_000
"""Characters of an output that a pattern looks at."""

Part = Literal["train", "test"]
Evaluator = Callable[[Any, Any], float]
"""(output, expected) -> 0.0 to 1.0. `expected` None: the example does not say."""


def exact(output: Any, expected: Any) -> float:
    """The same JSON; a number is what it is, however it is written, and true is no number."""
    return float(_same(output, expected))


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


def contains(output: Any, expected: Any) -> float:
    return float(_text(expected) in _text(output))


def pattern(text: str) -> Evaluator:
    """Whether the regular expression is found in the output. Raises ValueError for one that cannot be read."""
    if len(text) > PATTERN_LIMIT:
        raise ValueError(f"the pattern is longer than {PATTERN_LIMIT} characters")
    try:
        compiled = re.compile(text)
    except re.error as error:
        raise ValueError(f"the pattern cannot be read: {error}") from None
    return lambda output, expected: float(compiled.search(_text(output)[:TEXT_LIMIT]) is not None)


def numeric(tolerance: float) -> Evaluator:
    """Whether two numbers are as near as `tolerance`, relative or absolute."""

    def near(output: Any, expected: Any) -> float:
        numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (output, expected))
        return float(numbers and isclose(output, expected, rel_tol=tolerance, abs_tol=tolerance))

    return near


def json_schema(schema: Mapping[str, Any]) -> Evaluator:
    """Whether the output fits a schema: type, enum, const, required, properties, items and bounds. Raises ValueError
    for a keyword that is not looked at, so that nothing passes unlooked at."""
    _check_schema(schema)
    return lambda output, expected: float(_fits(output, schema))


TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda one: isinstance(one, dict),
    "array": lambda one: isinstance(one, list),
    "string": lambda one: isinstance(one, str),
    "boolean": lambda one: isinstance(one, bool),
    "null": lambda one: one is None,
    "integer": lambda one: isinstance(one, int) and not isinstance(one, bool),
    "number": lambda one: isinstance(one, int | float) and not isinstance(one, bool),
}
KEYWORDS = frozenset(
    {
        "$schema", "title", "description", "type", "enum", "const", "required", "properties", "additionalProperties",
        "items", "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "pattern",
    }
)  # fmt: skip


def _check_schema(schema: Any) -> None:
    if not isinstance(schema, Mapping):
        raise ValueError("a schema is an object")
    unknown = sorted(schema.keys() - KEYWORDS)
    if unknown:
        raise ValueError(f"the schema uses {', '.join(unknown)}, which is not looked at here")
    for kind in _as_list(schema.get("type", [])):
        if kind not in TYPES:
            raise ValueError(f"there is no type {kind!r}")
    for inner in schema.get("properties", {}).values():
        _check_schema(inner)
    if "items" in schema:
        _check_schema(schema["items"])
    if not isinstance(schema.get("additionalProperties", True), bool):
        raise ValueError("additionalProperties is true or false here")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    kinds = _as_list(schema.get("type", []))
    if kinds and not any(TYPES[kind](value) for kind in kinds):
        return False
    if "enum" in schema and not any(exact(value, one) for one in schema["enum"]):
        return False
    if "const" in schema and not exact(value, schema["const"]):
        return False
    if isinstance(value, dict):
        return _fits_object(value, schema)
    if isinstance(value, list):
        inner = schema.get("items")
        return _within(len(value), schema, "minItems", "maxItems") and (
            inner is None or all(_fits(one, inner) for one in value)
        )
    if isinstance(value, str):
        found = "pattern" not in schema or re.search(schema["pattern"], value[:TEXT_LIMIT]) is not None
        return found and _within(len(value), schema, "minLength", "maxLength")
    if TYPES["number"](value):
        return _within(value, schema, "minimum", "maximum")
    return True


def _fits_object(value: dict[str, Any], schema: Mapping[str, Any]) -> bool:
    known = schema.get("properties", {})
    if any(name not in value for name in schema.get("required", ())):
        return False
    if schema.get("additionalProperties", True) is False and value.keys() - known.keys():
        return False
    return all(_fits(value[name], inner) for name, inner in known.items() if name in value)


def _within(amount: float, schema: Mapping[str, Any], low: str, high: str) -> bool:
    return bool(schema.get(low, amount) <= amount <= schema.get(high, amount))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


# --- how sure ---------------------------------------------------------------------------------------------------------


class Score(Struct, frozen=True, kw_only=True):
    mean: float
    count: int
    interval: Interval


class Difference(Struct, frozen=True, kw_only=True):
    """Of the second to the first: positive is better. `p` is that of McNemar's exact test, None for graded scores."""

    mean: float
    interval: Interval
    count: int
    better: int
    worse: int
    p: float | None

    @property
    def is_worse(self) -> bool:
        """Worse, and not by chance."""
        return self.interval.high < 0 or (self.p is not None and self.p < 0.05 and self.worse > self.better)


def is_binary(scores: Sequence[float]) -> bool:
    return all(one in (0.0, 1.0) for one in scores)


def score_of(scores: Sequence[float], seed: int = 1, confidence: float = 0.95) -> Score:
    """The mean with its interval. Nothing scored: nothing is known."""
    if not scores:
        return Score(mean=0.0, count=0, interval=Interval(0.0, 1.0))
    mean = sum(scores) / len(scores)
    if is_binary(scores):
        interval = wilson(round(sum(scores)), len(scores), confidence)
    else:
        interval = bootstrap(scores, seed, confidence)
    return Score(mean=mean, count=len(scores), interval=interval)


def bootstrap(values: Sequence[float], seed: int, confidence: float = 0.95) -> Interval:
    """The percentile interval of the mean, of up to DRAWS draws with replacement; of many values fewer draws do."""
    count = len(values)
    draws = max(DRAWS // 10, min(DRAWS, WORK // count))
    places = _places(seed, count)
    means = sorted(sum(values[next(places)] for _ in range(count)) / count for _ in range(draws))
    tail = (1 - confidence) / 2
    return Interval(means[int(tail * draws)], means[min(draws - 1, int((1 - tail) * draws))])


def _places(seed: int, count: int) -> Iterator[int]:
    """Numbers under `count`, for good: SplitMix64 (Steele, Lea and Flood 2014), whose numbers follow from the seed on
    every machine and version."""
    mask = 2**64 - 1
    state = seed & mask
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        yield ((mixed ^ (mixed >> 31)) * count) >> 64


def mcnemar(better: int, worse: int) -> float:
    """Two-sided exact test: of the pairs that differ, how likely so uneven a split is by chance."""
    count = better + worse
    if count == 0:
        return 1.0
    ways = total = 1
    for k in range(min(better, worse)):
        ways = ways * (count - k) // (k + 1)
        total += ways
    return min(1.0, 2 * (total / (1 << count)))


def compare(
    first: Mapping[str, float], second: Mapping[str, float], seed: int = 1, confidence: float = 0.95
) -> Difference | None:
    """On the examples that both have scored; None when there are none."""
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    steps = [second[one] - first[one] for one in shared]
    better, worse = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
    binary = is_binary([first[one] for one in shared]) and is_binary([second[one] for one in shared])
    return Difference(
        mean=sum(steps) / len(steps),
        interval=bootstrap(steps, seed, confidence),
        count=len(shared),
        better=better,
        worse=worse,
        p=mcnemar(better, worse) if binary else None,
    )


def preferred(straight: str, swapped: str) -> float:
    """What two answers of a judge come to, the second with the places of `a` and `b` exchanged: 1.0 when both prefer
    what came first as `a`, 0.0 when both prefer the other, 0.5 when it follows the place or says that they are equal.
    """
    if (straight, swapped) == ("a", "b"):
        return 1.0
    return 0.0 if (straight, swapped) == ("b", "a") else 0.5


# --- what a release must have scored ----------------------------------------------------------------------------------


class Requirement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a release must have scored before runs of it are taken in. `dataset`: `NAME`, or `NAME:NUMBER` for that
    version only. `at_least`: the lower end of the interval of every score. `evaluators`: which there must be; empty:
    whichever were used. `part`: of the dataset; None: whichever was scored. `when_missing`: what becomes of a release
    that was never scored so."""

    dataset: str
    at_least: float
    evaluators: tuple[str, ...] = ()
    part: Part | None = None
    when_missing: Literal["deny", "allow"] = "deny"

    def __post_init__(self) -> None:
        name, colon, number = self.dataset.partition(":")
        if not name or (colon and not number.isdecimal()):
            raise ValueError(f'dataset is {self.dataset!r}; it is the name of one, or a version, as in "refunds:3"')
        if not 0 <= self.at_least <= 1:
            raise ValueError(f"at_least is {self.at_least}; it is from 0 to 1")

    def covers(self, dataset: str, number: int, part: str | None) -> bool:
        """Whether an evaluation on that is one that is asked for."""
        return self.dataset in (dataset, f"{dataset}:{number}") and self.part in (None, part)

    def fault(self, scores: Mapping[str, Score], left_out: int) -> str | None:
        """Why these scores are not enough; None when they are. `left_out`: examples that were not scored."""
        if left_out:
            return f"{left_out} examples of {self.dataset} were not scored"
        for name in self.evaluators or scores:
            if name not in scores:
                return f"it was not scored by {name}"
            low = scores[name].interval.low
            if low < self.at_least:
                return f"{name} may be {low:.3f}, under {self.at_least:g}"
        return None

    @property
    def command(self) -> str:
        """What scores a release so, but for the agent."""
        part = "" if self.part is None else f" --part {self.part}"
        asked = "".join(f" --evaluator {one}" for one in self.evaluators or ("exact",))
        return f"--dataset {self.dataset}{part}{asked} --at-least {self.at_least:g}"


class Standing(Struct, frozen=True):
    """Whether a release may go on (`reason` None), and until when that is believed, in microseconds."""

    reason: str | None
    until: int
