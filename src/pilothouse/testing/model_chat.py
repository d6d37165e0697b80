"""An answer in the wire shapes of the chat completions API.

Pure: an answer and its request in, one JSON body or the frames of a stream out. The stream is the one that real
servers send: a chunk with the role, chunks with text, each tool call opened by name and then filled with portions of
its arguments, a chunk with the reason, usage only when asked for, and `[DONE]`.
"""

from __future__ import annotations

import json
from typing import Any

from pilothouse.testing.model_answer import Answer, ToolCall, Usage
from pilothouse.testing.model_request import ModelRequest

# Long enough that short arguments still arrive in more than one portion.
ARGUMENT_PORTION = 12


def portions(text: str, size: int = ARGUMENT_PORTION) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def completion(answer: Answer, request: ModelRequest, *, at: int) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.whole_text or None, "refusal": None}
    if answer.tool_calls:
        message["tool_calls"] = [_call(call, request, i) for i, call in enumerate(answer.tool_calls)]
    else:
        message["content"] = answer.whole_text
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.reason}
    return {
        "id": f"chatcmpl-{request.n}",
        "object": "chat.completion",
        "created": at,
        "model": request.model,
        "choices": [choice],
        "usage": _usage(answer.usage_for(request.prompt)),
        "system_fingerprint": None,
    }


def frames(answer: Answer, request: ModelRequest, *, at: int) -> list[str]:
    """The frames of an answer that is streamed, in order."""
    chunks = [_chunk(request, at, {"role": "assistant", "content": None if answer.tool_calls else ""})]
    chunks += [_chunk(request, at, {"content": delta}) for delta in answer.deltas]
    for index, call in enumerate(answer.tool_calls):
        opened = _call(call, request, index)
        opened["function"]["arguments"] = ""
        chunks.append(_chunk(request, at, {"tool_calls": [{"index": index, **opened}]}))
        for portion in portions(call.arguments_text):
            filled = {"index": index, "function": {"arguments": portion}}
            chunks.append(_chunk(request, at, {"tool_calls": [filled]}))
    chunks.append(_chunk(request, at, {}, answer.reason))
    if request.include_usage:
        for chunk in chunks:
            chunk["usage"] = None
        last = _chunk(request, at, {})
        chunks.append({**last, "choices": [], "usage": _usage(answer.usage_for(request.prompt))})
    return [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]


def _chunk(request: ModelRequest, at: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{request.n}",
        "object": "chat.completion.chunk",
        "created": at,
        "model": request.model,
        "system_fingerprint": None,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
    }


def _call(call: ToolCall, request: ModelRequest, index: int) -> dict[str, Any]:
    return {
        "id": call.id or f"call_{request.n}_{index}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_text},
    }


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
