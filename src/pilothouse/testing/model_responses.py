"""An answer in the wire shapes of the responses API.

Pure, as `model_chat` is: one JSON body, or the numbered events of a stream. Each output item is announced, filled by
deltas and closed, and `response.completed` carries the whole response again; this API has no `[DONE]`.
"""

from __future__ import annotations

import json
from typing import Any

from pilothouse.testing.model_answer import Answer, ToolCall
from pilothouse.testing.model_chat import portions
from pilothouse.testing.model_request import ModelRequest

_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}


def response(answer: Answer, request: ModelRequest, *, at: int) -> dict[str, Any]:
    """The body of an answer that is not streamed, and of the last event of one that is."""
    usage = answer.usage_for(request.prompt)
    full = _response(request, at, "completed", _items(answer, request))
    if answer.finish_reason == "length":
        full |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    full["usage"] = {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    return full


def frames(answer: Answer, request: ModelRequest, *, at: int) -> list[str]:
    """The frames of an answer that is streamed, in order."""
    begun = _response(request, at, "in_progress", [])
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(_items(answer, request)):
        place = {"item_id": item["id"], "output_index": index}
        filled = _text_events(answer, item, place) if item["type"] == "message" else _call_events(item, place)
        events += filled
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    full = response(answer, request, at=at)
    events.append({"type": f"response.{full['status']}", "response": full})
    return [
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number}, ensure_ascii=False)}\n\n"
        for number, event in enumerate(events)
    ]


def _text_events(answer: Answer, item: dict[str, Any], place: dict[str, Any]) -> list[dict[str, Any]]:
    part = item["content"][0]
    where = {**place, "content_index": 0}
    opened = {**item, "status": "in_progress", "content": []}
    added = {"type": "response.output_item.added", "output_index": place["output_index"], "item": opened}
    deltas = [
        {"type": "response.output_text.delta", **where, "delta": delta, "logprobs": []} for delta in answer.deltas
    ]
    return [
        added,
        {"type": "response.content_part.added", **where, "part": {**part, "text": ""}},
        *deltas,
        {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **where, "part": part},
    ]


def _call_events(item: dict[str, Any], place: dict[str, Any]) -> list[dict[str, Any]]:
    opened = {**item, "status": "in_progress", "arguments": ""}
    kind = "response.function_call_arguments"
    return [
        {"type": "response.output_item.added", "output_index": place["output_index"], "item": opened},
        *({"type": f"{kind}.delta", **place, "delta": portion} for portion in portions(item["arguments"])),
        {"type": f"{kind}.done", **place, "name": item["name"], "arguments": item["arguments"]},
    ]


def _items(answer: Answer, request: ModelRequest) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.whole_text or not answer.tool_calls:
        part = {"type": "output_text", "text": answer.whole_text, "annotations": [], "logprobs": []}
        message = {"id": f"msg_{request.n}", "type": "message", "status": "completed", "role": "assistant"}
        items.append({**message, "content": [part]})
    return items + [_call_item(call, request, index) for index, call in enumerate(answer.tool_calls)]


def _call_item(call: ToolCall, request: ModelRequest, index: int) -> dict[str, Any]:
    return {
        "id": f"fc_{request.n}_{index}",
        "type": "function_call",
        "status": "completed",
        "call_id": call.id or f"call_{request.n}_{index}",
        "name": call.name,
        "arguments": call.arguments_text,
    }


def _response(request: ModelRequest, at: int, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    """What the request asked for is told back, as the real servers do."""
    echoed = {name: request.body.get(name, default) for name, default in _ECHOED.items()}
    return {
        "id": f"resp_{request.n}",
        "object": "response",
        "created_at": at,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": request.model,
        "output": output,
        "usage": None,
        **echoed,
    }
