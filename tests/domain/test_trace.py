"""The ids of spans: the same everywhere, and below who called."""

import pytest

from pilothouse.domain.trace import context_of, is_drawn, span_of, traceparent_below

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_run_is_below_its_caller_and_records_what_the_caller_records():
    context = context_of("run_a", CALLER)
    assert (f"{context.trace:032x}", f"{context.above:016x}", context.is_sampled) == (CALLER[3:35], CALLER[36:52], True)
    assert context_of("run_a", CALLER[:-2] + "00").is_sampled is False


@pytest.mark.parametrize(
    "broken",
    [None, "", "00-zz", CALLER.upper(), CALLER + "-x", f"00-{'0' * 32}-b7ad6b7169203331-01", "ff" + CALLER[2:]],
)
def test_what_cannot_be_read_is_no_trace_and_the_run_begins_one(broken):
    context = context_of("run_a", broken)
    assert context == context_of("run_a", None)
    assert context.above is None
    assert context.trace != context_of("run_b", None).trace


def test_a_called_run_is_below_the_run_that_called_it():
    below = context_of("run_b", traceparent_below("run_a", CALLER))
    assert below.trace == context_of("run_a", CALLER).trace
    assert below.above == span_of("run_a")
    assert below.is_sampled


def test_ids_differ_between_runs_and_steps():
    assert len({span_of("run_a"), span_of("run_b"), span_of("run_a", "x"), span_of("run_b", "x")}) == 4


def test_a_share_is_drawn_evenly_and_by_the_trace_alone():
    traces = [context_of(f"run_{number}", None).trace for number in range(10_000)]
    drawn = [trace for trace in traces if is_drawn(trace, 0.1)]
    assert 900 < len(drawn) < 1100
    assert all(is_drawn(trace, 0.2) for trace in drawn)
    assert all(is_drawn(trace, 1.0) and not is_drawn(trace, 0.0) for trace in traces)


def test_what_is_sent_along_names_the_ids_that_the_span_of_the_run_has():
    trace, span = f"{context_of('run_a', None).trace:032x}", f"{span_of('run_a'):016x}"
    assert traceparent_below("run_a", None) == f"00-{trace}-{span}-00"
