"""The node's own evaluator: it fires, gets worse, is resolved, and forgets what is old. Time is passed in."""

from pilothouse.domain.objective import Objectives
from pilothouse.domain.usual import IN_A_ROW, RECENT
from pilothouse.observability.alert import RESOLVED_KEPT, SAMPLES_LIMIT, Alerts, History
from pilothouse.observability.metric import Metrics
from pilothouse.observability.objective import agent_alerts
from pilothouse.wire.alert import alert_view

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


def test_what_was_resolved_is_remembered_newest_first_and_only_so_many():
    traffic = Traffic()
    for number in range(RESOLVED_KEPT + 5):
        key = ("desk", f"ended{number}")
        traffic.alerts._fire(key, 1.0, 0.5, 60, START + number)
        traffic.alerts._resolve(key, START + number + 1)
    assert traffic.alerts.firing() == []
    found = traffic.alerts.resolved()
    assert len(found) == RESOLVED_KEPT
    assert found[0].resolved_at == START + RESOLVED_KEPT + 5
    assert alert_view(found[0]).resolved_at is not None


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


class Habit:
    """Runs of 2 s that cost a tenth of a dollar, thirty in five minutes, looked at each minute."""

    def __init__(self, **promised):
        self.metrics = Metrics()
        self.metrics.objectives = {"desk": Objectives(**promised)}
        self.told = []
        self.alerts = Alerts(
            self.metrics.objectives, self.metrics.objective_counts, self.told.append, self.metrics.totals
        )
        self.metrics.firing = self.alerts.firing
        self.at = START

    def go_on(self, slots, runs=6, seconds=2.0, cost=0.1):
        for _ in range(slots * 5):
            self.at += MINUTE
            for _ in range(runs):
                self.metrics.run_ended("desk", "succeeded", seconds, b'{"cost_usd":%f}' % cost)
            self.alerts.round(self.at)

    def gauges(self):
        lines = self.metrics.render().decode().splitlines()
        return [line for line in lines if line.startswith("pilothouse_unusual{")]


def test_what_is_far_from_usual_is_a_ticket_that_says_how_far_and_ends_by_itself():
    habit = Habit()
    habit.go_on(RECENT * 2)
    assert (habit.told, habit.gauges()) == ([], [])
    habit.go_on(IN_A_ROW + 1, seconds=20.0)
    [alert] = habit.alerts.firing()
    assert alert_view(alert).summary == "A run of desk took 20 s on average in 5 minutes; 2 s are usual."
    assert habit.gauges() == ['pilothouse_unusual{agent="desk",quantity="seconds"} 1.0']
    habit.go_on(IN_A_ROW + 1)
    assert habit.alerts.firing() == []
    assert [one.resolved_at is None for one in habit.told] == [True, False]


def test_runs_that_stay_away_are_told():
    habit = Habit()
    habit.go_on(RECENT * 2)
    habit.go_on(IN_A_ROW + 1, runs=0)
    assert [alert_view(one).summary for one in habit.alerts.firing()] == [
        "0 runs of desk ended in 5 minutes; 30 are usual."
    ]


def test_who_does_not_want_to_hear_of_the_unusual_does_not():
    habit = Habit(anomalies=False)
    habit.go_on(RECENT * 2)
    habit.go_on(IN_A_ROW + 1, runs=0)
    assert habit.told == []
    assert [rule["alert"] for rule in agent_alerts("desk", Objectives(anomalies=False))] == [
        "PilothouseObjectiveBurns"
    ] * 2
    assert agent_alerts("desk", Objectives())[-1]["alert"] == "PilothouseUnusual"


def test_a_day_that_costs_more_than_planned_is_a_ticket_until_the_day_is_over():
    habit = Habit(cost_usd_a_day=50, anomalies=False)
    habit.go_on(16)
    assert habit.told == []
    habit.go_on(1)
    [alert] = habit.alerts.firing()
    assert alert_view(alert).summary == "desk cost 50.40 USD in 24 hours; 50.00 are planned."
    habit.go_on(24 * 12, runs=0)
    assert habit.alerts.firing() == []


def test_a_review_that_is_open_for_longer_than_promised_is_a_ticket_until_it_is_decided():
    habit = Habit(review_within_seconds=600, anomalies=False)
    habit.alerts.reviews = lambda: habit.metrics.reviews
    for oldest in (60.0, 601.0):
        habit.metrics.reviews_counted({"desk": (3, oldest)})
        habit.go_on(1, runs=0)
    [alert] = habit.alerts.firing()
    assert alert_view(alert).summary == "A review of desk has been open for 10 minutes; 10 minutes are promised."
    habit.metrics.reviews_counted({})
    habit.go_on(1, runs=0)
    assert habit.alerts.firing() == []
