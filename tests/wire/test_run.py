"""The run as JSON: the fields of the contract in its order, payloads as the bytes that came."""

import json
from typing import Any

import msgspec

from pilothouse.domain.journal import StepRow
from pilothouse.domain.run import Run
from pilothouse.wire.run import RunView, encode_run, step_view

CONTRACT = [
    "id", "agent", "release", "mode", "session", "status", "input", "output", "error", "attempt", "metadata", "tenant",
    "created_at", "started_at", "finished_at", "usage",
]  # fmt: skip
AT = 1_795_348_800_000_000


def run_of(**more) -> Run:
    fields: dict[str, Any] = {
        "tenant": "default", "id": "run_1", "agent": "echo", "release": "r1", "mode": "stateless", "status": "queued",
        "created_at": AT,
    }  # fmt: skip
    return Run(**(fields | more))


def test_the_fields_are_those_of_the_contract_in_its_order_and_then_ours():
    names = [one.name for one in msgspec.structs.fields(RunView)]
    assert names[: len(CONTRACT)] == CONTRACT
    assert names[len(CONTRACT) :] == ["subject", "priority", "due_at", "deadline_at", "parent", "origin", "override"]


def test_every_field_shows_what_the_run_has():
    run = run_of(
        session="s", subject="me", status="failed", priority=3, input=b"[1]", output=b"2", error=b'{"code":"x"}',
        metadata=b'{"a":1}', attempt=4, parent="run_0", origin="run_9", started_at=AT + 1, finished_at=AT + 1_500_000,
        due_at=AT + 2, deadline_at=AT + 3,
    )  # fmt: skip
    told = json.loads(encode_run(run))
    assert told == {
        "id": "run_1", "agent": "echo", "release": "r1", "mode": "stateless", "session": "s", "status": "failed",
        "input": [1], "output": 2, "error": {"code": "x"}, "attempt": 4, "metadata": {"a": 1}, "tenant": "default",
        "created_at": "2026-11-22T12:00:00.000000Z", "started_at": "2026-11-22T12:00:00.000001Z",
        "finished_at": "2026-11-22T12:00:01.500000Z",
        "usage": {"input_tokens": 0, "output_tokens": 0, "model_calls": 0, "tool_calls": 0, "cost_usd": 0.0},
        "subject": "me", "priority": 3, "due_at": "2026-11-22T12:00:00.000002Z",
        "deadline_at": "2026-11-22T12:00:00.000003Z", "parent": "run_0", "origin": "run_9", "override": None,
    }  # fmt: skip


def test_what_is_not_there_yet_is_null_and_usage_is_zero():
    told = json.loads(encode_run(run_of()))
    assert [told[name] for name in ("output", "error", "started_at", "finished_at", "session")] == [None] * 5
    assert set(told["usage"].values()) == {0}


def test_usage_is_whole_also_when_only_some_of_it_was_counted():
    told = json.loads(encode_run(run_of(usage=b'{"input_tokens":7,"cost_usd":0.5}')))
    expected = {"input_tokens": 7, "output_tokens": 0, "model_calls": 0, "tool_calls": 0, "cost_usd": 0.5}
    assert told["usage"] == expected


def test_payloads_are_the_bytes_that_came():
    odd = b'{"b": 1.50,\t"a": "\\u00e9"}'
    assert odd in encode_run(run_of(input=odd, output=odd))


def test_a_step_counts_its_tries_as_attempt():
    row = StepRow("k", "tool", "pay", 1, "succeeded", tries=3, once=True, output=b"1", started_at=AT, finished_at=AT)
    view = json.loads(msgspec.json.encode(step_view(row)))
    assert (view["attempt"], view["once"], view["output"], view["input"]) == (3, True, 1, None)
