"""When a call is one too many: exact for what is known beforehand, patient with estimates."""

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.budget import Amounts, Budget, judge, period_key

CALL = Amounts(tokens=100, model_calls=1)


def test_calls_are_exact_however_many_are_under_way():
    budget = Budget("run", model_calls=10)
    assert judge(budget, Amounts(model_calls=4), Amounts(model_calls=5), 5, CALL)[0] == "go"
    verdict, hit = judge(budget, Amounts(model_calls=4), Amounts(model_calls=6), 6, CALL)
    assert (verdict, hit.amount, hit.cap, hit.spent) == ("over", "model_calls", 10, 4)


def test_a_call_waits_while_only_estimates_of_others_stand_in_the_way():
    budget = Budget("run", tokens=1000)
    assert judge(budget, Amounts(), Amounts(tokens=950), 9, CALL)[0] == "wait"
    assert judge(budget, Amounts(tokens=950), Amounts(), 0, CALL)[0] == "over"
    assert judge(budget, Amounts(tokens=900), Amounts(), 0, CALL)[0] == "go"


def test_what_a_call_does_not_use_does_not_stop_it():
    tool = Amounts(tool_calls=1)
    assert judge(Budget("run", model_calls=1), Amounts(), Amounts(model_calls=1), 1, tool)[0] == "go"


def test_a_cap_that_is_reached_stops_whatever_comes():
    assert judge(Budget("run", wall_seconds=5.0), Amounts(wall_seconds=5.0), Amounts(), 0, CALL)[0] == "over"
    assert judge(Budget("run", cost_usd=0.0), Amounts(), Amounts(), 0, CALL)[0] == "over"


def test_a_grant_of_a_person_is_the_same_amount_once_more():
    budget = Budget("run", model_calls=10)
    assert judge(budget, Amounts(model_calls=10), Amounts(), 0, CALL, {"run.model_calls": 1})[0] == "go"
    assert judge(budget, Amounts(model_calls=20), Amounts(), 0, CALL, {"run.model_calls": 1})[0] == "over"


def test_periods_are_days_months_or_for_ever():
    assert [period_key(one, "2026-11-28") for one in ("day", "month", "total")] == ["2026-11-28", "2026-11", ""]


@given(st.integers(0, 20), st.lists(st.tuples(st.booleans(), st.integers(1, 300)), max_size=80))
def test_calls_never_exceed_the_cap_in_any_order_of_begins_and_ends(cap, story):
    budget, spent, reserved, flying = Budget("run", model_calls=cap, tokens=1000), Amounts(), Amounts(), []
    for begins, tokens in story:
        if begins:
            wish = Amounts(tokens=tokens, model_calls=1)
            if judge(budget, spent, reserved, len(flying), wish)[0] == "go":
                reserved.add(wish)
                flying.append(wish)
        elif flying:
            done = flying.pop(0)
            reserved.take(done)
            spent.add(done)
    assert spent.model_calls + reserved.model_calls <= cap
    assert spent.tokens + reserved.tokens <= 1000
