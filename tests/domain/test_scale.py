"""How many workers the work wants: one formula, within its bounds, and never fewer for more work."""

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.domain.scale import AgentLoad, ScaleRule, agent_busy, scale_of, workers_wanted

RULE = ScaleRule(busy=0.8, drain=30.0, least=0, most=1000)


def load(ready=0, running=0, seconds=None, places=10, agent="desk"):
    return AgentLoad(agent, ready, running, 0.0, places, seconds)


def test_each_ready_run_wants_a_place_until_it_is_known_how_long_it_holds_it():
    assert workers_wanted((load(ready=16),), 10, RULE) == 2
    assert workers_wanted((load(ready=16, running=8),), 10, RULE) == 3


def test_short_runs_share_places():
    assert workers_wanted((load(ready=4800, seconds=0.05),), 10, RULE) == 1
    assert workers_wanted((load(ready=4800, seconds=0.5),), 10, RULE) == 10
    assert workers_wanted((load(ready=48, seconds=600.0),), 10, RULE) == 6


def test_an_agent_with_a_limit_of_its_own_wants_more_workers():
    assert workers_wanted((load(ready=16, places=2),), 10, RULE) == 10


def test_work_that_waits_always_wants_a_worker_and_none_wants_the_least():
    assert workers_wanted((load(ready=1, seconds=0.001),), 10, RULE) == 1
    assert workers_wanted((load(),), 10, RULE) == 0
    assert workers_wanted((), 10, ScaleRule(least=2)) == 2
    assert workers_wanted((load(ready=10**6),), 10, RULE) == 1000


def test_busy_is_a_share_of_all_places():
    found = scale_of((load(running=5), load(running=10, agent="other", places=5)), 2, 10, RULE)
    assert (found.busy, found.places, found.running) == (0.75, 20, 15)
    assert [agent_busy(one, 2) for one in found.agents] == [0.25, 1.0]
    assert scale_of((load(ready=3),), 0, 10, RULE).busy == 0.0


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0.001, 1000), st.integers(1, 64))
def test_more_work_never_wants_fewer_workers(ready, running, seconds, places):
    wants = workers_wanted((load(ready, running, seconds, places),), places, RULE)
    more = workers_wanted((load(ready + 1, running + 1, seconds, places),), places, RULE)
    assert more >= wants >= running / places - 1
