"""The overview as arithmetic: where each fact counts, and what is left out."""

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.overview import RunFact, Spread, spread_of, summarise

S = 1_000_000


def fact(created: int, started: int | None = None, finished: int | None = None, status="running", **more) -> RunFact:
    values = {"run": f"run_{created}", "agent": "desk", "usage": None, "error": None, "release": "r1"} | more
    at = [None if one is None else one * S for one in (created, started, finished)]
    return RunFact(
        values["run"], values["agent"], status, at[0], at[1], at[2], values["usage"], values["error"], values["release"]
    )


def test_a_run_counts_where_it_was_created_and_its_end_where_it_ended():
    found = summarise([fact(1, 2, 9, "succeeded", usage=b'{"cost_usd":0.5,"input_tokens":7}')], 0, 10 * S, 2, 0)
    first, second = found.slices
    assert (first.created, first.succeeded, second.created, second.succeeded) == (1, 0, 0, 1)
    assert (second.cost_usd, second.input_tokens, second.lasted.p50, first.waited.p50) == (0.5, 7, 7.0, 1.0)
    assert found.agents["desk"].succeeded == found.total.succeeded == 1


def test_what_lies_outside_is_left_out():
    found = summarise([fact(1, 2, 30, "failed"), fact(20, 21, 25, "failed")], 10 * S, 20 * S, 5, 10 * S)
    assert (found.total.created, found.total.failed, found.faults) == (1, 0, [])


def test_faults_are_grouped_by_agent_and_code_with_the_last_run():
    runs = [fact(n, n, n + 1, "failed", error=b'{"code":"agent_failed"}') for n in range(3)]
    runs += [fact(5, 5, 6, "failed", agent="other")]
    found = summarise(runs, 0, 10 * S, 1, 0)
    assert [(one.agent, one.code, one.runs, one.last_run) for one in found.faults] == [
        ("desk", "agent_failed", 3, "run_2"),
        ("other", "failed", 1, "run_5"),
    ]


def test_a_cancelled_run_has_no_say_in_how_long_runs_last():
    found = summarise([fact(0, 0, 9, "cancelled")], 0, 10 * S, 1, 0)
    assert (found.total.cancelled, found.total.lasted) == (1, Spread())


def test_percentiles_are_values_that_were_measured():
    assert spread_of([n * S for n in range(1, 101)]) == Spread(50.0, 95.0, 99.0)
    assert spread_of([3 * S]) == Spread(3.0, 3.0, 3.0)
    assert spread_of([]) == Spread()


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 50), st.integers(0, 50), st.sampled_from("sfcr"))),
    st.integers(1, 50),
)
def test_the_slices_sum_up_to_the_whole(runs, slices):
    names = {"s": "succeeded", "f": "failed", "c": "cancelled", "r": "running"}
    facts = [
        fact(at, at + wait, None if kind == "r" else at + wait + last, names[kind]) for at, wait, last, kind in runs
    ]
    found = summarise(facts, 0, 100 * S, slices, 0)
    assert len(found.slices) == slices
    for name in ("created", "live", "succeeded", "failed", "cancelled"):
        assert sum(getattr(one, name) for one in found.slices) == getattr(found.total, name)
        assert sum(getattr(one, name) for one in found.agents.values()) == getattr(found.total, name)


def test_the_first_run_of_another_release_is_told_and_that_of_the_first_one_is_not():
    runs = [fact(1, release="r1"), fact(2, release="r1"), fact(3, release="r2"), fact(5, release="r1")]
    runs += [fact(4, agent="other", release="x")]
    found = summarise(reversed(runs), 0, 10 * S, 2, 0)
    assert [(one.agent, one.release, one.at) for one in found.releases] == [("desk", "r2", 3 * S)]
