"""Calls that agents make outside, decided for all hosts of this node: budgets, breakers, bulkheads and limits.

Theory: a host asks before each call and waits. A call that may go is granted and reserves what it may use; one that
waits for others, for its turn or for the provider stands in line, in the order in which it came, until a bound; one
that cannot go is denied with what a provider would say. What came of a call is settled: the reservation goes, what was
really used is counted. A call whose attempt ends without a word is counted as it was estimated, because nobody knows.

Order of the questions: budgets (they end the run), the breaker (waiting would not help), then what passes with time.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct, field

from pilothouse.domain.breaker import Breaker, BreakerRule
from pilothouse.domain.budget import Amounts
from pilothouse.domain.limit import Limit
from pilothouse.domain.price import Price, Tokens, cost_of
from pilothouse.domain.provider import ProviderState
from pilothouse.engine.cost_book import CostBook, costs_of
from pilothouse.engine.ledger import Ledger, Spender
from pilothouse.engine.limit import CallLimits, OwnLimits
from pilothouse.ports.change import AddCost
from pilothouse.ports.clock import Clock
from pilothouse.ports.outgoing import CallResult, CallWish, Denial, PriceList

MODELS_LIMIT = 1000
"""Models that are told apart; more share one state for each provider."""
OTHER = "other"
HEDGED = "hedged"
"""Beside the outcomes of calls: how many of them were a second request for one answer."""


class Rates(Struct, frozen=True):
    """Limits of one agent, tenant or provider; None: no limit."""

    requests: Limit | None = None
    tokens: Limit | None = None
    cost_usd: Limit | None = None

    @property
    def all(self) -> tuple[tuple[str, Limit], ...]:
        named = (("requests", self.requests), ("tokens", self.tokens), ("cost_usd", self.cost_usd))
        return tuple((name, limit) for name, limit in named if limit is not None)


class ProviderRule(Struct, frozen=True):
    """`concurrency`: calls of one model at once; 0: any number."""

    rates: Rates = Rates()
    breaker: BreakerRule = BreakerRule()
    concurrency: int = 0


class OutgoingRules(Struct, frozen=True):
    """`wait_seconds`: how long a call may stand in line; `line`: how many may."""

    providers: dict[str, ProviderRule] = {}
    otherwise: ProviderRule = ProviderRule()
    agents: dict[str, Rates] = {}
    tenant: Rates = Rates()
    wait_seconds: float = 60.0
    line: int = 4096


class Asker(Spender, Protocol):
    """The attempt that asks."""

    def granted(self, ref: int, price: Price | None) -> None: ...

    def denied(self, ref: int, denial: Denial) -> None: ...

    def keep_costs(self, rows: list[AddCost]) -> None:
        """These become durable with what the attempt tells next, or soon."""
        ...


class NoPrices(PriceList):
    def price(self, provider: str, model: str) -> Price | None:
        return None


class Model(Struct):
    """What this node knows of one model at one provider."""

    provider: str
    name: str
    rule: ProviderRule
    price: Price | None
    breaker: Breaker = field(default_factory=Breaker)
    in_flight: int = 0
    waiting: int = 0
    answered_at: float = float("-inf")
    free_at: float = 0.0
    """The provider wants to be left alone until then."""
    calls: dict[str, int] = field(default_factory=dict)
    tokens: Tokens = Tokens()
    cost_usd: float = 0.0


class Standing(Struct, eq=False):
    """A call in line."""

    asker: Asker
    ref: int
    wish: CallWish
    model: Model | None
    amounts: Amounts
    until: float
    asked: int = 0
    """The moment of the ledger."""


class Flying(Struct, eq=False):
    """A call that was granted and not settled."""

    model: Model
    amounts: Amounts


class Outgoing:
    """`now` of `clock` is in microseconds; spans here are seconds."""

    def __init__(self, rules: OutgoingRules | None = None, ledger: Ledger | None = None) -> None:
        self.rules = rules or OutgoingRules()
        self.ledger = ledger or Ledger()
        self.prices: PriceList = NoPrices()
        self.costs = CostBook()
        self.denials: dict[str, int] = {}
        """By the code of the error."""
        self._models: dict[tuple[str, str], Model] = {}
        self._line: deque[Standing] = deque()
        self._flying: dict[int, dict[int, Flying]] = {}
        """By attempt and ref."""
        self.limits: CallLimits = OwnLimits()
        self.tell_breaker: Callable[[str, str, float], None] = lambda provider, model, pause: None
        """Tells the other nodes that the breaker of a model opened for `pause` seconds; 0.0: that it closed."""
        self._look: asyncio.TimerHandle | None = None
        self.clock: Clock | None = None

    # --- what hosts ask and tell ---

    def ask(self, asker: Asker, ref: int, wish: CallWish) -> None:
        model = self._model(wish) if wish.kind == "model" else None
        until = self._now() + self.rules.wait_seconds + self.limits.patience
        standing = Standing(asker, ref, wish, model, self._amounts(wish, model), until, self.ledger.moment())
        if wish.is_spare and model is not None:
            self._ask_spare(standing, model)
            return
        wait = self._consider(standing, self._blocked_before(standing))
        if wait is None:
            return
        if len(self._line) >= self.rules.line:
            self._deny(standing, _too_busy("too many calls wait already", 1.0))
            return
        self._line.append(standing)
        if model is not None:
            model.waiting += 1
        self._look_after(wait)

    def _ask_spare(self, standing: Standing, model: Model) -> None:
        """A second request beside one that is under way goes only where nothing stands in its way: it takes no place
        that another call waits for, and never ends a run."""
        now = self._now()
        verdict, _ = self.ledger.judge(standing.asker, standing.amounts, standing.wish.raised)
        is_full = bool(model.rule.concurrency) and model.in_flight >= model.rule.concurrency
        is_free = verdict == "go" and not is_full and model.breaker.state(now) == "closed"
        if not is_free or self._blocked_before(standing) or self._wait(standing, model, now) > 0:
            standing.asker.denied(standing.ref, _too_busy("there is no room for a second request", 0.0))
            return
        model.calls[HEDGED] = model.calls.get(HEDGED, 0) + 1
        self._grant(standing, model, now)

    def settle(self, asker: Asker, ref: int, result: CallResult) -> None:
        """A second word about a call does nothing."""
        flying = self._flying.get(id(asker), {}).pop(ref, None)
        if flying is None:
            self._leave_line(asker, ref)
            return
        self._end(asker, flying, result)
        self._serve_line()

    def leave(self, asker: Asker) -> None:
        """The attempt is over."""
        for flying in self._flying.pop(id(asker), {}).values():
            self._end(asker, flying, CallResult("lost"))
        self._leave_line(asker, None)
        self.ledger.leave(asker)
        self._serve_line()

    # --- deciding ---

    def _amounts(self, wish: CallWish, model: Model | None) -> Amounts:
        steps = int(wish.is_step)
        if model is None:
            return Amounts(tool_calls=int(wish.kind == "tool"), steps=steps)
        estimate = Tokens(wish.input_tokens, wish.output_tokens)
        return Amounts(estimate.total, cost_of(model.price, estimate), 1, 0, steps)

    def _consider(self, standing: Standing, is_behind: bool = False) -> float | None:
        """None: the call was granted or denied. Else seconds after which to look again."""
        verdict, denial = self.ledger.judge(standing.asker, standing.amounts, standing.wish.raised, standing.asked)
        if verdict == "over" and denial is not None:
            self._deny(standing, denial)
            return None
        model, now = standing.model, self._now()
        if model is None:
            if verdict == "wait":
                return self.rules.wait_seconds
            self.ledger.spend(standing.asker, standing.amounts)
            standing.asker.granted(standing.ref, None)
            return None
        closed_for = model.breaker.wait(now)
        if closed_for > 0:
            self._deny(standing, _open_breaker(model, closed_for))
            return None
        if verdict == "wait":  # for calls that are under way, and those end
            standing.until = now + self.rules.wait_seconds
            return self.rules.wait_seconds
        is_full = bool(model.rule.concurrency) and model.in_flight >= model.rule.concurrency
        if is_behind or is_full:  # what it waits for serves the line when it comes
            return max(0.0, standing.until - now)
        wait = self._wait(standing, model, now)
        if wait <= 0:
            self._grant(standing, model, now)
            return None
        if now + wait > standing.until:
            self._deny(standing, _too_busy("it would have to wait longer than it may", wait))
            return None
        return wait

    def _wait(self, standing: Standing, model: Model, now: float) -> float:
        """Seconds that the provider and the limits want."""
        wait = max(0.0, model.free_at - now)
        for key, limit, cost in self._limits(standing, model):
            wait = max(wait, self.limits.wait(key, limit, now, cost))
        return wait

    def _limits(self, standing: Standing, model: Model) -> list[tuple[tuple[str, ...], Limit, float]]:
        run, amounts = standing.asker.run, standing.amounts
        costs = {"requests": 1.0, "tokens": float(amounts.tokens), "cost_usd": amounts.cost_usd}
        none = Rates()
        found = []
        for scope, rates in (
            (("agent", run.tenant, run.agent), self.rules.agents.get(run.agent, none)),
            (("tenant", run.tenant), self.rules.tenant),
            (("provider", model.provider), model.rule.rates),
        ):
            found += [((*scope, name), limit, costs[name]) for name, limit in rates.all]
        return found

    def _grant(self, standing: Standing, model: Model, now: float) -> None:
        for key, limit, cost in self._limits(standing, model):
            self.limits.take(key, limit, now, cost)
        model.breaker.let_through(now)
        model.in_flight += 1
        self.ledger.reserve(standing.asker, standing.amounts)
        self._flying.setdefault(id(standing.asker), {})[standing.ref] = Flying(model, standing.amounts)
        standing.asker.granted(standing.ref, model.price)

    def _deny(self, standing: Standing, denial: Denial) -> None:
        self.denials[denial.code] = self.denials.get(denial.code, 0) + 1
        standing.asker.denied(standing.ref, denial)

    # --- settling ---

    def _end(self, asker: Asker, flying: Flying, result: CallResult) -> None:
        model, estimate, now = flying.model, flying.amounts, self._now()
        model.in_flight -= 1
        used = Amounts(model_calls=1, steps=estimate.steps)
        if result.outcome in ("ok", "lost") or result.is_billed:
            known = result.tokens
            used.tokens = estimate.tokens if known is None else known.total
            used.cost_usd = estimate.cost_usd if known is None else result.cost
        elif result.outcome == "dropped":
            used.model_calls = used.steps = 0
        self.ledger.settle(asker, estimate, used)
        self._correct(asker, model, estimate, used, now)
        opened_at = model.breaker.opened_at
        match result.outcome:
            case "ok" | "refused":
                model.breaker.succeeded()
                model.answered_at = now
            case "failed":
                model.breaker.failed(model.rule.breaker, now)
            case "throttled":
                model.breaker.dropped()
                model.free_at = max(model.free_at, now + min(result.wait, self.rules.wait_seconds))
            case _:
                model.breaker.dropped()
        if model.breaker.opened_at != opened_at:
            self.tell_breaker(model.provider, model.name, model.breaker.pause)
        self._count(model, result)
        if result.outcome in ("ok", "lost") or result.is_billed:
            asker.keep_costs(costs_of(asker.run, model.provider, model.name, model.price, result, self._clock_now()))

    def hear_breaker(self, provider: str, name: str, pause: float) -> None:
        """What another node says of a model. What this node has seen itself counts more: where the provider answered
        it within that pause, its own breaker only opens at the next failure."""
        model, now = self._model(CallWish("model", provider, name)), self._now()
        rule = model.rule.breaker
        if not pause:
            model.breaker.told_closed(now)
        elif rule.failures:
            pause = min(pause, rule.pause_at_most)
            model.breaker.told_open(rule, now, pause, has_answered=now - model.answered_at < pause)
        self._serve_line()

    def _correct(self, asker: Asker, model: Model, estimate: Amounts, used: Amounts, now: float) -> None:
        """What was estimated too high is given back to the limits, what was too low is owed."""
        standing = Standing(asker, 0, CallWish("model"), model, estimate, 0.0)
        real = {"tokens": used.tokens - estimate.tokens, "cost_usd": used.cost_usd - estimate.cost_usd}
        for key, limit, _ in self._limits(standing, model):
            difference = real.get(key[-1], 0.0)
            if difference:
                self.limits.correct(key, limit, now, difference)

    def _count(self, model: Model, result: CallResult) -> None:
        model.calls[result.outcome] = model.calls.get(result.outcome, 0) + 1
        tokens = result.tokens or Tokens()
        if result.tokens is not None:
            old = model.tokens
            model.tokens = Tokens(
                old.input + tokens.input,
                old.output + tokens.output,
                old.cache_read + tokens.cache_read,
                old.cache_write + tokens.cache_write,
            )
        model.cost_usd += result.cost

    # --- the line ---

    def _blocked_before(self, standing: Standing) -> bool:
        """Whether a call of the same agent to the same model stands in line already: nobody overtakes."""
        return any(_same_line(one, standing) for one in self._line)

    def _serve_line(self) -> None:
        if not self._line:
            return
        line, self._line = self._line, deque()
        stopped: list[Standing] = []
        soonest = self.rules.wait_seconds
        now = self._now()
        for standing in line:
            if standing.until <= now and standing.model is not None:
                self._deny(standing, _too_busy("it has waited as long as it may", 1.0))
                self._unstand(standing)
                continue
            wait = self._consider(standing, any(_same_line(one, standing) for one in stopped))
            if wait is None:
                self._unstand(standing)
                continue
            self._line.append(standing)
            stopped.append(standing)
            soonest = min(soonest, wait, max(0.0, standing.until - now))
        if self._line:
            self._look_after(soonest)

    def _unstand(self, standing: Standing) -> None:
        if standing.model is not None:
            standing.model.waiting -= 1

    def _leave_line(self, asker: Asker, ref: int | None) -> None:
        if not self._line:
            return
        kept: deque[Standing] = deque()
        for standing in self._line:
            if standing.asker is asker and ref in (None, standing.ref):
                self._unstand(standing)
            else:
                kept.append(standing)
        self._line = kept

    def look_again(self) -> None:
        """Something that calls wait for may have come: an account was read, time has passed."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self._serve_line()

    def _look_after(self, seconds: float) -> None:
        if self._look is not None:
            loop = asyncio.get_running_loop()
            if self._look.when() <= loop.time() + seconds:
                return
            self._look.cancel()
        self._look = asyncio.get_running_loop().call_later(max(0.001, seconds), self.look_again)

    # --- models ---

    def _model(self, wish: CallWish) -> Model:
        key = (wish.provider, wish.model)
        found = self._models.get(key)
        if found is None and len(self._models) >= MODELS_LIMIT:
            key = (wish.provider if wish.provider in self.rules.providers else OTHER, OTHER)
            found = self._models.get(key)
        if found is None:
            rule = self.rules.providers.get(wish.provider, self.rules.otherwise)
            found = self._models[key] = Model(*key, rule, self.prices.price(wish.provider, wish.model))
        return found

    def providers(self) -> list[ProviderState]:
        """By provider and model."""
        now = self._now()
        return [
            ProviderState(
                model.provider,
                model.name,
                model.breaker.state(now),
                max(model.breaker.wait(now), model.free_at - now, 0.0),
                model.in_flight,
                model.waiting,
                dict(model.calls),
                model.tokens,
                model.cost_usd,
                model.price,
            )
            for _, model in sorted(self._models.items())
        ]

    def state(self) -> tuple[list[ProviderState], dict[str, int]]:
        """What operators count: models, and calls that were not allowed."""
        return self.providers(), self.denials

    def _now(self) -> float:
        return self._clock_now() / 1e6

    def _clock_now(self) -> int:
        assert self.clock is not None
        return self.clock.now()


def _same_line(one: Standing, other: Standing) -> bool:
    is_same = one.model is other.model and one.model is not None
    return is_same and one.asker.run.agent == other.asker.run.agent and one.asker.run.tenant == other.asker.run.tenant


def _too_busy(reason: str, wait: float) -> Denial:
    return Denial(429, "limit_reached", f"A limit on model calls is reached, and {reason}.", wait)


def _open_breaker(model: Model, wait: float) -> Denial:
    text = f"{model.provider} has not answered for {model.name} lately, so it is not asked now."
    return Denial(503, "provider_unavailable", text, wait)
