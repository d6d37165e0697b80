"""The clock of a node that shares its records: it is theirs, and it never goes back."""

from pilothouse.compute.clock import SystemClock

HOUR = 3_600_000_000


def test_the_first_word_sets_it_whichever_way():
    for off in (HOUR, -HOUR):
        clock, wall = SystemClock(), SystemClock()
        clock.follow(wall.now() + off, 1000)
        assert abs(clock.now() - wall.now() - off) < 1_000_000


def test_later_it_goes_forward_but_never_back():
    clock, wall = SystemClock(), SystemClock()
    clock.follow(wall.now(), 1000)
    clock.follow(wall.now() + HOUR, 1000)
    before = clock.now()
    assert before - wall.now() > HOUR - 1_000_000
    clock.follow(wall.now(), 1000)
    after = [clock.now() for _ in range(100)]
    assert after == sorted(after)
    assert after[0] >= before


def test_what_is_within_the_time_of_asking_changes_nothing():
    clock, wall = SystemClock(), SystemClock()
    clock.follow(wall.now(), 0)
    ahead = clock.now() - wall.now()
    clock.follow(wall.now() + 5_000_000, 20_000_000)
    assert abs(clock.now() - wall.now() - ahead) < 1_000_000
