"""Erlang's C and the correction for general run times, against values that others have computed, and against the queue.

Sources: D. Gross, C. M. Harris, Fundamentals of Queueing Theory, the eye clinic (M/M/3, 6 an hour, 20 minutes each:
Lq = 8/9, Wq = 4/27 h); closed forms for one place (C = a) and two (C = a^2 / (2 + a)); the sum that defines C, in exact
fractions; Pollaczek and Khinchine for one place and any run time.
"""

import random
from fractions import Fraction
from math import exp, factorial, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.plan import (
    P95_AT_MOST,
    Z95,
    Demand,
    PlanImpossible,
    erlang_c,
    holds,
    places_for,
    sigma_of,
    simulate,
    variation,
    wait_at,
)


def demand(**more):
    given_ = {"rate": 2.0, "mean": 1.0, "p95": 2.5, "wait": 0.5, "late": 0.05, "concurrency": 4}
    return Demand(**(given_ | more))


def draws(seed=1):
    source = random.Random(seed)
    while True:
        yield 1.0 - source.random(), source.gauss(0.0, 1.0)


def exponential_like(rate, mean):
    """A demand whose scv is 1: then the formula is that of exponential run times."""
    sigma = log(2) ** 0.5
    return demand(rate=rate, mean=mean, p95=mean * exp(Z95 * sigma - sigma**2 / 2))


def test_the_eye_clinic_of_gross_and_harris():
    clinic = exponential_like(6.0, 1 / 3)
    assert variation(clinic) == pytest.approx(1.0)
    assert erlang_c(3, 2.0) == pytest.approx(4 / 9)
    assert wait_at(clinic, 3).mean == pytest.approx(4 / 27)


@given(st.floats(0.01, 0.99))
def test_one_and_two_places_have_closed_forms(busy):
    assert erlang_c(1, busy) == pytest.approx(busy)
    load = 2 * busy
    assert erlang_c(2, load) == pytest.approx(load**2 / (2 + load))


@pytest.mark.parametrize(
    ("places", "load"), [(5, Fraction(4)), (14, Fraction(10)), (55, Fraction(50)), (120, Fraction(101))]
)
def test_the_recursion_is_the_sum_that_defines_it(places, load):
    last = load**places / factorial(places) * places / (places - load)
    exact = last / (sum(load**k / factorial(k) for k in range(places)) + last)
    assert erlang_c(places, float(load)) == pytest.approx(float(exact))


def test_one_place_waits_as_pollaczek_and_khinchine_say():
    one = demand(rate=0.7, mean=1.0, p95=1.8)
    second_moment = 1.0 + variation(one)
    assert wait_at(one, 1).mean == pytest.approx(0.7 * second_moment / (2 * (1 - 0.7)))


@given(st.floats(0.1, 1000), st.floats(1.0, P95_AT_MOST * 0.999))
def test_the_lognormal_time_has_the_mean_and_the_percentile_that_were_given(mean, ratio):
    sigma = sigma_of(mean, ratio * mean)
    assert mean * exp(Z95 * sigma - sigma**2 / 2) == pytest.approx(ratio * mean)


@pytest.mark.parametrize(
    "more", [{}, {"rate": 40.0, "mean": 2.0, "p95": 6.0}, {"p95": 1.0}, {"wait": 0.0, "late": 0.2}]
)
def test_the_fewest_places_are_found(more):
    wants = demand(**more)
    places = places_for(wants)
    assert wait_at(wants, places).late <= wants.late
    assert places - 1 <= wants.rate * wants.mean or wait_at(wants, places - 1).late > wants.late


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"rate": 10.0, "mean": 2.0, "p95": 2.0}, {"rate": 20.0, "mean": 1.0, "p95": 3.0}])
def test_the_simulation_agrees_with_the_formula(more):
    wants = demand(**more)
    places = places_for(wants)
    found = simulate(wants, places, 60_000, draws())
    assert holds(wants, found)
    assert found.mean == pytest.approx(wait_at(wants, places).mean, rel=0.35, abs=0.02)


@pytest.mark.slow
def test_the_simulation_sees_when_there_are_too_few_places():
    wants = demand(rate=20.0, mean=1.0, p95=3.0)
    assert not holds(wants, simulate(wants, 21, 60_000, draws()))


@pytest.mark.slow
def test_the_simulation_of_exponential_arrivals_and_constant_runs_is_that_of_m_d_1():
    wants = demand(rate=0.5, mean=1.0, p95=1.0)
    found = simulate(wants, 1, 200_000, draws(3))
    assert found.mean == pytest.approx(0.5 / (2 * (1 - 0.5)), rel=0.05)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"p95": 0.5}, "below the mean"),
        ({"p95": 4.0}, "3.87 times the mean"),
        ({"rate": 0.0}, "over 0"),
        ({"late": 1.0}, "between 0 and 1"),
        ({"concurrency": 0}, "at least one place"),
        ({"rate": 1e6}, "over 100,000 places"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(more, says):
    with pytest.raises(PlanImpossible, match=says):
        places_for(demand(**more))
