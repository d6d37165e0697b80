"""The node's decisions over calls, one by one: who goes, who waits and in which order, and what is counted in the end.

A clock that the test holds and askers that note what they hear. Excluded: real calls (`tests/egress`), and the rules
themselves (`tests/domain`).
"""

from collections.abc import Callable
from typing import Any

from pilothouse.domain.breaker import BreakerRule
from pilothouse.domain.budget import Amounts, Budget
from pilothouse.domain.limit import Limit
from pilothouse.domain.price import Price, Rates, Tokens
from pilothouse.domain.run import Run
from pilothouse.engine.ledger import Ledger
from pilothouse.engine.outgoing import Outgoing, OutgoingRules, ProviderRule
from pilothouse.engine.outgoing import Rates as Limits
from pilothouse.ports.change import AddCost, AddSpend
from pilothouse.ports.outgoing import CallResult, CallWish, Denial, PriceList
from pilothouse.testing import ManualClock

WISH = CallWish("model", "openai", "m", 10, 20, is_step=True)
DONE = CallResult("ok", Tokens(10, 5), 0.25)


class Asker:
    def __init__(self, id: str = "run_1", agent: str = "support", session: str | None = None) -> None:
        self.run = Run(
            tenant="acme", id=id, agent=agent, release="r", mode="event", status="running", session=session, epoch=1,
            created_at=0,
        )  # fmt: skip
        self.heard: list[tuple[int, str]] = []
        self.denials: list[Denial] = []
        self.spent: list[AddSpend] = []
        self.kept: list[Callable[[], None]] = []
        self.costs: list[AddCost] = []

    def granted(self, ref: int, price: Price | None) -> None:
        self.heard.append((ref, "go"))

    def denied(self, ref: int, denial: Denial) -> None:
        self.heard.append((ref, denial.code))
        self.denials.append(denial)

    def keep_spend(self, rows: list[AddSpend], kept: Callable[[], None]) -> None:
        self.spent += rows
        self.kept.append(kept)

    def keep_costs(self, rows: list[AddCost]) -> None:
        self.costs += rows


class OnePrice(PriceList):
    def price(self, provider: str, model: str) -> Price | None:
        return Price(Rates(100.0, 1000.0))


def outgoing(*budgets: Budget, tenant: tuple[Budget, ...] = (), **rules: Any) -> tuple[Outgoing, ManualClock]:
    clock = ManualClock()
    found = Outgoing(OutgoingRules(**rules), Ledger({"support": budgets}, tenant))
    found.clock, found.ledger.now = clock, clock.now
    found.ledger.load = lambda key: found.ledger.loaded(key, Amounts())
    return found, clock


async def test_a_call_waits_for_the_estimates_of_others_and_goes_when_they_are_settled():
    node, _ = outgoing(Budget("run", tokens=50))
    asker = Asker()
    for ref in (1, 2):
        node.ask(asker, ref, WISH)
    assert asker.heard == [(1, "go")]
    node.settle(asker, 1, DONE)
    assert asker.heard == [(1, "go"), (2, "go")]
    node.settle(asker, 2, DONE)
    node.ask(asker, 3, WISH)
    assert asker.heard[-1] == (3, "budget_exceeded")
    assert asker.denials[0].budget == "run.tokens"
    assert [row.tokens for row in asker.spent] == [15, 15]


async def test_what_was_granted_and_never_settled_counts_as_it_was_estimated():
    node, _ = outgoing(Budget("agent", model_calls=2))
    first, second = Asker("run_1"), Asker("run_2")
    node.ask(first, 1, WISH)
    node.leave(first)
    assert [(row.model_calls, row.tokens) for row in first.spent] == [(1, 30)]
    node.ask(second, 1, WISH)
    node.ask(second, 2, WISH)
    assert second.heard == [(1, "go"), (2, "budget_exceeded")]


async def test_a_call_that_was_never_sent_has_used_nothing():
    node, _ = outgoing(Budget("run", model_calls=1))
    asker = Asker()
    node.ask(asker, 1, WISH)
    node.settle(asker, 1, CallResult("dropped"))
    node.ask(asker, 2, WISH)
    assert asker.heard == [(1, "go"), (2, "go")]
    assert asker.spent == []


async def test_money_is_reserved_by_the_price_and_settled_by_what_it_cost():
    node, _ = outgoing(Budget("run", cost_usd=0.03))
    node.prices = OnePrice()
    asker = Asker()
    node.ask(asker, 1, WISH)  # 10 * 100 + 20 * 1000 for a million: 0.021
    node.settle(asker, 1, CallResult("ok", Tokens(10, 5), 0.006))
    node.ask(asker, 2, WISH)
    node.settle(asker, 2, CallResult("ok", Tokens(10, 5), 0.006))
    node.ask(asker, 3, WISH)
    assert [word for _, word in asker.heard] == ["go", "go", "budget_exceeded"]


async def test_a_grant_of_a_person_raises_the_cap_of_that_run():
    node, _ = outgoing(Budget("run", model_calls=1, on_hit="review"))
    asker = Asker()
    node.ask(asker, 1, WISH)
    node.settle(asker, 1, DONE)
    node.ask(asker, 2, WISH)
    assert asker.denials[0].asks
    raised = CallWish("model", "openai", "m", 10, 20, raised={"run.model_calls": 1})
    node.ask(asker, 3, raised)
    assert asker.heard[-1] == (3, "go")


async def test_an_account_that_is_not_read_yet_is_waited_for():
    node, _ = outgoing(tenant=(Budget("tenant", model_calls=5),))
    asked = []
    node.ledger.load = asked.append
    asker = Asker()
    node.ask(asker, 1, WISH)
    assert (asker.heard, len(asked)) == ([], 1)
    node.ledger.loaded(asked[0], Amounts(model_calls=5))
    node.look_again()
    assert asker.heard == [(1, "budget_exceeded")]


async def test_a_new_day_has_a_budget_of_its_own():
    node, clock = outgoing(Budget("agent", model_calls=1, period="day"))
    asker = Asker()
    for ref in (1, 2):
        node.ask(asker, ref, WISH)
    clock._now += 86_400_000_000
    node.ask(asker, 3, WISH)
    assert [word for _, word in asker.heard] == ["go", "budget_exceeded", "go"]


async def test_nobody_overtakes_in_line_and_a_wait_that_is_too_long_is_told_at_once():
    limit = Limits(requests=Limit(60.0, 1))
    node, clock = outgoing(agents={"support": limit}, wait_seconds=1.5)
    asker = Asker()
    for ref in (1, 2, 3):
        node.ask(asker, ref, WISH)
    assert asker.heard == [(1, "go")]
    clock._now += 1_000_000
    node.look_again()
    assert asker.heard == [(1, "go"), (2, "go"), (3, "limit_reached")]
    other = Asker("run_2", agent="other")
    node.ask(other, 1, WISH)
    assert other.heard == [(1, "go")]


async def test_a_provider_that_wants_to_be_left_alone_is():
    node, clock = outgoing(wait_seconds=30.0)
    asker = Asker()
    node.ask(asker, 1, WISH)
    node.settle(asker, 1, CallResult("throttled", wait=7.0))
    node.ask(asker, 2, WISH)
    assert node.providers()[0].opens_in == 7.0
    clock._now += 7_000_000
    node.look_again()
    assert asker.heard == [(1, "go"), (2, "go")]


async def test_the_breaker_opens_for_one_model_and_its_probe_closes_it():
    node, clock = outgoing(otherwise=ProviderRule(breaker=BreakerRule(2, 10.0, 100.0)))
    asker = Asker()
    for ref in (1, 2):
        node.ask(asker, ref, WISH)
        node.settle(asker, ref, CallResult("failed"))
    node.ask(asker, 3, WISH)
    assert (asker.heard[-1], asker.denials[0].status, asker.denials[0].retry_after) == (
        (3, "provider_unavailable"),
        503,
        10.0,
    )
    node.ask(asker, 4, CallWish("model", "openai", "another", 1, 1))
    assert asker.heard[-1] == (4, "go")
    clock._now += 10_000_000
    node.ask(asker, 5, WISH)
    node.ask(asker, 6, WISH)
    assert asker.heard[-2:] == [(5, "go"), (6, "provider_unavailable")]
    node.settle(asker, 5, DONE)
    node.ask(asker, 7, WISH)
    assert asker.heard[-1] == (7, "go")


async def test_a_call_that_is_wanted_no_more_leaves_the_line():
    node, _ = outgoing(providers={"openai": ProviderRule(concurrency=1)})
    asker = Asker()
    for ref in (1, 2, 3):
        node.ask(asker, ref, WISH)
    node.settle(asker, 2, CallResult("dropped"))
    assert node.providers()[0].waiting == 1
    node.settle(asker, 1, DONE)
    assert asker.heard == [(1, "go"), (3, "go")]
    node.leave(asker)
    assert (node.providers()[0].waiting, node.providers()[0].in_flight) == (0, 0)


async def test_the_line_has_an_end():
    node, _ = outgoing(providers={"openai": ProviderRule(concurrency=1)}, line=2)
    asker = Asker()
    for ref in range(1, 6):
        node.ask(asker, ref, WISH)
    assert asker.heard == [(1, "go"), (4, "limit_reached"), (5, "limit_reached")]


async def test_models_are_told_apart_up_to_a_bound():
    node, _ = outgoing()
    asker = Asker()
    for number in range(1100):
        node.ask(asker, number, CallWish("model", "openai", f"m{number}", 1, 1))
    assert len(node.providers()) <= 1001
    assert len(asker.heard) == 1100


SPARE = CallWish("model", "openai", "m", 10, 20, is_spare=True)


async def test_a_second_request_goes_only_where_there_is_room_and_never_waits_or_ends_a_run():
    rule = ProviderRule(concurrency=2, breaker=BreakerRule(failures=1, pause=5.0))
    node, _ = outgoing(Budget("run", tokens=100), otherwise=rule)
    asker = Asker()
    node.ask(asker, 1, WISH)
    node.ask(asker, 2, SPARE)
    node.ask(asker, 3, SPARE)  # the bulkhead is full
    assert asker.heard == [(1, "go"), (2, "go"), (3, "limit_reached")]
    node.settle(asker, 2, CallResult("lost"))  # cut off: nobody knows what it cost
    node.settle(asker, 1, CallResult("ok", Tokens(60, 5), 0.25))
    node.ask(asker, 4, SPARE)  # 95 of 100 tokens are used
    assert asker.heard[-1] == (4, "limit_reached")
    assert [row.tokens for row in asker.spent] == [30, 65]
    assert [row.steps for row in asker.spent] == [0, 1]
    assert node.denials == {}
    assert node.providers()[0].calls == {"hedged": 1, "lost": 1, "ok": 1}


async def test_a_second_request_never_probes_a_model_that_is_down():
    node, clock = outgoing(otherwise=ProviderRule(breaker=BreakerRule(failures=1, pause=5.0)))
    asker = Asker()
    node.ask(asker, 1, WISH)
    node.settle(asker, 1, CallResult("failed"))
    clock.advance(6.0)
    node.ask(asker, 2, SPARE)
    assert asker.heard[-1] == (2, "limit_reached")


async def test_what_failed_after_it_began_to_answer_counts_as_it_was_estimated():
    node, _ = outgoing(Budget("run", tokens=100))
    asker = Asker()
    node.ask(asker, 1, WISH)
    node.settle(asker, 1, CallResult("failed", is_billed=True))
    node.ask(asker, 2, WISH)
    node.settle(asker, 2, CallResult("failed"))
    assert [row.tokens for row in asker.spent] == [30, 0]


async def test_a_call_that_was_made_is_a_cost_of_its_agent_and_of_its_session():
    node, _ = outgoing()
    asker = Asker(session="ada")
    for ref, result in enumerate((DONE, CallResult("failed"), CallResult("lost"), CallResult("dropped"))):
        node.ask(asker, ref, WISH)
        node.settle(asker, ref, result)
    assert [(row.id, row.session, row.model, row.calls, row.unpriced, row.untold) for row in asker.costs] == [
        ("support", "", "m", 1, 1, 0), ("support", "ada", "m", 1, 1, 0), ("support", "", "m", 1, 1, 1),
        ("support", "ada", "m", 1, 1, 1),
    ]  # fmt: skip
    assert [(row.input_tokens, row.output_tokens, row.cost_nano) for row in asker.costs[:1]] == [(10, 5, 250_000_000)]


class Shared:
    """Two nodes and the sums that both add to. Reads are answered when the test says so."""

    def __init__(self, *budgets: Budget) -> None:
        self.sum = Amounts()
        self.reading: list[tuple[Ledger, Any]] = []
        self.nodes = []
        self.clock = ManualClock()
        for _ in range(2):
            node, _ = outgoing(*budgets)
            ledger = node.ledger = Ledger({"support": budgets}, (), is_shared=True)
            ledger.now = self.clock.now
            ledger.load = lambda key, ledger=ledger: self.reading.append((ledger, key))
            ledger.on_kept = node.look_again
            node.clock = self.clock
            self.nodes.append(node)

    def answer(self) -> None:
        while self.reading:
            ledger, key = self.reading.pop(0)
            ledger.loaded(key, Amounts(**{name: getattr(self.sum, name) for name in Amounts.__struct_fields__}))
            for node in self.nodes:
                node.look_again()

    def commit(self, asker: Asker) -> None:
        """What an asker's node has settled becomes durable."""
        rows, kept = asker.spent, asker.kept
        asker.spent, asker.kept = [], []
        for row in rows:
            self.sum.add(Amounts(tokens=row.tokens, model_calls=row.model_calls, steps=row.steps))
        for act in kept:
            act()


async def test_nodes_that_share_an_account_never_pass_its_cap_one_call_after_the_other():
    shared = Shared(Budget("agent", model_calls=5))
    askers = [Asker("run_1"), Asker("run_2")]
    gone = 0
    for number in range(12):
        node, asker = shared.nodes[number % 2], askers[number % 2]
        node.ask(asker, number, WISH)
        shared.answer()
        if asker.heard[-1] == (number, "go"):
            gone += 1
            node.settle(asker, number, DONE)
            shared.commit(asker)
    assert gone == 5
    assert {word for asker in askers for _, word in asker.heard[-2:]} == {"budget_exceeded"}


async def test_far_from_the_cap_an_account_is_read_once_a_second_and_near_it_before_each_call():
    shared = Shared(Budget("agent", model_calls=100))
    node, asker = shared.nodes[0], Asker()

    def call(ref: int) -> int:
        node.ask(asker, ref, WISH)
        before = len(shared.reading)
        shared.answer()
        node.settle(asker, ref, DONE)
        shared.commit(asker)
        return before

    assert sum(call(ref) for ref in range(50)) == 1
    shared.clock.advance(1.5)
    assert call(50) == 1
    shared.sum.add(Amounts(model_calls=45))  # another node
    shared.clock.advance(1.5)
    assert [call(ref) for ref in range(51, 54)] == [1, 1, 1]


async def test_what_was_settled_while_an_account_was_read_stops_nothing_and_lets_nothing_pass():
    """The read may hold the last call or not: the next one waits for a read that is sure to."""
    shared = Shared(Budget("agent", model_calls=2))
    node, asker = shared.nodes[0], Asker()
    node.ask(asker, 1, WISH)
    shared.answer()
    node.ask(asker, 2, WISH)  # near the cap: it is read again
    assert len(shared.reading) == 1
    node.settle(asker, 1, DONE)  # committed while the read is under way, and in it
    rows, kept = asker.spent, asker.kept
    asker.spent, asker.kept = [], []
    shared.sum.add(Amounts(model_calls=rows[0].model_calls))
    shared.answer()
    assert asker.heard == [(1, "go")]
    for act in kept:
        act()
    shared.answer()
    assert asker.heard == [(1, "go"), (2, "go")]
    node.ask(asker, 3, WISH)
    shared.answer()
    assert asker.heard[-1] == (3, "budget_exceeded")


async def test_what_was_settled_and_never_kept_is_forgotten_in_time():
    shared = Shared(Budget("agent", model_calls=2))
    node, asker = shared.nodes[0], Asker()
    node.ask(asker, 1, WISH)
    shared.answer()
    node.settle(asker, 1, DONE)  # its attempt loses its lease, so its Change falls
    shared.clock.advance(5.0)
    node.ask(asker, 2, WISH)
    shared.answer()
    node.settle(asker, 2, CallResult("dropped"))
    assert asker.heard == [(1, "go"), (2, "go")]
    shared.clock.advance(70.0)
    for ref in (3, 4):
        node.ask(asker, ref, WISH)
        shared.answer()
    assert asker.heard[2:] == [(3, "go"), (4, "go")]
