"""An answer in the wire shapes of Google's generateContent, and a request of it as chat messages.

Pure, as `model_chat` is. The model and whether it streams stand in the path (`/v1beta/models/NAME:generateContent`,
`:streamGenerateContent`), so they are written into the body, where the other APIs have them. As with the real server, a
call has an id only when the script gives it one: frameworks must do without.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pilothouse.testing.model_answer import Answer, ToolCall
from pilothouse.testing.model_request import ModelRequest, RequestRefused

PATH = re.compile(r"/v1(?:beta|alpha)?/models/([^/:]+):(generateContent|streamGenerateContent)\Z")
REASONS = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
            429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}  # fmt: skip


def body_of(path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with what the path says. Raises `RequestRefused` for a path of another API."""
    found = PATH.match(path)
    if found is None:
        raise RequestRefused(f"There is no {path} here.", status=404, code="not_found")
    return {**body, "model": found[1], "stream": found[2] == "streamGenerateContent"}


def messages_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Check the body of a request and write its contents as chat messages."""
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents or not all(isinstance(one, dict) for one in contents):
        raise RequestRefused("'contents' must be a list of at least one content.")
    messages = []
    system = body.get("systemInstruction") or body.get("system_instruction")
    if system:
        messages.append({"role": "system", "content": _text(system.get("parts") or [])})
    for content in contents:
        messages += _messages(content.get("role", "user"), content.get("parts") or [])
    return messages


def _messages(role: str, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    calls = []
    for part in parts:
        if called := part.get("functionCall"):
            function = {"name": called.get("name"), "arguments": json.dumps(called.get("args") or {})}
            calls.append({"id": called.get("id"), "type": "function", "function": function})
        if result := part.get("functionResponse"):
            content = json.dumps(result.get("response"), ensure_ascii=False)
            found.append({"role": "tool", "tool_call_id": result.get("id"), "content": content})
    text = _text(parts)
    if text or calls:
        spoken: dict[str, Any] = {"role": "assistant" if role == "model" else "user", "content": text}
        found.insert(0, {**spoken, "tool_calls": calls} if calls else spoken)
    return found


def _text(parts: list[dict[str, Any]]) -> str:
    return "".join(str(part.get("text", "")) for part in parts)


def response(answer: Answer, request: ModelRequest, *, at: int) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    text = [{"text": answer.whole_text}] if answer.whole_text or not answer.tool_calls else []
    return _last(answer, request, text + _calls(answer))


def frames(answer: Answer, request: ModelRequest, *, at: int) -> list[str]:
    """The frames of an answer that is streamed: a portion of text each, the calls and the usage with the last."""
    deltas = answer.deltas
    chunks = [_chunk(request, {"content": {"role": "model", "parts": [{"text": delta}]}, "index": 0})
              for delta in deltas[:-1]]  # fmt: skip
    rest = [{"text": deltas[-1]}] if deltas else []
    chunks.append(_last(answer, request, rest + _calls(answer) or [{"text": ""}]))
    return [f"data: {json.dumps(chunk, ensure_ascii=False)}\r\n\r\n" for chunk in chunks]


def error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}}


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [{"functionCall": _call(call)} for call in answer.tool_calls]


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = json.loads(call.arguments) if isinstance(call.arguments, str) else dict(call.arguments)
    return {"name": call.name, "args": arguments} | ({"id": call.id} if call.id else {})


def _last(answer: Answer, request: ModelRequest, parts: list[dict[str, Any]]) -> dict[str, Any]:
    usage = answer.usage_for(request.prompt)
    reason = REASONS.get(answer.reason, "STOP")
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}
    return _chunk(request, candidate) | {
        "usageMetadata": {
            "promptTokenCount": usage.input_tokens,
            "candidatesTokenCount": usage.output_tokens,
            "totalTokenCount": usage.input_tokens + usage.output_tokens,
        }
    }


def _chunk(request: ModelRequest, candidate: dict[str, Any]) -> dict[str, Any]:
    return {"candidates": [candidate], "modelVersion": request.model, "responseId": f"resp-{request.n}"}
