"""What a model server was asked, in one shape for both APIs.

A test or an answer function reads `messages`, `tool_names` and `schema` without minding whether the agent spoke chat
completions or responses; `body` and `headers` have what was really sent. A request that no model server would take is
`RequestRefused`, with the sentence that the caller gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Api = Literal["chat", "responses", "gemini"]
Outcome = Literal["open", "answered", "faulted", "refused", "abandoned"]


class RequestRefused(Exception):
    """The request does not fit the API."""

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True)
class ModelRequest:
    """One call to the model, the n-th that this server got.

    `outcome` is `open` until the answer has left; `abandoned` means that the caller closed its connection first.
    """

    n: int
    api: Api
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)
    outcome: Outcome = "open"

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True

    @property
    def include_usage(self) -> bool:
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    @property
    def text(self) -> str:
        """What the user said last."""
        return next((text_of(m) for m in reversed(self.messages) if m.get("role") == "user"), "")

    @property
    def prompt(self) -> str:
        """All that was said, for counting."""
        return "\n".join(text_of(message) for message in self.messages)

    @property
    def tool_names(self) -> list[str]:
        tools = self.body.get("tools") or []
        if self.api == "gemini":
            return [str(one.get("name")) for tool in tools for one in tool.get("functionDeclarations") or []]
        return [str(tool.get("function", tool).get("name")) for tool in tools if tool.get("type") == "function"]

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema that the answer shall fit, when one was asked for."""
        if self.api == "chat":
            wanted = self.body.get("response_format") or {}
            return wanted.get("json_schema", {}).get("schema") if wanted.get("type") == "json_schema" else None
        if self.api == "gemini":
            config = self.body.get("generationConfig") or {}
            return config.get("responseJsonSchema") or config.get("responseSchema")
        wanted = (self.body.get("text") or {}).get("format") or {}
        return wanted.get("schema") if wanted.get("type") == "json_schema" else None


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message whose content is a string, or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def chat_messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Check the body of a chat completions request and take its messages."""
    _check_model(body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise RequestRefused("'messages' must be a list of at least one message.")
    if body.get("n", 1) not in (1, None):
        raise RequestRefused("'n' must be 1: a scripted model has one answer.")
    return messages


def responses_messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Check the body of a responses request and write its input as chat messages."""
    _check_model(body)
    given = body.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise RequestRefused("'input' must be a text or a list of items.")
    messages: list[dict[str, Any]] = []
    if body.get("instructions"):
        messages.append({"role": "system", "content": body["instructions"]})
    for item in given:
        message = _message_of(item)
        if message is not None:
            messages.append(message)
    return messages


def _message_of(item: dict[str, Any]) -> dict[str, Any] | None:
    kind = item.get("type", "message")
    if kind == "message":
        return {"role": item.get("role"), "content": item.get("content")}
    if kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if kind == "function_call_output":
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
    # Reasoning items and the like are said by a model to itself.
    return None


def _check_model(body: Mapping[str, Any]) -> None:
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise RequestRefused("'model' must be the name of a model.")
    if not isinstance(body.get("stream", False), bool | None):
        raise RequestRefused("'stream' must be true or false.")
    tools = body.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RequestRefused("'tools' must be a list of tools.")
