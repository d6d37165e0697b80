"""A provider that is not OpenAI: Anthropic, Google and Bedrock, as much of their protocols as their clients need.

Real HTTP on loopback. It answers by the path of the request, counts what came, and keeps the headers, so that a test
can tell what was really sent.
"""

import base64
import binascii
import json
import struct
from collections.abc import AsyncGenerator, Callable
from typing import Any

from pilothouse.testing.model_http import HttpReply, HttpRequest, LoopbackServer

JSON = (("content-type", "application/json"),)
EVENTS = (("content-type", "text/event-stream"),)


class Provider:
    """`calls` are the requests in order. `instead`: answers in place of the usual one, for as long as it gives some."""

    def __init__(self, instead: Callable[[HttpRequest], HttpReply | None] = lambda request: None) -> None:
        self.calls: list[HttpRequest] = []
        self._instead = instead
        self._server = LoopbackServer(self._handle, 0)

    def __enter__(self) -> "Provider":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _handle(self, request: HttpRequest) -> HttpReply:
        self.calls.append(request)
        instead = self._instead(request)
        if instead is not None:
            return instead
        path = request.path.partition("?")[0]
        body = json.loads(request.body or b"null")
        number = len(self.calls)
        if path.endswith("/messages"):
            return anthropic(number, body)
        if ":" in path and not path.startswith("/model/"):  # some clients write the %3A of a Bedrock id as it is
            return google(number, path)
        if path.endswith("/converse"):
            usage = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}
            said = {"output": {"message": {"role": "assistant", "content": [{"text": f"answer {number}"}]}}}
            return whole({**said, "stopReason": "end_turn", "usage": usage})
        if path.endswith("/converse-stream"):
            return bedrock_stream(number)
        return HttpReply(200, (("content-type", "text/plain"),), b"a page")


def whole(document: Any, status: int = 200) -> HttpReply:
    return HttpReply(status, JSON, json.dumps(document).encode())


def anthropic(number: int, body: dict[str, Any]) -> HttpReply:
    usage = {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20}
    head = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": body["model"]}
    text = f"answer {number}"
    if not body.get("stream"):
        content = [{"type": "text", "text": text}]
        return whole({**head, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage})
    start = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 7},
        },
        {"type": "message_stop"},
    ]
    return HttpReply(200, EVENTS, frames=said([f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events]))


def google(number: int, path: str) -> HttpReply:
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 18}
    content = {"role": "model", "parts": [{"text": f"answer {number}"}]}
    answer = {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], "usageMetadata": usage}
    if "stream" not in path:
        return whole(answer)
    return HttpReply(200, EVENTS, frames=said([f"data: {json.dumps(answer)}\r\n\r\n"]))


async def said(frames: list[str]) -> AsyncGenerator[str, None]:
    for frame in frames:
        yield frame


def bedrock_stream(number: int) -> HttpReply:
    parts = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"delta": {"text": f"answer {number}"}, "contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18}}),
    ]
    body = b"".join(event_frame(kind, json.dumps(said).encode()) for kind, said in parts)
    return HttpReply(200, (("content-type", "application/vnd.amazon.eventstream"),), body)


def event_frame(kind: str, payload: bytes) -> bytes:
    """One message of an AWS event stream."""
    headers = b""
    for name, value in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    frame = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + payload
    return frame + struct.pack(">I", binascii.crc32(frame))


def invoke_stream(chunks: list[dict[str, Any]]) -> bytes:
    """The stream of InvokeModel: the model's own JSON as base64."""
    encoded = [base64.b64encode(json.dumps(chunk).encode()).decode() for chunk in chunks]
    return b"".join(event_frame("chunk", json.dumps({"bytes": one}).encode()) for one in encoded)
