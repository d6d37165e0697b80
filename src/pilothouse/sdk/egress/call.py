"""One model call at the border: found in the journal, or asked for, sent, tried again, counted and recorded.

Theory: a client library sends a request somewhere inside the agent. Outside of any step the call becomes a step of
kind `model`, keyed by what is sent; its answer is durable before the agent has all of it, and a resumed run gets the
recorded bytes instead of a second bill. Inside a step it is part of that step: nothing is recorded twice, and what it
used is counted there. Everything here runs on the loop; how bytes are sent is left to the adapter of each library, and
the order of these calls to `driving`.
"""

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from pilothouse.domain.event import MODEL_FAILED, MODEL_HEDGED
from pilothouse.domain.fallback import Fallback, Place, detour
from pilothouse.domain.journal import BEGUN, ENDED, StepRow, digest_arguments
from pilothouse.domain.price import Tokens, cost_of
from pilothouse.domain.provider import ModelRequest
from pilothouse.errors import BlockedLoop
from pilothouse.sdk.egress.asking import Caller, ask_node
from pilothouse.sdk.egress.body import BodyFacts, with_model
from pilothouse.sdk.egress.exchange import Answer, Outgoing, dump, load, problem
from pilothouse.sdk.egress.flight import Failure, Flight, Landed
from pilothouse.sdk.egress.passage import Outcome, Passage
from pilothouse.sdk.egress.patience import Patience
from pilothouse.sdk.egress.stream import StreamCopy
from pilothouse.sdk.egress.tokens import read_tokens
from pilothouse.sdk.scope import Scope, in_part
from pilothouse.sdk.usage import NONE, Usage
from pilothouse.wire.frames import CallDenied

ANSWER_LIMIT = 24 * 1024 * 1024
"""Bytes of an answer that is kept; a longer one passes and is not."""
SHOWN_LIMIT = 1024 * 1024
NAME_LIMIT = 100


class Terms(Struct, frozen=True):
    """What the settings say of a call. `asks`: the node is asked before it; `must_ask`: it may not be made without.
    `hedge_after`: seconds after which a second request is sent beside the first; None: never. `measured` is told how
    long a good answer took."""

    patience: Patience
    asks: bool = False
    must_ask: bool = False
    fallbacks: tuple[Fallback, ...] = ()
    places: Mapping[str, Place] = {}
    hedge_after: float | None = None
    measured: Callable[[float], None] = lambda seconds: None


class ModelCall:
    def __init__(
        self,
        caller: Caller,
        request: Outgoing,
        seen: ModelRequest,
        facts: BodyFacts,
        scope: Scope | None,
        terms: Terms,
    ) -> None:
        self.caller, self.seen, self.facts, self.scope, self.terms = caller, seen, facts, scope, terms
        self.flight = Flight(seen.provider, facts.model, request, 1)
        """The request that is sent next, or that was answered."""
        self._request = request
        self._patience, self._fallbacks = terms.patience, list(terms.fallbacks)
        self._name = "".join(char if char.isprintable() else "_" for char in facts.model)[:NAME_LIMIT]
        self._records = caller.kept and scope is None
        self._digest = ""
        self._number = 0
        self._step_ref = 0
        self._begun: StepRow | None = None
        self._tries = 0
        self._count_of_flights = 1
        self._wasted: Usage | None = None
        """What was billed, or may have been, for answers that nobody got."""
        self._is_hedged = False
        self._is_counted = False
        """As a step, however many requests it takes."""
        self._is_open = False

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
        path = self._request.place[2]
        content = b"model\n%b\n%b" % (path.encode(), self._request.body or b"")
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
            if self.terms.must_ask:
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
        body = self._request.body or b"null"
        if len(body) > SHOWN_LIMIT:
            return None
        shown = {"provider": self.seen.provider, "path": self._request.place[2], "body": msgspec.Raw(body)}
        return msgspec.json.encode(shown)

    async def _ask(self) -> Answer | None:
        """None: the flight may go."""
        while self.terms.asks:
            facts, flight = self.facts, self.flight
            is_step = self.scope is None and not self._is_counted
            answer = await ask_node(
                self.caller, "model", is_step, flight.provider, flight.model, facts.input_tokens, facts.output_tokens
            )
            if not isinstance(answer, CallDenied):
                self._is_counted = True
                flight.ask_ref, flight.price = answer.ref, answer.price
                break
            passed_over: list[str] = []
            goes_on = self._fall_back(passed_over)
            then = "fallback" if goes_on else "none"
            failure = Failure(
                flight.provider, flight.model, flight.number, answer.message, then, self.key_told, answer.status,
                passed_over=passed_over,
            )  # fmt: skip
            self._tell(failure)
            if not goes_on:
                self.close()
                return problem(answer.status, answer.code, answer.message, answer.retry_after)
        return None

    # --- a second one beside it ---

    async def hedge(self) -> Flight | None:
        """Another flight for the same answer; None: the node has no room for it now. It never stands in line and never
        ends the run."""
        self._is_hedged = True
        first = self.flight
        self._count_of_flights += 1
        spare = Flight(first.provider, first.model, first.request, self._count_of_flights)
        if self.terms.asks:
            facts = self.facts
            answer = await self.caller.passage.ask(
                "model", False, first.provider, first.model, facts.input_tokens, facts.output_tokens, is_spare=True
            )
            if isinstance(answer, CallDenied):
                return None
            spare.ask_ref, spare.price = answer.ref, answer.price
        return spare

    @property
    def hedge_after(self) -> float | None:
        """A call is hedged once, whatever else becomes of it."""
        return None if self._is_hedged else self.terms.hedge_after

    def won(self, landed: Landed) -> None:
        """This flight brought the answer, of two."""
        self.flight = landed.flight
        self._tell_hedge(landed.flight)

    def lost(self, flight: Flight, landed: Landed | None) -> None:
        """The other one was faster. What this one cost is counted: as the provider says, or as one call of which nobody
        knows."""
        tokens = self._tokens_of(landed.answer) if landed is not None and landed.answer is not None else None
        cost = cost_of(flight.price, tokens) if tokens is not None else 0.0
        self._settle(flight, "lost" if flight.is_sent or tokens is None else "ok", tokens, cost)
        self._waste(tokens, cost)

    def _tell_hedge(self, winner: Flight) -> None:
        self.caller.tell_call(
            MODEL_HEDGED,
            {
                "key": self.key_told, "provider": winner.provider, "model": winner.model,
                "after": round(self.terms.hedge_after or 0.0, 3), "won": "first" if winner.number == 1 else "second",
            },
        )  # fmt: skip

    # --- when it failed ---

    def landed(self, landed: Landed) -> Landed:
        """Every flight says so when it has."""
        if landed.is_good:
            self.terms.measured(landed.flight.seconds)
        return landed

    def failed_beside(self, landed: Landed) -> None:
        """One of two came to nothing; the other is still under way."""
        self._settle_failed(landed)
        self._tell(self._failure(landed, "other"))

    async def failed(self, landed: Landed) -> Answer | bool:
        """The provider answered with an error, with nonsense, or not at all. True: send the flight of this call."""
        wait = self._settle_failed(landed)
        answer = landed.answer
        if landed.error is None and answer is not None and not self._patience.may_help(answer):
            return self.give_up(landed)
        self._tries += 1
        delay = self._patience.delay(self._tries, wait, self._left())
        passed_over: list[str] = []
        then = "again"
        if delay is not None:
            self._next_flight(self.flight.provider, self.flight.model, self.flight.request)
        elif self._fall_back(passed_over):
            then, delay = "fallback", 0.0
        else:
            return self.give_up(landed, passed_over)
        self._tell(self._failure(landed, then, delay, passed_over))
        await self.caller.pause(delay)
        return await self._ask() or True

    def give_up(self, landed: Landed, passed_over: list[str] | None = None) -> bool:
        """The client hears it."""
        self._settle_failed(landed)
        self._tell(self._failure(landed, "none", 0.0, passed_over))
        self.close()
        return False

    def _settle_failed(self, landed: Landed) -> float | None:
        """Seconds that the provider wants to be left alone. A second call does nothing."""
        flight, answer = landed.flight, landed.answer
        wait = None if answer is None else self._patience.wait_in(answer.headers)
        outcome: Outcome = "failed"
        if landed.error is None and landed.status is not None and 400 <= landed.status < 500:
            outcome = "throttled" if landed.status == 429 else "refused"
        if landed.is_billed and (flight.is_sent or flight.ask_ref is not None):
            tokens = None if answer is None else self._tokens_of(answer)
            cost = cost_of(flight.price, tokens) if tokens is not None else 0.0
            self._settle(flight, outcome, tokens, cost, is_billed=True)
            self._waste(tokens, cost)
        else:
            self._settle(flight, outcome, wait=wait or 0.0)
        return wait

    def _failure(self, landed: Landed, then: str, wait: float = 0.0, passed_over: list[str] | None = None) -> Failure:
        flight = landed.flight
        return Failure(
            flight.provider, flight.model, flight.number, landed.reason, then, self.key_told, landed.status,
            round(flight.seconds, 3), round(wait, 3), landed.is_billed, passed_over or [],
        )  # fmt: skip

    def _tell(self, failure: Failure) -> None:
        self.caller.tell_call(MODEL_FAILED, msgspec.to_builtins(failure))

    @property
    def key_told(self) -> str | None:
        """The step that the call is, or is part of."""
        if self.scope is not None:
            return self.scope.key
        return self._key if self._records else None

    def _left(self) -> float | None:
        """Seconds until the run is over whatever happens."""
        until = self.caller.deadline_at
        return None if until is None else (until - self.caller.clock()) / 1e6

    def _next_flight(self, provider: str, model: str, request: Outgoing) -> None:
        self._count_of_flights += 1
        self.flight = Flight(provider, model, request, self._count_of_flights)

    def _fall_back(self, passed_over: list[str]) -> bool:
        """Whether somebody else is there to ask. Who cannot be is told in `passed_over`."""
        first = self._request
        while self._fallbacks and first.body is not None:
            to = self._fallbacks.pop(0)
            way = detour(first.url, first.headers, self.seen, to, self.terms.places)
            if way.reason:
                passed_over.append(f"{to}: {way.reason}")
                continue
            body = with_model(first.body, to.model) if way.in_body else first.body
            self._tries = 0
            self._next_flight(way.provider, way.model, Outgoing(first.method, way.url, way.headers, body))
            return True
        return False

    # --- when it came ---

    def copy(self, content_type: str = "") -> StreamCopy:
        return StreamCopy(self.seen.shape, ANSWER_LIMIT, content_type)

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
        flight = self.flight
        tokens = self._tokens_of(answer)
        cost = cost_of(flight.price, tokens) if tokens is not None else 0.0
        self._settle(flight, "ok", tokens, cost)
        said = tokens or Tokens()
        usage = Usage(said.input, said.output, 1, 0, cost)
        begun, self._begun = self._begun, None
        if begun is None or len(answer.body) > ANSWER_LIMIT:
            self._count(usage)
            return None
        if self._wasted is not None:
            usage.add(self._wasted)
            self._wasted = None
        by = "" if flight.number == 1 else f"{flight.provider}: {flight.model}"
        return StepRow(
            begun.key, "model", begun.name, ENDED, "succeeded", flight.number, False, begun.input, dump(answer, by),
            None, usage.encoded(), started_at=begun.started_at, finished_at=self.caller.clock(),
        )  # fmt: skip

    @staticmethod
    def _tokens_of(answer: Answer) -> Tokens | None:
        headers = {name.lower(): value for name, value in answer.headers}
        return read_tokens(answer.body, headers.get("content-type", ""), headers.get("content-encoding", ""))

    def _waste(self, tokens: Tokens | None, cost: float) -> None:
        said = tokens or Tokens()
        if self._wasted is None:
            self._wasted = Usage()
        self._wasted.add(Usage(said.input, said.output, 1, 0, cost))

    def _count(self, usage: Usage) -> None:
        if usage == NONE:
            return
        if self.scope is not None:
            self.scope.see(usage)
        else:
            self.caller.journal.count(usage.encoded() or b"{}")

    def _settle(
        self,
        flight: Flight,
        outcome: Outcome,
        tokens: Tokens | None = None,
        cost: float = 0.0,
        wait: float = 0.0,
        is_billed: bool = False,
    ) -> None:
        flight.is_sent = False
        if flight.ask_ref is not None:
            self.caller.passage.settle(flight.ask_ref, outcome, tokens, cost, wait, is_billed)
            flight.ask_ref = None

    def close(self) -> None:
        """The call came to nothing that is kept: its key is free for the next try. A second call does nothing."""
        if self._is_open and self._begun is not None:
            self.caller.passage.give_back(self._name, self._digest, self._number)
            self._begun = None
        self._settle(self.flight, "lost" if self.flight.is_sent else "dropped")
        self._close()

    def let_go(self, got: StreamCopy | None = None) -> None:
        """The client stopped reading in the middle of a stream. What it has read may be all it wanted or all it could
        bear, so it is counted and not kept: a resumed run asks again."""
        if self._is_open:
            self._settle(self.flight, "ok")
            self._count_begun(got)
            self.close()

    def broke_off(self, got: StreamCopy | None = None, error: BaseException | None = None) -> None:
        """A stream ended in the middle by the provider's fault. It is billed as far as it came."""
        if self._is_open:
            flight = self.flight
            self._settle(flight, "failed", is_billed=True)
            self._count_begun(got)
            reason = f"the stream broke off: {type(error).__name__}: {error}" if error else "the stream broke off"
            failure = Failure(flight.provider, flight.model, flight.number, reason[:300], "none", self.key_told, 200)
            failure.seconds, failure.is_billed = round(flight.seconds, 3), True
            self._tell(failure)
            self.close()

    def _count_begun(self, got: StreamCopy | None) -> None:
        """A stream that was not read to its end: its call, and the tokens that it has told of so far."""
        tokens = None if got is None or not got.is_kept else read_tokens(got.body(), got.content_type)
        said = tokens or Tokens()
        self._count(Usage(said.input, said.output, 1, 0, cost_of(self.flight.price, said) if tokens else 0.0))

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            if self._wasted is not None:
                self._count(self._wasted)
                self._wasted = None
            self.caller.call_ended()
