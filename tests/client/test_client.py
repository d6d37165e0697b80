"""The typed client against a node that runs: values it gives, errors it raises, connections it loses."""

import socket

import pytest

from pilothouse.client import ApiError, Client, Unreachable
from tests.cli.served import make_project, serve
from tests.client.served import Relay

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with serve(make_project(tmp_path_factory.mktemp("client"))) as address:
        yield address


@pytest.fixture
def client(url):
    with Client(url) as opened:
        yield opened


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_a_run_is_given_as_a_value_with_its_output(client):
    run = client.start_run("count", "one two", metadata={"from": "test"})
    assert run.is_terminal
    assert (run.agent, run.status, run.output, run.metadata) == ("count", "succeeded", {"words": 2}, {"from": "test"})
    assert client.get_run(run.id) == run


def test_the_same_key_starts_one_run(client):
    assert client.start_run("count", "x", key="one").id == client.start_run("count", "x", key="one").id


def test_a_stream_gives_every_event_once_and_in_order(client):
    events = list(client.stream_run("words", "one two three"))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert "".join(event.fields["delta"] for event in events if event.type == "output.delta") == "one two three "
    assert events[-1].is_terminal
    assert {event.run for event in events} == {events[0].run}


def test_a_stream_goes_on_after_each_cut_without_losing_or_repeating_an_event(client, url):
    whole = [(event.seq, event.type) for event in client.stream_run("words", "one two three")]
    with Relay(port_of(url), [b'"one "', b'"two "']).running() as relay, Client(relay.url) as cut:
        stream = cut.stream_run("words", "one two three")
        events = list(stream)
        assert relay.cuts == 2
        assert relay.connections >= 3
    assert [(event.seq, event.type) for event in events] == whole
    assert len({event.run for event in events}) == 1


def test_a_stream_cut_before_its_first_event_is_the_same_run_again(client, url):
    with Relay(port_of(url), [b"HTTP/1.1 200"]).running() as relay, Client(relay.url) as cut:
        events = list(cut.stream_run("stepped", "x", metadata={"cut": "early"}))
    assert events[0].seq == 1
    assert events[-1].type == "run.succeeded"
    started = [run for run in client.list_runs(agent="stepped").items if run.metadata == {"cut": "early"}]
    assert [run.id for run in started] == [events[0].run]


def test_a_stream_of_a_run_that_nobody_keeps_is_an_error_after_a_cut(url):
    with Relay(port_of(url), [b'"one "']).running() as relay, Client(relay.url, reconnect_within=2.0) as cut:
        with pytest.raises(Unreachable) as caught:
            list(cut.stream_run("words", "one two", repeatable=False))
    assert "not kept" in str(caught.value)
    assert caught.value.run


def test_an_answer_that_was_lost_is_asked_for_again_without_a_second_run(client, url):
    with Relay(port_of(url), [b"HTTP/1.1"]).running() as relay, Client(relay.url) as cut:
        run = cut.start_run("stepped", "x", metadata={"cut": "lost"}, wait=10)
        assert relay.connections == 2
    assert run.output == "X"
    assert [one.id for one in client.list_runs(agent="stepped").items if one.metadata == {"cut": "lost"}] == [run.id]


def test_following_goes_on_after_a_number(client):
    run = client.start_run("stepped", "x", wait=10)
    events = list(client.follow_run(run.id))
    assert [event.seq for event in client.follow_run(run.id, after=2)] == [event.seq for event in events[2:]]
    page = client.list_events(run.id, after=1)
    assert [event["seq"] for event in page.items] == [event.seq for event in events[1:]]


def test_a_run_is_waited_for_and_given_as_it_is_when_the_time_is_over(client):
    run = client.start_run("patient", "x", wait="later")
    assert not client.wait_run(run.id, within=0.1).is_terminal
    assert client.send_signal(run.id, "go", "on").id == run.id
    assert client.wait_run(run.id, within=10).output == "on"


def test_a_refusal_has_all_fields_of_the_problem(client):
    with pytest.raises(ApiError) as caught:
        client.get_run("run_that_never_was")
    error = caught.value
    assert (error.status, error.code) == (404, "run_not_found")
    assert error.title
    assert error.detail == str(error)
    assert error.hint
    assert error.faults == []


def test_input_that_does_not_fit_tells_each_fault_with_its_place(client):
    with pytest.raises(ApiError) as caught:
        client.start_run("words", {"not": "a text"})
    assert (caught.value.status, caught.value.code) == (422, "invalid_input")
    assert [(fault.path, fault.message) for fault in caught.value.faults] == [("$", "Expected `str`, got `object`")]


def test_the_error_of_a_stream_that_was_refused_is_raised(client):
    with pytest.raises(ApiError) as caught:
        list(client.stream_run("nobody", "x"))
    assert caught.value.code == "agent_not_found"


def test_keys_with_any_character_are_one_part_of_a_path(client):
    for key in ("a/b", "..", "ä ?#"):
        client.start_run("diary", "x", session=key)
        assert client.get_session("diary", key).key == key


def test_nobody_at_the_address_is_unreachable_with_a_next_step():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(address, retry_within=0.2) as client, pytest.raises(Unreachable) as caught:
            client.list_agents()
    assert (caught.value.status, caught.value.code) == (0, "unreachable")
    assert address in str(caught.value)
    assert "pilothouse serve" in caught.value.hint


@pytest.mark.parametrize("address", ["ftp://x", "nonsense", "http://"])
def test_what_is_no_address_is_told(address):
    with pytest.raises(Unreachable, match="not an address"):
        Client(address)


def test_another_program_at_the_address_is_told_as_such():
    from pilothouse.testing import ScriptedModel

    with ScriptedModel("x") as other, Client(other.base_url.removesuffix("/v1")) as client:
        with pytest.raises(ApiError) as caught:
            client.get_health()
    assert caught.value.code == "http_404"
    assert "another program" in caught.value.hint


def test_the_overview_and_the_sessions_of_an_agent_are_given_as_values(client):
    client.start_run("diary", "one", session="overview/1")
    found = client.get_overview(agent="diary", seconds=300, slices=5)
    assert found.total.succeeded >= 1
    assert len(found.slices) == 5
    assert [one.key for one in client.list_sessions("diary", prefix="overview/").items] == ["overview/1"]
