"""The invariants as pure functions over what clients read and what the receiver counted. Empty: the invariant holds.

A checker looks only at what anybody outside could have seen: answers of the API, frames of streams, effects. It is told
nothing of the fault. Each is shown to fail on a doctored reading in `test_checkers`, and some on a bug that is planted
into a real node in `test_planted`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.faults.client import Answer, Event, Reading
from tests.faults.receiver import Effect

TERMINAL = {"succeeded", "failed", "cancelled"}
TERMINAL_EVENTS = {f"run.{status}" for status in TERMINAL}
BUSY = {429, 503}


def check_one_end(acknowledged: Iterable[str], readings: Mapping[str, Reading]) -> list[str]:
    """I1 and I8: every acknowledged run is there, has ended, and its events tell that end once, as the last."""
    breaches = []
    for run in acknowledged:
        reading = readings.get(run)
        if reading is None:
            breaches.append(f"I8: {run} was acknowledged and is not there")
            continue
        status, kinds = reading.run["status"], [event.kind for event in reading.events]
        ends = [kind for kind in kinds if kind in TERMINAL_EVENTS]
        if status not in TERMINAL:
            breaches.append(f"I1: {run} has not ended: {status}")
        elif ends != [f"run.{status}"] or kinds[-1] != ends[0]:
            breaches.append(
                f"I1: {run} is {status}, and its events tell the end as {ends}, the last being {kinds[-1:]}"
            )
    return breaches


def check_stays_ended(earlier: Reading, later: Reading) -> list[str]:
    """I1: what has ended stays as it is, to the last byte."""
    if earlier.run["status"] not in TERMINAL:
        return [f"I1: {earlier.id} had not ended at the first reading"]
    if earlier.run != later.run or earlier.events != later.events or earlier.steps != later.steps:
        return [f"I1: {earlier.id} changed after its end"]
    return []


def check_gapless(reading: Reading) -> list[str]:
    """I3: seq is 1..n, and `data` says the same number and the same run."""
    breaches = []
    seqs = [event.seq for event in reading.events]
    if seqs != list(range(1, len(seqs) + 1)):
        breaches.append(f"I3: {reading.id} has the seqs {seqs}")
    bodies = ((event.seq, event.body) for event in reading.events)
    return breaches + [
        f"I3: event {seq} of {reading.id} says {body['run']} {body['seq']}"
        for seq, body in bodies
        if (body["seq"], body["run"]) != (seq, reading.id)
    ]


def check_seen_is_kept(seen: Iterable[Event], kept: Sequence[Event]) -> list[str]:
    """I5 and I3: every event that a client received, also before a kill, is in the records with the same bytes."""
    there = {event.seq: event for event in kept}
    return [
        f"I5: event {event.seq} ({event.kind}) was received as {event.data!r}, kept is {there.get(event.seq)!r}"
        for event in seen
        if there.get(event.seq) != event
    ]


def check_resumed(parts: Sequence[Sequence[Event]], kept: Sequence[Event]) -> list[str]:
    """I4: the parts of a stream that broke off and was resumed are together the events: none twice, none missing."""
    together = [event for part in parts for event in part]
    wanted, got = [event.seq for event in kept], [event.seq for event in together]
    if got != wanted:
        return [f"I4: the parts have the seqs {got} instead of {wanted}"]
    return check_seen_is_kept(together, kept)


def check_answers_kept(answers: Iterable[Answer], readings: Mapping[str, Reading]) -> list[str]:
    """I5: an answer that told an end or an output told what the records say ever after."""
    breaches = []
    for answer in answers:
        told = answer.body
        if answer.status == 200 and told["status"] in TERMINAL:
            kept = readings.get(told["id"])
            if kept is None or any(kept.run[field] != told[field] for field in ("status", "output", "error", "input")):
                breaches.append(f"I5: {told['id']} was told {told['status']}, kept is {kept and kept.run}")
    return breaches


def check_step_once(reading: Reading, effects: Sequence[Effect], *, is_sequential: bool = True) -> list[str]:
    """I2: one idempotency key for all tries of a step, no two steps with one key; a step with a kept result is not
    executed again. `is_sequential`: the agent asks for one step after the other, so whoever gets to a later step has
    the results of all before it, and an effect of an earlier one after that is a second execution."""
    breaches = []
    keys: dict[str, set[str]] = {}
    furthest = -1
    order: dict[str, int] = {}
    for effect in effects:
        keys.setdefault(effect.step, set()).add(effect.key)
        place = order.setdefault(effect.step, len(order))
        if is_sequential and place < furthest:
            breaches.append(f"I2: step {effect.step} of {reading.id} happened again after a later step had begun")
        furthest = max(furthest, place)
    breaches += [f"I2: step {step} showed {len(found)} keys" for step, found in keys.items() if len(found) != 1]
    if len({key for found in keys.values() for key in found}) < len(keys):
        breaches.append(f"I2: two steps of {reading.id} showed the same key")
    finished = Counter(event.body["key"] for event in reading.events if event.kind == "step.finished")
    for step in reading.steps:
        if step["finished_at"] is not None and step["kind"] != "review" and finished[step["key"]] != 1:
            breaches.append(f"I2: step {step['key']} of {reading.id} finished {finished[step['key']]} times")
    return breaches


def check_not_repeated(seen_finished: Iterable[str], before: Sequence[Effect], after: Sequence[Effect]) -> list[str]:
    """I2: no step whose end a client had seen (by its number) has an effect more than it had then."""
    known = set(seen_finished)
    return [f"I2: step {one.step} was finished and happened again" for one in after[len(before) :] if one.step in known]


def check_once(effects: Sequence[Effect], once: Iterable[str], repeats_allowed: Iterable[str] = ()) -> list[str]:
    """I2: a `once` step happens a second time only when a person said so."""
    allowed = set(repeats_allowed)
    breaches = []
    for step in once:
        count = sum(effect.step == step for effect in effects)
        if count > 1 and step not in allowed:
            breaches.append(f"I2: the once step {step} happened {count} times, and nobody was asked")
    return breaches


def check_fenced(reading: Reading) -> list[str]:
    """I6: once an attempt has begun, nothing of an earlier one is kept. Deltas name their attempt; it never falls."""
    breaches, current = [], 0
    for event in reading.events:
        attempt = event.body.get("attempt")
        if event.kind in ("run.started", "run.resumed"):
            current = max(current, attempt or 0)
        elif event.kind == "output.delta" and isinstance(event.body["delta"], dict):
            attempt = event.body["delta"].get("attempt")
            if attempt is not None and attempt < current:
                breaches.append(f"I6: event {event.seq} is of attempt {attempt}, while {current} had begun")
    return breaches


def check_intake(sent: Iterable[tuple[str, bytes, Answer]]) -> list[str]:
    """I7: the same key and body is the same run; the same key and another body is refused."""
    first: dict[str, tuple[bytes, str]] = {}
    breaches = []
    for key, body, answer in sent:
        if key in first and first[key][0] != body:
            if answer.status != 422 or answer.body["code"] != "idempotency_mismatch":
                breaches.append(f"I7: {key} with another body was answered {answer.status}")
        elif answer.status in (200, 202):
            run = first.setdefault(key, (body, answer.body["id"]))[1]
            if run != answer.body["id"]:
                breaches.append(f"I7: {key} made {run} and {answer.body['id']}")
    return breaches


def check_order(readings: Sequence[Reading]) -> list[str]:
    """Turns of one session, in the order of their intake: one at a time, each knowing exactly those before it."""
    breaches = []
    for number, reading in enumerate(readings):
        before = [one.run["input"] for one in readings[:number]]
        output = reading.run["output"]
        if output is None or output["turn"] != number or output["before"] != before:
            breaches.append(f"turn {number} ({reading.id}) says {output}")
        if number and reading.run["started_at"] < readings[number - 1].run["finished_at"]:
            breaches.append(f"turn {number} ({reading.id}) began before the one in front of it had ended")
    return breaches


def check_timers(reading: Reading, seconds: float, within: float, healed_at: datetime | None = None) -> list[str]:
    """I9: a sleep is over once, not early, and at most `within` seconds late, or after the fault healed."""
    sleeps = [step for step in reading.steps if step["kind"] == "sleep"]
    if len(sleeps) != 1 or sleeps[0]["finished_at"] is None:
        return [f"I9: {reading.id} has the sleeps {sleeps}"]
    began, ended = (datetime.fromisoformat(sleeps[0][field]) for field in ("started_at", "finished_at"))
    breaches = []
    if (ended - began).total_seconds() < seconds:
        breaches.append(f"I9: {reading.id} slept {ended - began} instead of {seconds:g} s")
    due = began.timestamp() + seconds
    late = ended.timestamp() - max(due, healed_at.timestamp() if healed_at is not None else due)
    if late > within:
        breaches.append(f"I9: {reading.id} woke {late:.1f} s late")
    wakes = [
        event for event in reading.events if event.kind == "step.finished" and event.body["key"] == sleeps[0]["key"]
    ]
    if len(wakes) != 1:
        breaches.append(f"I9: the sleep of {reading.id} was over {len(wakes)} times")
    return breaches


def check_release(reading: Reading, started_on: str, *, may_continue: bool) -> list[str]:
    """I17: a run whose code changed ends with a reason that says so, unless it may go on and its journal fits."""
    error = reading.run["error"]
    has_stopped = error is not None and error["code"] in ("release_changed", "journal_diverged")
    is_same = reading.run["release"] == started_on
    if reading.run["status"] == "succeeded" and may_continue:
        return []
    if has_stopped and is_same:
        return []
    return [f"I17: {reading.id} began on {started_on}, ended {reading.run['status']} with {error}"]


def check_bounded(answers: Iterable[Answer], memory: Iterable[int], memory_limit: int) -> list[str]:
    """I18: overload is 429 or 503 with `Retry-After` and nothing else; memory stays under the limit (bytes)."""
    breaches = []
    for answer in answers:
        if answer.status in BUSY:
            if not answer.headers.get("retry-after", "").isdigit():
                breaches.append(f"I18: a {answer.status} came without Retry-After")
        elif answer.status not in (200, 202):
            breaches.append(f"I18: overload was answered {answer.status} {answer.body}")
    most = max(memory, default=0)
    if most > memory_limit:
        breaches.append(f"I18: {most >> 20} MiB were held, {memory_limit >> 20} MiB are the limit")
    return breaches


def check_run(reading: Reading, effects: Sequence[Effect], *, is_sequential: bool = True) -> list[str]:
    """Everything that one run by itself must keep."""
    found: list[Any] = [
        check_one_end([reading.id], {reading.id: reading}),
        check_gapless(reading),
        check_step_once(reading, effects, is_sequential=is_sequential),
        check_fenced(reading),
    ]
    return [breach for breaches in found for breach in breaches]
