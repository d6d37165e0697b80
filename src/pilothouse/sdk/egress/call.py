"""One model call at the border: found in the journal, or asked for, sent, tried again, counted and recorded.

Theory: a client library sends a request somewhere inside the agent. Outside of any step the call becomes a step of
kind `model`, keyed by what is sent; its answer is durable before the agent has all of it, and a resumed run gets the
recorded bytes instead of a second bill. Inside a step it is part of that step: nothing is recorded twice, and what it
used is counted there. Everything here runs on the loop; how bytes are sent is left to the adapter of each library, and
the order of these calls to `driving`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from pilothouse.domain.journal import BEGUN, ENDED, StepRow, digest_arguments
from pilothouse.domain.price import Price, Tokens, cost_of
from pilothouse.domain.provider import ModelRequest
from pilothouse.domain.review import Answer as Decision
from pilothouse.domain.review import ReviewKind
from pilothouse.errors import BlockedLoop, BudgetExceeded, PilothouseError
from pilothouse.sdk.egress.body import BodyFacts, with_model
from pilothouse.sdk.egress.exchange import Answer, Outgoing, dump, load, problem
from pilothouse.sdk.egress.passage import CallKind, Outcome, Passage
from pilothouse.sdk.egress.patience import Patience
from pilothouse.sdk.egress.stream import StreamCopy
from pilothouse.sdk.egress.tokens import read_tokens
from pilothouse.sdk.journal import AttemptJournal
from pilothouse.sdk.scope import Scope, in_part
from pilothouse.sdk.usage import Usage
from pilothouse.wire.frames import CallDenied, CallGranted

ANSWER_LIMIT = 24 * 1024 * 1024
"""Bytes of an answer that is kept; a longer one passes and is not."""
SHOWN_LIMIT = 1024 * 1024
NAME_LIMIT = 100


class Asker(Protocol):
    """The attempt, as the one that asks the node."""

    @property
    def passage(self) -> Passage: ...

    def check_alive(self) -> None: ...

    async def ask_person(self, question: str, details: dict[str, Any], kind: ReviewKind) -> Decision: ...

    def fail(self, error: PilothouseError) -> None: ...

    def call_began(self) -> None: ...

    def call_ended(self) -> None: ...


class Caller(Asker, Protocol):
    """The attempt, as the border sees it."""

    kept: bool
    loop: asyncio.AbstractEventLoop

    @property
    def journal(self) -> AttemptJournal: ...

    @property
    def is_ending(self) -> bool: ...

    @property
    def deadline_at(self) -> int | None: ...

    def clock(self) -> int: ...

    async def pause(self, seconds: float) -> None: ...

    def from_thread(self, begin: Callable[[], Any]) -> Any: ...


async def ask_node(caller: Asker, kind: CallKind, is_step: bool, *facts: Any) -> CallGranted | CallDenied:
    """The node's answer. A budget that is used up ends the run, or is a question to a person; so it is never an answer
    here. Raises `CancelledError` when the run ends."""
    passage = caller.passage
    while True:
        answer = await passage.ask(kind, is_step, *facts)
        if not isinstance(answer, CallDenied) or answer.status:
            return answer
        if answer.asks:
            number = passage.raised.get(answer.budget, 0) + 1
            details = {**msgspec.json.decode(answer.hit), "budget": answer.budget, "number": number}
            question = f"{answer.message} Grant the same amount once more to this run?"
            if kind == "model":
                caller.call_ended()  # a person may take days: meanwhile the run only waits, and can be parked
            decision = await caller.ask_person(question, details, "budget")
            if kind == "model":
                caller.call_began()
            if decision.verdict == "approve":
                passage.raised[answer.budget] = number
                continue
        caller.fail(BudgetExceeded(answer.message))
        caller.check_alive()


class ModelCall:
    def __init__(
        self,
        caller: Caller,
        request: Outgoing,
        seen: ModelRequest,
        facts: BodyFacts,
        scope: Scope | None,
        patience: Patience,
        asks: bool,
        must_ask: bool,
        fallbacks: tuple[str, ...],
    ) -> None:
        self.caller, self.request, self.seen, self.facts, self.scope = caller, request, seen, facts, scope
        self._patience, self._fallbacks = patience, list(fallbacks)
        self._asks, self._must_ask = asks, must_ask
        self._model = facts.model
        self._name = "".join(char if char.isprintable() else "_" for char in facts.model)[:NAME_LIMIT]
        self._records = caller.kept and scope is None
        self._digest = ""
        self._number = 0
        self._step_ref = 0
        self._begun: StepRow | None = None
        self._ask_ref: int | None = None
        self._price: Price | None = None
        self._tries = 0
        self._is_open = False
        self.is_sent = False
        """Whether bytes may have left, and no answer has come: what is cancelled now may have been paid for."""

    # --- before ---

    async def begin(self) -> Answer | None:
        """The recorded answer, or one that the border gives itself; None: send it."""
        answer = self.look_up()
        if answer is not None:
            return answer
        journal = self.caller.journal
        if self._records and journal.strict:
            await journal.admit(self._key)
        if self.scope is None and journal.has_unsettled:
            await journal.settled()
        self.open()
        return await self._ask()

    def look_up(self) -> Answer | None:
        """Takes the key, in the order of the calls, and looks into the journal."""
        self.caller.check_alive()
        if not self._records:
            return None
        path = self.request.place[2]
        content = b"model\n%b\n%b" % (path.encode(), self.request.body or b"")
        self._digest = digest_arguments(in_part(content))
        self._number = self.caller.passage.take(self._name, self._digest)
        row = self.caller.journal.recorded(self._key, "model")
        return None if row is None else load(row.output or b"null")

    @property
    def _key(self) -> str:
        return Passage.key(self._name, self._digest, self._number)

    def begin_unheard(self) -> Answer | None:
        """The same for a sync client on the loop itself: the node cannot be asked, because its answer would come over
        the loop that is blocked. Raises `BlockedLoop` when a budget or a limit has to be asked for."""
        answer = self.look_up()
        if answer is None:
            if self._must_ask:
                raise BlockedLoop(provider=self.seen.provider)
            self.open()
        return answer

    def open(self) -> None:
        """The call is under way: the attempt is busy until it is closed, once."""
        self._is_open = True
        self.caller.call_began()
        if self._records:
            self._step_ref = self.caller.journal.next_ref()
            shown = self._shown()
            self._begun = StepRow(
                self._key, "model", self._name, BEGUN, "started", input=shown, started_at=self.caller.clock()
            )
            self.caller.journal.told(self._step_ref, self._begun)

    def _shown(self) -> bytes | None:
        body = self.request.body or b"null"
        if len(body) > SHOWN_LIMIT:
            return None
        shown = {"provider": self.seen.provider, "path": self.request.place[2], "body": msgspec.Raw(body)}
        return msgspec.json.encode(shown)

    async def _ask(self) -> Answer | None:
        while self._asks:
            facts = self.facts
            answer = await ask_node(
                self.caller,
                "model",
                self.scope is None,
                self.seen.provider,
                self._model,
                facts.input_tokens,
                facts.output_tokens,
            )
            if not isinstance(answer, CallDenied):
                self._ask_ref, self._price = answer.ref, answer.price
                break
            if not self._fall_back():
                self.close()
                return problem(answer.status, answer.code, answer.message, answer.retry_after)
        return None

    # --- when it failed ---

    async def refused(self, answer: Answer) -> Answer | bool:
        """The provider answered with an error, or with nonsense. True: send it again."""
        wait = self._patience.wait_in(answer.headers)
        if answer.status < 400 or answer.status >= 500:
            outcome: Outcome = "failed"
        else:
            outcome = "throttled" if answer.status == 429 else "refused"
        self._settle(outcome, wait=wait or 0.0)
        if self._patience.may_help(answer):
            return await self._again(wait)
        return self._leave()

    async def broke(self, error: BaseException) -> Answer | bool:
        """The connection failed before there was an answer."""
        self._settle("failed")
        return await self._again(None)

    async def _again(self, wait: float | None) -> Answer | bool:
        self._tries += 1
        delay = self._patience.delay(self._tries, wait, self._left())
        if delay is None:
            if not self._fall_back():
                return self._leave()
            delay = 0.0
        await self.caller.pause(delay)
        return await self._ask() or True

    def _left(self) -> float | None:
        """Seconds until the run is over whatever happens."""
        until = self.caller.deadline_at
        return None if until is None else (until - self.caller.clock()) / 1e6

    def _fall_back(self) -> bool:
        """Whether another model is there to ask."""
        if not self._fallbacks or self.request.body is None:
            return False
        self._model = self._fallbacks.pop(0)
        self._tries = 0
        self.request.body = with_model(self.request.body, self._model)
        self.request.headers = [
            (name, value) for name, value in self.request.headers if name.lower() != "content-length"
        ]
        return True

    def _leave(self) -> bool:
        self.close()
        return False

    # --- when it came ---

    def copy(self) -> StreamCopy:
        return StreamCopy(self.seen.shape, ANSWER_LIMIT)

    async def complete(self, answer: Answer) -> None:
        """The answer is whole. It is durable when this returns, if it is to be kept."""
        row = self._end(answer)
        if row is not None:
            await self.caller.journal.end(self._step_ref, row, started=True)
        self._close()

    def complete_unheard(self, answer: Answer) -> None:
        """The same for a sync client on the loop itself, where nothing can be waited for: the answer is durable before
        any step runs that could show it."""
        row = self._end(answer)
        if row is not None:
            self.caller.journal.end_later(self._step_ref, row)
        self._close()

    def _end(self, answer: Answer) -> StepRow | None:
        """Counts the call; the row to be kept, if there is to be one."""
        if not self._is_open:
            return None
        headers = {name.lower(): value for name, value in answer.headers}
        tokens = read_tokens(answer.body, headers.get("content-type", ""), headers.get("content-encoding", ""))
        cost = cost_of(self._price, tokens) if tokens is not None else 0.0
        self._settle("ok", tokens, cost)
        said = tokens or Tokens()
        usage = Usage(said.input, said.output, 1, 0, cost)
        begun, self._begun = self._begun, None
        if begun is None or len(answer.body) > ANSWER_LIMIT:
            self._count(usage)
            return None
        return StepRow(
            begun.key, "model", begun.name, ENDED, "succeeded", self._tries + 1, False, begun.input, dump(answer),
            None, usage.encoded(), started_at=begun.started_at, finished_at=self.caller.clock(),
        )  # fmt: skip

    def _count(self, usage: Usage) -> None:
        if self.scope is not None:
            self.scope.see(usage)
        else:
            self.caller.journal.count(usage.encoded() or b"{}")

    def _settle(self, outcome: Outcome, tokens: Tokens | None = None, cost: float = 0.0, wait: float = 0.0) -> None:
        self.is_sent = False
        if self._ask_ref is not None:
            self.caller.passage.settle(self._ask_ref, outcome, tokens, cost, wait)
            self._ask_ref = None

    def close(self) -> None:
        """The call came to nothing that is kept: its key is free for the next try. A second call does nothing."""
        if self._is_open and self._begun is not None:
            self.caller.passage.give_back(self._name, self._digest, self._number)
            self._begun = None
        self._settle("lost" if self.is_sent else "dropped")
        self._close()

    def let_go(self) -> None:
        """The client stopped reading in the middle of a stream. What it has read may be all it wanted or all it could
        bear, so it is counted and not kept: a resumed run asks again."""
        if self._is_open:
            self._settle("ok")
            self._count(Usage(model_calls=1))
            self.close()

    def broke_off(self) -> None:
        """A stream ended in the middle by the provider's fault."""
        self._settle("failed")
        self.close()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self.caller.call_ended()
