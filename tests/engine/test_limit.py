"""Limits that several nodes draw from one store, a real Valkey: how much goes, in how few questions, and without it."""

import asyncio

import pytest

from pilothouse.domain.breaker import BreakerRule
from pilothouse.domain.limit import Limit
from pilothouse.engine.limit import SharedLimits
from pilothouse.engine.outgoing import OutgoingRules, ProviderRule, Rates
from pilothouse.ports.outgoing import CallResult
from pilothouse.storage.hot.redis import RedisHotStore
from pilothouse.testing.brokers import ValkeyServer
from tests.engine.test_outgoing import DONE, WISH, Asker, outgoing

WITHIN = 120.0
ANSWERS_WITHIN = 15.0
"""Of the store: a question that was lost with a server must not take all the time of a test."""
SLOW = 1.0
"""A minute: so that nothing comes back while a test runs."""


@pytest.fixture
def valkey():
    server = ValkeyServer()
    server.start()
    yield server
    server.remove()


class Sharing:
    """Nodes that share the limits of the agent `support`."""

    def __init__(self, url, count, rates, **rules):
        self.said = []
        self.nodes, self.stores = [], []
        for _ in range(count):
            node, _ = outgoing(agents={"support": rates}, **rules)
            store = RedisHotStore(url, "test", ANSWERS_WITHIN)
            node.limits = SharedLimits(
                store, ANSWERS_WITHIN, lambda node=node: node._now(), node.look_again, lambda: count, self.said.append
            )
            self.nodes.append(node)
            self.stores.append(store)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for node, store in zip(self.nodes, self.stores, strict=True):
            if node._look is not None:
                node._look.cancel()
            await node.limits.stop()
            await node.limits.stop()
            await store.stop()

    async def quiet(self):
        """No node has a question under way."""
        async with asyncio.timeout(WITHIN):
            while any(node.limits._asking is not None for node in self.nodes):
                await asyncio.sleep(0.005)


def went(asker):
    return sum(word == "go" for _, word in asker.heard)


@pytest.mark.slow
async def test_nodes_together_let_through_what_the_limit_says_in_few_questions(valkey):
    async with Sharing(valkey.url, 3, Rates(requests=Limit(SLOW, burst=60))) as all_of:
        askers = [Asker() for _ in all_of.nodes]
        for ref in range(100):
            for node, asker in zip(all_of.nodes, askers, strict=True):
                node.ask(asker, ref, WISH)
        await all_of.quiet()
        assert sum(went(asker) for asker in askers) == 60
        assert (
            sum(node.limits.draws for node in all_of.nodes) <= 30
        )  # for sixty calls that went, and those that did not
        refused = [denial.code for asker in askers for denial in asker.denials]
        assert refused == [] or set(refused) == {"limit_reached"}


@pytest.mark.slow
async def test_a_call_that_needs_several_limits_goes_when_it_has_them_all(valkey):
    rates = Rates(requests=Limit(SLOW, burst=10), tokens=Limit(SLOW, burst=90))  # a call takes 30 tokens
    async with Sharing(valkey.url, 2, rates) as all_of:
        askers = [Asker() for _ in all_of.nodes]
        for ref in range(10):
            for node, asker in zip(all_of.nodes, askers, strict=True):
                node.ask(asker, ref, WISH)
            await all_of.quiet()
        assert sum(went(asker) for asker in askers) == 3


@pytest.mark.slow
async def test_what_was_estimated_too_high_serves_other_calls(valkey):
    async with Sharing(valkey.url, 1, Rates(tokens=Limit(SLOW, burst=60))) as all_of:
        [node], asker = all_of.nodes, Asker()
        for ref in range(4):
            node.ask(asker, ref, WISH)  # 30 tokens each by the estimate, 15 in truth
            await all_of.quiet()
            node.settle(asker, ref, DONE)
        await all_of.quiet()
        assert went(asker) >= 3


@pytest.mark.slow
async def test_what_lies_idle_goes_back_to_the_others(valkey, monkeypatch):
    monkeypatch.setattr("pilothouse.engine.limit.BATCH", 600.0)
    async with Sharing(valkey.url, 2, Rates(requests=Limit(SLOW, burst=10))) as all_of:
        (first, second), asker = all_of.nodes, Asker()
        first.ask(asker, 1, WISH)
        await all_of.quiet()
        assert went(asker) == 1  # and the node holds the other nine
        first.clock.advance(2)
        first.limits._tidy()
        await all_of.quiet()
        for ref in range(2, 20):
            second.ask(asker, ref, WISH)
        await all_of.quiet()
        assert went(asker) == 10


@pytest.mark.slow
async def test_without_the_store_each_node_goes_by_its_share_and_then_they_share_again(valkey):
    async with Sharing(valkey.url, 2, Rates(requests=Limit(SLOW, burst=20))) as all_of:
        askers = [Asker() for _ in all_of.nodes]
        valkey.stop()
        for ref in range(30):
            for node, asker in zip(all_of.nodes, askers, strict=True):
                node.ask(asker, ref, WISH)
        await all_of.quiet()
        assert [went(asker) for asker in askers] == [10, 10]
        assert [node.limits.state().is_shared for node in all_of.nodes] == [False, False]
        assert len(all_of.said) == 2
        assert "1/2" in all_of.said[0]
        valkey.start()
        async with asyncio.timeout(WITHIN):
            while not all(node.limits.is_shared for node in all_of.nodes):
                for node, asker in zip(all_of.nodes, askers, strict=True):
                    node.clock.advance(1.0)
                    node.ask(asker, 1000, WISH)
                await asyncio.sleep(0.02)
        assert all_of.said[2:] == ["limits are shared again"] * 2
        assert all(node.limits.failures >= 1 for node in all_of.nodes)


@pytest.mark.slow
async def test_a_node_that_used_much_while_limits_were_shared_has_no_second_burst_when_they_are_not(valkey):
    async with Sharing(valkey.url, 2, Rates(requests=Limit(SLOW, burst=20))) as all_of:
        (busy, idle), (first, second) = all_of.nodes, [Asker(), Asker()]
        for ref in range(20):
            busy.ask(first, ref, WISH)
        await all_of.quiet()
        assert went(first) == 20
        valkey.stop()
        for ref in range(20, 40):
            busy.ask(first, ref, WISH)
            idle.ask(second, ref, WISH)
        for node in all_of.nodes:  # the first question after a refusal comes when the time is over that it named
            node.clock.advance(61)
            node.look_again()
        await all_of.quiet()
        assert went(first) <= 21
        assert 0 < went(second) <= 11


@pytest.mark.slow
async def test_a_flushed_store_lets_through_another_burst_and_no_more(valkey):
    async with Sharing(valkey.url, 1, Rates(requests=Limit(SLOW, burst=5))) as all_of:
        [node], asker = all_of.nodes, Asker()
        for ref in range(5):
            node.ask(asker, ref, WISH)
        await all_of.quiet()
        await all_of.stores[0]._client.flushall()
        for ref in range(5, 15):
            node.ask(asker, ref, WISH)
        await all_of.quiet()
        assert went(asker) == 10


# --- breakers -----------------------------------------------------------------------------------------------------

FAILED = CallResult("failed")
RULES = {"providers": {"openai": ProviderRule(breaker=BreakerRule(failures=2, pause=10.0))}}


def two_nodes():
    """Each hears at once what the other says, and itself as well."""
    nodes = [outgoing(**RULES) for _ in range(2)]
    heard = []

    def tell(*said):
        heard.append(said)
        for node, _ in nodes:
            node.hear_breaker(*said)

    for node, _ in nodes:
        node.tell_breaker = tell
    return nodes, heard


def fail(node, asker, times):
    for ref in range(times):
        node.ask(asker, ref, WISH)
        node.settle(asker, ref, FAILED)


def test_the_rules_of_these_tests_are_rules():
    assert OutgoingRules(**RULES).providers["openai"].breaker.failures == 2


async def test_a_breaker_that_opens_on_one_node_is_open_on_the_others():
    [(first, _), (second, _)], heard = two_nodes()
    asker = Asker()
    fail(first, Asker(), 2)
    second.ask(asker, 1, WISH)
    assert asker.heard == [(1, "provider_unavailable")]
    assert heard == [("openai", "m", 10.0)]


async def test_a_node_that_was_answered_just_now_believes_itself_more_than_the_others():
    """One node with a broken network must not close the provider for all."""
    [(first, _), (second, _)], _ = two_nodes()
    asker = Asker()
    second.ask(asker, 1, WISH)
    second.settle(asker, 1, DONE)
    fail(first, Asker(), 2)
    second.ask(asker, 2, WISH)
    assert asker.heard[-1] == (2, "go")
    second.settle(asker, 2, FAILED)
    second.ask(asker, 3, WISH)
    assert asker.heard[-1] == (3, "provider_unavailable")


async def test_a_breaker_that_closes_on_one_node_lets_a_probe_go_on_the_others():
    [(first, clock), (second, other)], heard = two_nodes()
    asker, mine = Asker(), Asker()
    fail(first, asker, 2)
    clock.advance(10)
    first.ask(asker, 5, WISH)
    first.settle(asker, 5, DONE)
    assert heard[-1] == ("openai", "m", 0.0)
    other.advance(1)  # its own pause has nine seconds left
    second.ask(mine, 1, WISH)
    second.ask(mine, 2, WISH)
    assert mine.heard == [(1, "go"), (2, "provider_unavailable")]
    second.settle(mine, 1, DONE)
    second.ask(mine, 3, WISH)
    assert mine.heard[-1] == (3, "go")


async def test_a_pause_that_another_node_names_is_held_to_the_rule():
    [(first, clock), _], _ = two_nodes()
    first.hear_breaker("openai", "m", 1e9)
    assert first.providers()[0].breaker == "open"
    clock.advance(300)
    assert first.providers()[0].breaker == "half_open"
