"""A model server for tests and examples: real HTTP on loopback, answers and faults by script.

Agents under test keep their own client, their own retries and their own streaming; only the address differs. It speaks
the OpenAI chat completions and responses APIs and Google's generateContent, whole and streamed, and `GET /v1/models`.
Which answer a request gets is decided in `model_script`, the wire shapes are in `model_chat`, `model_responses` and
`model_gemini`, sockets in `model_http`. Nothing here waits for a time to pass: what must be slow waits at a `Gate` that
the test holds.
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Iterable
from types import TracebackType
from typing import Any, Self

from pilothouse.testing import model_chat, model_gemini, model_responses
from pilothouse.testing.model_answer import Answer, Fault
from pilothouse.testing.model_http import CutConnection, HttpReply, HttpRequest, LoopbackServer
from pilothouse.testing.model_request import (
    Api,
    ModelRequest,
    Outcome,
    RequestRefused,
    chat_messages,
    responses_messages,
)
from pilothouse.testing.model_script import AnswerFunction, Said, Script, as_answer

_JSON = (("content-type", "application/json"),)
_EVENTS = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
_APIS: dict[str, Api] = {"/v1/chat/completions": "chat", "/v1/responses": "responses"}
_WHOLE = {"chat": model_chat.completion, "responses": model_responses.response, "gemini": model_gemini.response}
_FRAMES = {"chat": model_chat.frames, "responses": model_responses.frames, "gemini": model_gemini.frames}
REMEMBERED_RESPONSES = 256


class ScriptedModel:
    """A model that says what the script tells it.

    ```python
    with ScriptedModel(
        ["It is a licence.", Fault.rate_limited(), Answer(tool_calls=[ToolCall("find", {"q": "MIT"})])]
    ) as model:
        client = AsyncOpenAI(base_url=model.base_url, api_key="any")
    ```

    `answers` is one text or answer for every request, a list that is used up, or a function of the request, sync (run
    in a thread) or async. `add` queues more, and `fault` places faults. A list that is used up answers 500. What an
    answer function raises is a 500 for the caller, and is raised again at the end of the `with` block.
    """

    def __init__(
        self,
        answers: Said | Iterable[Said] | AnswerFunction = (),
        *,
        models: tuple[str, ...] = ("scripted",),
        api_key: str | None = None,
        port: int = 0,
        keep: int = 1000,
    ) -> None:
        function, queued = _sorted_out(answers)
        self._script = Script(function, queued)
        self._models = models
        self._api_key = api_key
        self._server = LoopbackServer(self._handle, port)
        self._calls = 0
        self._requests: deque[ModelRequest] = deque(maxlen=keep)
        self._open = 0
        self._changed = threading.Condition()
        self._failures: list[Exception] = []
        self._said: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()

    def start(self) -> Self:
        """Listen, and return when connections are taken. A second call does nothing."""
        self._server.start()
        return self

    def stop(self) -> None:
        """End every connection, also a hanging one, and wait for the thread. A second call does nothing."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()
        if error is None and self._failures:
            raise self._failures[0]

    def add(self, *said: Said) -> None:
        """Queue answers and faults behind those that wait; queued ones go before an answer function."""
        self._script.add(said)

    def fault(
        self,
        fault: Fault,
        *,
        at: int | None = None,
        when: Callable[[ModelRequest], bool] | None = None,
        times: int = 1,
    ) -> Fault:
        """Place a fault: on the next request, on the `at`-th of all, or on the next `times` for which `when` holds."""
        self._script.place(fault, at, when, times)
        return fault

    @property
    def base_url(self) -> str:
        """What a client calls its base URL, with `/v1`."""
        if not self._server.port:
            raise RuntimeError("the model is not started: use it in a `with` block, or call start()")
        return f"http://127.0.0.1:{self._server.port}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point OpenAI and Google clients of a child process here."""
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": self._api_key or "unused",
            "OPENAI_MODEL": self._models[0],
            "GOOGLE_GEMINI_BASE_URL": self.base_url.removesuffix("/v1"),
            "GOOGLE_API_KEY": self._api_key or "unused",
        }

    @property
    def calls(self) -> int:
        """How many requests for an answer came, faults included."""
        with self._changed:
            return self._calls

    @property
    def requests(self) -> list[ModelRequest]:
        """The last of them (`keep` says how many), oldest first."""
        with self._changed:
            return list(self._requests)

    @property
    def left(self) -> int:
        """Queued answers and placed faults that no request has taken yet."""
        return self._script.left

    def wait_calls(self, count: int, within: float = 5.0) -> None:
        """Block until so many calls have come; `TimeoutError` if not. In a coroutine: `asyncio.to_thread`."""
        self._wait(lambda: self._calls >= count, f"{count} calls", within)

    def wait_idle(self, within: float = 5.0) -> None:
        """Block until no call is open; `TimeoutError` if one stays."""
        self._wait(lambda: self._open == 0, "all calls to end", within)

    def _wait(self, reached: Callable[[], bool], what: str, within: float) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, timeout=within):
                raise TimeoutError(f"waited {within} s for {what}: {self._calls} came, {self._open} are open")

    async def _handle(self, http: HttpRequest) -> HttpReply:
        path = http.path.partition("?")[0]
        try:
            self._check_key(http)
            if path == "/v1/models":
                _check_method(http, "GET")
                listed = [{"id": name, "object": "model", "created": 0, "owned_by": "script"} for name in self._models]
                return _json_reply({"object": "list", "data": listed})
            api = _APIS.get(path, "gemini")
            if api == "gemini":
                model_gemini.body_of(path, {})
            _check_method(http, "POST")
            body = _json_body(http)
        except RequestRefused as refused:
            return _error_reply(refused.status, refused.code, str(refused), api=_APIS.get(path, "gemini"))
        request = self._record(api, path, http, body if api != "gemini" else model_gemini.body_of(path, body))
        try:
            return await self._answer(request)
        except RequestRefused as refused:
            self._end(request, "refused")
            return _error_reply(refused.status, refused.code, str(refused), api=api)
        except asyncio.CancelledError:
            self._end(request, "abandoned")
            raise
        except CutConnection:
            self._end(request, "faulted")
            raise

    async def _answer(self, request: ModelRequest) -> HttpReply:
        request.messages = self._messages(request)
        fault, answer = self._script.next(request)
        if answer is None and self._asks_function(fault):
            said = await self._ask(request)
            fault, answer = (said, None) if isinstance(said, Fault) else (fault, said)
        if fault is not None and fault.kind == "status":
            self._end(request, "faulted")
            return _error_reply(fault.status, fault.code, fault.message, fault.headers, request.api)
        # A fault that the script follows up with nothing still needs something to cut or to hold.
        answer = answer or Answer()
        self._remember(request, answer)
        if request.stream:
            return HttpReply(200, _EVENTS, frames=self._frames(request, answer, fault))
        return await self._whole(request, answer, fault)

    def _asks_function(self, fault: Fault | None) -> bool:
        return fault is None or (fault.needs_answer and self._script.function is not None)

    async def _ask(self, request: ModelRequest) -> Answer | Fault:
        function = self._script.function
        if function is None:
            raise RequestRefused("The script has no answer left for this request.", status=500, code="script_used_up")
        try:
            if inspect.iscoroutinefunction(function):
                said = await function(request)
            else:
                said = await asyncio.to_thread(function, request)
        except Exception as failure:
            # The caller gets a 500; the test gets the failure itself, from `__exit__`.
            self._failures.append(failure)
            message = f"The answer function failed: {type(failure).__name__}: {failure}"
            raise RequestRefused(message, status=500, code="answer_function_failed") from failure
        return said if isinstance(said, Fault) else as_answer(said)

    async def _whole(self, request: ModelRequest, answer: Answer, fault: Fault | None) -> HttpReply:
        body = json.dumps(_WHOLE[request.api](answer, request, at=int(time.time())), ensure_ascii=False).encode()
        if fault is None:
            self._end(request, "answered")
            return HttpReply(200, _JSON, body)
        if fault.kind == "held":
            await fault.gate.enter()
            self._end(request, "answered")
            return HttpReply(200, _JSON, body)
        self._end(request, "faulted")
        if fault.kind == "cut":
            return HttpReply(200, _JSON, body, short_by=(len(body) + 1) // 2)
        return HttpReply(200, _JSON, body[: len(body) // 2])

    async def _frames(self, request: ModelRequest, answer: Answer, fault: Fault | None) -> AsyncGenerator[str, None]:
        frames = _FRAMES[request.api](answer, request, at=int(time.time()))
        outcome: Outcome = "abandoned"
        try:
            for index, frame in enumerate(frames):
                # A stream shorter than `after` is struck at its end: a fault never passes unseen.
                if fault is not None and index >= min(fault.after, len(frames) - 1):
                    if fault.kind == "held":
                        await fault.gate.enter()
                    elif fault.kind == "cut":
                        outcome = "faulted"
                        raise CutConnection
                    elif fault.kind == "broken":
                        outcome = "faulted"
                        yield frame[: len(frame) // 2] + "\n\n"
                        return
                yield frame
            outcome = "answered"
        finally:
            self._end(request, outcome)

    def _record(self, api: Api, path: str, http: HttpRequest, body: dict[str, Any]) -> ModelRequest:
        with self._changed:
            self._calls += 1
            self._open += 1
            request = ModelRequest(self._calls, api, path, http.headers, body)
            self._requests.append(request)
            self._changed.notify_all()
        return request

    def _end(self, request: ModelRequest, outcome: Outcome) -> None:
        with self._changed:
            if request.outcome == "open":
                request.outcome = outcome
                self._open -= 1
                self._changed.notify_all()

    def _messages(self, request: ModelRequest) -> list[dict[str, Any]]:
        if request.api == "chat":
            return chat_messages(request.body)
        if request.api == "gemini":
            return model_gemini.messages_of(request.body)
        messages = responses_messages(request.body)
        previous = request.body.get("previous_response_id")
        if previous is None:
            return messages
        if previous not in self._said:
            raise RequestRefused(
                f"Previous response with id '{previous}' not found.", code="previous_response_not_found"
            )
        return self._said[previous] + messages

    def _remember(self, request: ModelRequest, answer: Answer) -> None:
        """Keep what a later request may continue with `previous_response_id`."""
        if request.api != "responses" or request.body.get("store") is False:
            return
        calls = [
            {"id": c.id or f"call_{request.n}_{i}", "function": {"name": c.name, "arguments": c.arguments_text}}
            for i, c in enumerate(answer.tool_calls)
        ]
        spoken: dict[str, Any] = {"role": "assistant", "content": answer.whole_text}
        self._said[f"resp_{request.n}"] = [*request.messages, {**spoken, "tool_calls": calls} if calls else spoken]
        if len(self._said) > REMEMBERED_RESPONSES:
            self._said.popitem(last=False)

    def _check_key(self, http: HttpRequest) -> None:
        given = http.headers.get("authorization", "").removeprefix("Bearer ") or http.headers.get("x-goog-api-key", "")
        if self._api_key is not None and not hmac.compare_digest(given.encode(), self._api_key.encode()):
            raise RequestRefused("Incorrect API key provided.", status=401, code="invalid_api_key")


def _sorted_out(answers: Said | Iterable[Said] | AnswerFunction) -> tuple[AnswerFunction | None, Iterable[Said]]:
    if isinstance(answers, str | Answer | Fault):
        always = answers
        return (lambda _: always), ()
    if callable(answers):
        return answers, ()
    return None, answers


def _check_method(http: HttpRequest, method: str) -> None:
    if http.method != method:
        raise RequestRefused(f"{http.path} takes {method}.", status=405, code="method_not_allowed")


def _json_body(http: HttpRequest) -> dict[str, Any]:
    try:
        body = json.loads(http.body)
    except ValueError as fault:
        raise RequestRefused(f"The body is not JSON: {fault}") from fault
    if not isinstance(body, dict):
        raise RequestRefused("The body must be a JSON object.")
    return body


def _json_reply(content: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> HttpReply:
    return HttpReply(status, (*_JSON, *headers), json.dumps(content, ensure_ascii=False).encode())


def _error_reply(
    status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = (), api: Api = "chat"
) -> HttpReply:
    if api == "gemini":
        return _json_reply(model_gemini.error(status, message), status, headers)
    kind = "server_error" if status in (500, 502, 503) else code
    error = {"message": message, "type": kind, "param": None, "code": code}
    return _json_reply({"error": error}, status, headers)
