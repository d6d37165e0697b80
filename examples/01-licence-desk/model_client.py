"""The way to the language model: the OpenAI chat API over HTTP, whoever serves it.

`OPENAI_BASE_URL`, `OPENAI_API_KEY` and `OPENAI_MODEL` say which. Every call has a time limit and a size limit. What
may pass by itself (busy, unreachable, cut off, garbled) is `ModelUnavailable`, which the agents' retries name; what
will not is `ModelRefused`. Trying again is left to the steps that call.
"""

import asyncio
import json
import os
import weakref
from collections.abc import Callable
from typing import Any

import httpx2
from msgspec import Struct, field

TIMEOUT = httpx2.Timeout(60.0, connect=5.0)
ANSWER_LIMIT = 1024 * 1024
BUSY = (408, 409, 425, 429)

_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient]" = weakref.WeakKeyDictionary()


class ModelUnavailable(Exception):
    """The model cannot answer now."""


class ModelRefused(Exception):
    """The model server does not take this request; the same one will not be taken later either."""


class ToolUse(Struct):
    """One tool that the model asks for; `arguments` is JSON as the model wrote it."""

    id: str
    name: str
    arguments: str = "{}"


class Reply(Struct):
    """One answer of the model."""

    text: str = ""
    tools: list[ToolUse] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0


async def complete(
    messages: list[dict[str, Any]],
    *,
    tools: list[dict[str, Any]] | None = None,
    schema: dict[str, Any] | None = None,
    on_text: Callable[[str], None] | None = None,
) -> Reply:
    """Asks the model. With `on_text` the answer is streamed, and each piece of text is given to it as it comes."""
    body: dict[str, Any] = {"model": os.environ.get("OPENAI_MODEL", "gpt-4o-mini"), "messages": messages}
    if tools:
        body["tools"] = tools
    if schema:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    if on_text:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    url = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1").rstrip("/") + "/chat/completions"
    headers = {"authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'unused')}"}
    try:
        async with _client().stream("POST", url, json=body, headers=headers) as response:
            await _check(response)
            if on_text:
                return await _read_stream(response, on_text)
            return _read_whole(json.loads(await _read_body(response)))
    except (httpx2.TransportError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelUnavailable(f"{type(error).__name__}: {error}") from error
    except (LookupError, TypeError, AttributeError) as error:
        raise ModelUnavailable(f"The answer is no chat completion: {error!r}") from error


def _client() -> httpx2.AsyncClient:
    """One client for each event loop: connections are kept, and belong to the loop that opened them."""
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = _clients[loop] = httpx2.AsyncClient(timeout=TIMEOUT)
    return client


async def _check(response: httpx2.Response) -> None:
    if response.status_code == 200:
        return
    said = (await _read_body(response)).decode(errors="replace")[:500]
    kind = ModelUnavailable if response.status_code >= 500 or response.status_code in BUSY else ModelRefused
    raise kind(f"The model server said {response.status_code}: {said}")


async def _read_body(response: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > ANSWER_LIMIT:
            raise ModelRefused(f"The answer of the model is over {ANSWER_LIMIT} bytes.")
    return bytes(body)


def _read_whole(answer: dict[str, Any]) -> Reply:
    message = answer["choices"][0]["message"]
    usage = answer.get("usage") or {}
    tools = [
        ToolUse(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or []
    ]
    return Reply(message.get("content") or "", tools, usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))


async def _read_stream(response: httpx2.Response, on_text: Callable[[str], None]) -> Reply:
    reply, tools, size, is_done = Reply(), dict[int, ToolUse](), 0, False
    async for line in response.aiter_lines():
        size += len(line)
        if size > ANSWER_LIMIT:
            raise ModelRefused(f"The answer of the model is over {ANSWER_LIMIT} characters.")
        if not line.startswith("data:"):
            continue
        said = line[5:].strip()
        if said == "[DONE]":
            is_done = True
            break
        chunk = json.loads(said)
        usage = chunk.get("usage")
        if usage:
            reply.input_tokens, reply.output_tokens = usage["prompt_tokens"], usage["completion_tokens"]
        for choice in chunk.get("choices") or []:
            _take(choice["delta"], reply, tools, on_text)
    if not is_done:
        raise ModelUnavailable("The answer was cut off.")
    reply.tools = [tools[index] for index in sorted(tools)]
    return reply


def _take(delta: dict[str, Any], reply: Reply, tools: dict[int, ToolUse], on_text: Callable[[str], None]) -> None:
    text = delta.get("content")
    if text:
        reply.text += text
        on_text(text)
    for part in delta.get("tool_calls") or []:
        function = part.get("function") or {}
        tool = tools.setdefault(part.get("index", 0), ToolUse("", "", ""))
        tool.id += part.get("id") or ""
        tool.name += function.get("name") or ""
        tool.arguments += function.get("arguments") or ""
