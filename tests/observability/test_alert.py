"""The node's own evaluator: it fires, gets worse, is resolved, and forgets what is old. Time is passed in."""

from pilothouse.domain.objective import Objectives
from pilothouse.observability.alert import SAMPLES_LIMIT, Alerts, History

MINUTE = 60_000_000
START = 1_800_000_000_000_000
KEY = ("desk", "ended")


class Traffic:
    """Ten runs a minute of which a share misses, judged each minute."""

    def __init__(self):
        self.counts = {}
        self.told = []
        self.alerts = Alerts({"desk": Objectives(share=0.99)}, self.counts, self.told.append)
        self.at = START

    def go_on(self, minutes, missed=0, runs=10):
        for _ in range(minutes):
            self.at += MINUTE
            total, bad = self.counts.get(KEY, (0, 0))
            self.counts[KEY] = (total + runs, bad + missed)
            self.alerts.round(self.at)


def test_an_outage_pages_within_minutes_and_is_resolved_soon_after_it_ends():
    traffic = Traffic()
    traffic.go_on(600)
    assert traffic.told == []
    traffic.go_on(12, missed=10)
    [alert] = traffic.alerts.firing()
    assert (alert.agent, alert.objective, alert.severity, alert.resolved_at) == ("desk", "ended", "page", None)
    assert alert.since < traffic.at
    traffic.go_on(40)
    assert [one.severity for one in traffic.alerts.firing()] != ["page"]
    traffic.go_on(24 * 60)
    assert traffic.alerts.firing() == []
    assert traffic.told[-1].resolved_at is not None


def test_a_blip_wakes_nobody():
    traffic = Traffic()
    traffic.go_on(600)
    traffic.go_on(1, missed=5)
    traffic.go_on(60)
    assert traffic.told == []


def test_a_slow_leak_becomes_a_ticket_and_no_page():
    traffic = Traffic()
    traffic.go_on(3 * 24 * 60, missed=1, runs=50)
    assert [alert.severity for alert in traffic.alerts.firing()] == ["ticket"]
    assert all(alert.severity == "ticket" for alert in traffic.told)


def test_an_alert_that_gets_worse_is_told_again_with_the_time_it_began():
    traffic = Traffic()
    traffic.go_on(3 * 24 * 60, missed=1, runs=50)
    since = traffic.alerts.firing()[0].since
    traffic.go_on(60, missed=10)
    assert [(one.severity, one.since) for one in traffic.alerts.firing()] == [("page", since)]


def test_what_is_remembered_is_bounded():
    history = History()
    for number in range(SAMPLES_LIMIT * 2):
        history.note(START + number, number, 0)
    assert len(history._at) <= SAMPLES_LIMIT
    history.note(START + 4 * 24 * 3600 * 1_000_000, SAMPLES_LIMIT * 3, 0)
    assert len(history._at) == 2


def test_a_counter_that_stands_still_costs_nothing():
    history = History()
    for number in range(1000):
        history.note(START + number * MINUTE, 5, 1)
    assert len(history._at) == 1
    assert history.within(START + 1000 * MINUTE, 3600).total == 0
