"""Spans of time in fixed buckets: never far off, whatever comes."""

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.client.spread import LONGEST, TimeSpread, bucket_of, upper_of


@given(st.integers(0, LONGEST))
def test_a_bucket_holds_its_span_and_is_narrow(micros):
    bucket = bucket_of(micros)
    assert micros <= upper_of(bucket) <= micros * (1 + 1 / 64) + 1
    assert bucket == 0 or upper_of(bucket - 1) < micros


def test_buckets_follow_each_other_without_a_gap():
    assert [bucket_of(upper_of(bucket)) for bucket in range(2000)] == list(range(2000))


@given(st.lists(st.floats(0, 3000), min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_right_to_two_digits(spans, share):
    spread = TimeSpread()
    for one in spans:
        spread.add(one)
    exact = sorted(spans)[max(0, -(-round(share * len(spans) * 1e9) // 10**9) - 1)]
    assert exact * 0.98 - 2e-6 <= spread.percentile(share) <= exact * 1.02 + 2e-6
    assert (spread.count, spread.least, spread.largest) == (len(spans), min(spans), max(spans))


def test_nothing_has_no_percentile():
    assert (TimeSpread().percentile(0.5), TimeSpread().mean, list(TimeSpread())) == (0.0, 0.0, [])
