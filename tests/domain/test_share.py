"""Places among tenants: a flood leaves some, whoever holds little finds one, and one tenant alone loses none."""

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.share import Shares


def fill(shares: Shares, tenant: str, places: int) -> int:
    """Takes places until none is given; how many the tenant holds then."""
    while shares.may_take(tenant, places - sum(shares.held.values()), places):
        shares.take(tenant)
    return shares.held.get(tenant, 0)


def test_a_tenant_that_is_alone_has_all_places():
    assert fill(Shares(0.8), "one", 10) == 10


def test_a_flood_leaves_a_fifth_of_the_places_to_others():
    shares = Shares(0.8)
    shares.meet("quiet")
    assert fill(shares, "flood", 10) == 8
    assert fill(shares, "quiet", 10) == 2


def test_two_floods_together_leave_places_to_a_third():
    shares = Shares(0.8)
    shares.meet("third")
    for tenant in ("one", "two") * 5:
        if shares.may_take(tenant, 10 - sum(shares.held.values()), 10):
            shares.take(tenant)
    assert shares.held == {"one": 4, "two": 4}
    assert shares.may_take("third", 2, 10)


def test_a_place_that_nobody_else_holds_may_be_had_up_to_an_equal_share():
    shares = Shares(0.1)
    shares.meet("other")
    assert fill(shares, "flood", 10) == 5


def test_too_few_places_are_not_divided():
    shares = Shares(0.8)
    shares.meet("quiet")
    assert [fill(shares, "flood", places) for places in (1,)] == [1]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), max_size=60), st.integers(1, 12), st.floats(0.1, 1))
def test_counts_never_leak_and_places_are_never_given_twice(acts, places, share):
    shares = Shares(share)
    held: list[str] = []
    for takes, tenant in acts:
        free = places - len(held)
        if takes and shares.may_take(tenant, free, places):
            shares.take(tenant)
            held.append(tenant)
        elif not takes and tenant in held:
            shares.give(tenant)
            held.remove(tenant)
        assert len(held) <= places
        assert shares.held == {one: held.count(one) for one in set(held)}
        assert 0 <= shares.kept(places) < places
