"""Each checker accepts a sound reading and finds the fault that it is there for: readings doctored by hand.

Excluded: bugs planted into a real node (`test_planted`).
"""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults import checkers
from tests.faults.client import Answer, Event, Reading, page_events
from tests.faults.receiver import Effect

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SLEEP = "sleep-1-1"


def event(seq: int, kind: str, **body) -> Event:
    return Event(seq, kind, json.dumps({"run": "run_a", "seq": seq, "at": NOON.isoformat(), **body}).encode())


def step(number: int, kind: str = "step", slept: float = 0.0) -> dict:
    key = SLEEP if kind == "sleep" else f"effect-{number}"
    ended = NOON + timedelta(seconds=slept)
    return {"key": key, "kind": kind, "started_at": NOON.isoformat(), "finished_at": ended.isoformat()}


def sound(**more) -> Reading:
    """A run of two steps that lost its worker once in between."""
    events = [
        event(1, "run.queued"),
        event(2, "run.started", attempt=1),
        event(3, "step.finished", key="effect-0"),
        event(4, "output.delta", delta={"attempt": 1}),
        event(5, "run.queued", reason="worker_lost"),
        event(6, "run.resumed", attempt=2),
        event(7, "step.finished", key="effect-1"),
        event(8, "output.delta", delta={"attempt": 2}),
        event(9, "run.succeeded"),
    ]
    run = {"id": "run_a", "status": "succeeded", "release": "one", "input": 1, "output": 2, "error": None}
    return Reading({**run, **more}, events, [step(0), step(1)])


def effect(number: int, key: str | None = None, attempt: int = 1) -> Effect:
    return Effect("run_a", str(number), attempt, 100, key or f"run_a:{number}")


EFFECTS = [effect(0), effect(1), effect(1, attempt=2)]


def with_events(*events: Event) -> Reading:
    return sound()._replace(events=list(events))


def one_end(reading: Reading) -> list[str]:
    return checkers.check_one_end(["run_a"], {reading.id: reading})


def test_one_end_is_checked():
    good = sound()
    assert one_end(good) == []
    assert one_end(sound(status="running"))
    assert one_end(sound(status="failed"))
    assert one_end(with_events(*good.events[:-1]))
    assert one_end(with_events(*good.events, event(10, "run.failed")))
    assert one_end(with_events(*good.events, event(10, "output.delta", delta=1)))
    assert checkers.check_one_end(["run_a", "run_lost"], {"run_a": good}) == [
        "I8: run_lost was acknowledged and is not there"
    ]


def test_an_end_that_changes_is_found():
    good = sound()
    assert checkers.check_stays_ended(good, sound()) == []
    assert checkers.check_stays_ended(good, sound(output=3))
    assert checkers.check_stays_ended(good, with_events(*good.events[:-1], event(9, "run.succeeded", more=1)))
    assert checkers.check_stays_ended(sound(status="running"), sound())


@pytest.mark.parametrize("doctor", [
    lambda events: events[:3] + events[4:],
    lambda events: [*events[:4], events[3], *events[4:]],
    lambda events: [events[1], events[0], *events[2:]],
    lambda events: events[1:],
    lambda events: [Event(1, "run.queued", events[1].data), *events[1:]],
])  # fmt: skip
def test_a_gap_a_repeat_and_a_wrong_number_are_found(doctor):
    good = sound()
    assert checkers.check_gapless(good) == []
    assert checkers.check_gapless(with_events(*doctor(good.events)))


def test_an_event_that_was_received_and_is_gone_or_altered_is_found():
    good = sound()
    assert checkers.check_seen_is_kept(good.events[:4], good.events) == []
    assert checkers.check_seen_is_kept(good.events, good.events[:-1])
    assert checkers.check_seen_is_kept([event(1, "run.queued", other=1)], good.events)


def test_a_resumed_stream_that_skips_or_repeats_is_found():
    events = sound().events
    assert checkers.check_resumed([events[:4], [], events[4:]], events) == []
    assert checkers.check_resumed([events[:4], events[5:]], events)
    assert checkers.check_resumed([events[:4], events[3:]], events)
    assert checkers.check_resumed([events[:4]], events)


def test_an_answer_that_the_records_do_not_bear_out_is_found():
    good = sound()
    told = Answer(200, {}, dict(good.run))
    assert checkers.check_answers_kept([told], {"run_a": good}) == []
    assert checkers.check_answers_kept([told], {})
    assert checkers.check_answers_kept([told], {"run_a": sound(output=None, status="running")})


def test_a_repeated_step_is_found():
    good = sound()
    assert checkers.check_step_once(good, EFFECTS) == []
    assert checkers.check_step_once(good, [effect(0), effect(1), effect(0)])
    assert checkers.check_step_once(good, [effect(0), effect(1), effect(1, "run_a:other")])
    assert checkers.check_step_once(good, [effect(0), effect(1, "run_a:0")])
    assert checkers.check_step_once(with_events(*good.events, event(10, "step.finished", key="effect-1")), EFFECTS)
    assert checkers.check_not_repeated(["0"], EFFECTS[:1], EFFECTS) == []
    assert checkers.check_not_repeated(["1"], EFFECTS[:2], EFFECTS)


def test_a_once_step_that_is_silently_repeated_is_found():
    assert checkers.check_once(EFFECTS, ["0"]) == []
    assert checkers.check_once(EFFECTS, ["1"])
    assert checkers.check_once(EFFECTS, ["1"], repeats_allowed=["1"]) == []


def test_a_write_of_a_superseded_attempt_is_found():
    good = sound()
    assert checkers.check_fenced(good) == []
    late = [*good.events[:7], event(8, "output.delta", delta={"attempt": 1}), good.events[8]]
    assert checkers.check_fenced(with_events(*late))


def test_a_key_that_makes_two_runs_is_found():
    def answer(status: int, run: str) -> Answer:
        return Answer(status, {}, {"id": run, "code": "idempotency_mismatch" if status == 422 else ""})

    one, same = ("k", b"1", answer(202, "run_a")), ("k", b"1", answer(200, "run_a"))
    assert checkers.check_intake([one, same, ("k", b"2", answer(422, "")), ("other", b"1", answer(202, "run_b"))]) == []
    assert checkers.check_intake([one, ("k", b"1", answer(202, "run_b"))])
    assert checkers.check_intake([one, ("k", b"2", answer(202, "run_a"))])


def test_turns_out_of_order_are_found():
    def turn(number: int, before: list[str], began: int) -> Reading:
        output = {"turn": number, "before": before}
        times = {"started_at": f"{began}", "finished_at": f"{began + 1}"}
        return sound(id=f"run_{number}", input=f"say {number}", output=output, **times)

    first, second = turn(0, [], 1), turn(1, ["say 0"], 2)
    assert checkers.check_order([first, second]) == []
    assert checkers.check_order([second, first])
    assert checkers.check_order([first, turn(1, [], 2)])
    assert checkers.check_order([first, turn(1, ["say 0"], 1)])


def test_an_early_a_late_and_a_double_timer_are_found():
    def slept(seconds: float, wakes: int = 1) -> Reading:
        ends = [event(2 + number, "step.finished", key=SLEEP) for number in range(wakes)]
        return with_events(*ends)._replace(steps=[step(0, "sleep", seconds)])

    healed = NOON + timedelta(seconds=30)
    assert checkers.check_timers(slept(5.1), 5, within=1) == []
    assert checkers.check_timers(slept(4.9), 5, within=1)
    assert checkers.check_timers(slept(7), 5, within=1)
    assert checkers.check_timers(slept(31), 5, within=2, healed_at=healed) == []
    assert checkers.check_timers(slept(33), 5, within=2, healed_at=healed)
    assert checkers.check_timers(slept(5.1, wakes=2), 5, within=1)
    assert checkers.check_timers(sound(), 5, within=1)


def test_a_release_that_is_silently_mixed_is_found():
    stopped = sound(status="failed", error={"code": "release_changed"})
    diverged = sound(status="failed", error={"code": "journal_diverged"})
    assert checkers.check_release(stopped, "one", may_continue=False) == []
    assert checkers.check_release(diverged, "one", may_continue=True) == []
    assert checkers.check_release(sound(), "one", may_continue=True) == []
    assert checkers.check_release(sound(), "one", may_continue=False)
    assert checkers.check_release(sound(status="failed", error={"code": "agent_failed"}), "one", may_continue=False)
    assert checkers.check_release(stopped, "two", may_continue=False)


def test_a_node_without_bounds_is_found():
    taken, busy = Answer(202, {}, {}), Answer(503, {"retry-after": "1"}, {})
    assert checkers.check_bounded([taken, busy], [90], 100) == []
    assert checkers.check_bounded([Answer(503, {}, {})], [90], 100)
    assert checkers.check_bounded([Answer(500, {}, {})], [90], 100)
    assert checkers.check_bounded([taken], [90, 110], 100)


def test_an_item_of_a_page_has_the_bytes_of_its_frame():
    items = b'{"type":"run.queued","run":"r","seq":1,"x":{"type":"a"}},{"type":"b","run":"r","seq":2}'
    assert page_events(b'{"items":[%b],"next_cursor":null}' % items) == [
        Event(1, "run.queued", b'{"run":"r","seq":1,"x":{"type":"a"}}'),
        Event(2, "b", b'{"run":"r","seq":2}'),
    ]
    assert page_events(b'{"items":[],"next_cursor":null}') == []
