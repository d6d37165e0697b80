"""The book of an agent's alerts: it fires, gets worse, is resolved, and forgets what is old. Time is passed in."""

import msgspec
import pytest

from pilothouse.domain.alert import FINE, LONGEST, RESOLVED_KEPT, TOUCHED_EVERY, Book, Gained
from pilothouse.domain.objective import COST, Objectives

MINUTE = 60_000_000
START = 1_800_000_000_000_000
PROMISED = Objectives(share=0.99, anomalies=False)


class Traffic:
    """Ten runs a minute of which a share misses, judged each minute. Each look reads the book anew, as another node
    would."""

    def __init__(self):
        self.told = []
        self.book = Book()
        self.at = START

    def go_on(self, minutes, missed=0, runs=10, promised=PROMISED):
        for _ in range(minutes):
            self.at += MINUTE
            self.book = msgspec.json.decode(msgspec.json.encode(self.book), type=Book)
            self.book.add(Gained({"ended": (runs, missed)}), self.at)
            self.told += self.book.judge("desk", promised, self.at, None)

    def firing(self):
        return list(self.book.firing.values())


@pytest.mark.slow
def test_an_outage_pages_within_minutes_and_is_resolved_soon_after_it_ends():
    traffic = Traffic()
    traffic.go_on(600)
    assert traffic.told == []
    traffic.go_on(12, missed=10)
    [alert] = traffic.firing()
    assert (alert.agent, alert.objective, alert.severity, alert.resolved_at) == ("desk", "ended", "page", None)
    assert alert.since < traffic.at
    traffic.go_on(40)
    assert [one.severity for one in traffic.firing()] != ["page"]
    traffic.go_on(24 * 60)
    assert traffic.firing() == []
    assert traffic.told[-1].resolved_at is not None


def test_what_was_resolved_is_remembered_and_only_so_many():
    book = Book()
    cheap = Objectives(cost_usd_a_day=1, anomalies=False)
    for number in range(RESOLVED_KEPT + 5):
        at = START + number * 48 * 60 * MINUTE
        book.add(Gained({}, micro_dollars=2_000_000), at)
        [fired] = book.judge("desk", cheap, at, None)
        assert (fired.objective, fired.measured) == (COST, 2.0)
        [resolved] = book.judge("desk", cheap, at + 30 * 60 * MINUTE, None)
        assert resolved.resolved_at == at + 30 * 60 * MINUTE
    assert len(book.resolved) == RESOLVED_KEPT
    assert book.resolved[-1] == resolved


def test_a_blip_wakes_nobody():
    traffic = Traffic()
    traffic.go_on(600)
    traffic.go_on(1, missed=5)
    traffic.go_on(60)
    assert traffic.told == []


@pytest.mark.slow
def test_a_slow_leak_becomes_a_ticket_and_no_page_and_then_a_page_that_says_since_when():
    traffic = Traffic()
    traffic.go_on(3 * 24 * 60, missed=1, runs=50)
    assert [alert.severity for alert in traffic.firing()] == ["ticket"]
    assert all(alert.severity == "ticket" for alert in traffic.told)
    since = traffic.firing()[0].since
    traffic.go_on(60, missed=10)
    assert [(one.severity, one.since) for one in traffic.firing()] == [("page", since)]


@pytest.mark.slow
def test_a_book_of_busy_days_is_bounded_and_sums_up_to_what_was_counted():
    traffic = Traffic()
    traffic.go_on(4 * 24 * 60)
    bins = traffic.book.counts["ended"]
    assert len(bins) <= FINE + LONGEST // 30 + 2
    assert len(msgspec.json.encode(traffic.book)) < 16 * 1024
    for seconds in (300, 1800, 3600, 6 * 3600):
        assert traffic.book._within("ended", traffic.at, seconds).total == seconds // 60 * 10
    for seconds in (86_400, 3 * 86_400):
        assert abs(traffic.book._within("ended", traffic.at, seconds).total - seconds // 60 * 10) <= 300


def test_what_is_promised_no_more_is_resolved():
    traffic = Traffic()
    traffic.go_on(12, missed=10)
    assert len(traffic.firing()) == 1
    assert [one.objective for one in traffic.book.close(traffic.at)] == ["ended"]
    book = Book()
    book.add(Gained({}, micro_dollars=9_000_000), START)
    assert len(book.judge("desk", Objectives(cost_usd_a_day=1), START, None)) == 1
    assert book.judge("desk", Objectives(), START, None)[0].resolved_at == START


def test_a_book_is_written_when_something_was_counted_and_not_for_each_look():
    book, gained = Book(kept_at=START), Gained({"ended": (3, 0)})
    assert not book.is_due(START + MINUTE - 1, gained)
    assert book.is_due(START + MINUTE, gained)
    assert not book.is_due(START + MINUTE, Gained({"ended": (0, 0)}))
    assert book.is_due(START + TOUCHED_EVERY, Gained({}))
