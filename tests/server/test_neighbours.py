"""Without keys, only programs and pages of this machine are answered: no rebound name, no page of another site."""

import pytest

from pilothouse.communication.http.header import Neighbours
from pilothouse.communication.http.options import HttpOptions
from pilothouse.errors import Forbidden, MalformedRequest

RUNS = "/v1/agents/echo/runs"
LOCAL = [
    "localhost", "LOCALHOST:8700", "app.localhost:1", "127.0.0.1", "127.0.0.1:8700", "127.9.9.9", "[::1]:8700",
    "localhost.",
]  # fmt: skip
FOREIGN = [
    "example.org", "example.org:8700", "localhost.example.org", "127.0.0.1.example.org", "0.0.0.0", "10.0.0.1",
    "[::]:8700", "169.254.169.254", "[::ffff:10.0.0.1]", "2130706433", "0x7f.1", "localhost:port", "[::1",
    "user@localhost", "localhost/x", "", "xn--localhost",
]  # fmt: skip


@pytest.mark.parametrize("host", LOCAL)
def test_a_host_of_this_machine_is_answered(served, host):
    assert served.http.get("/v1/agents", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_any_other_host_is_refused(served, host):
    places = [("GET", "/v1/agents"), ("POST", RUNS), ("GET", "/metrics"), ("GET", "/docs"), ("GET", "/nothing")]
    for method, path in places:
        answer = served.http.request(method, path, headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_to_anybody(served, path):
    assert served.http.get(path, headers={"Host": "10.0.0.1:8700"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8700", "https://[::1]:8443"])
def test_a_page_of_this_machine_may_call(served, origin):
    headers = {"Origin": origin, "Sec-Fetch-Site": "same-site"}
    assert served.http.post(RUNS, json={}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://localhost.example.org"},
        {"Origin": "file://"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://example.org", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
@pytest.mark.parametrize("content", ["application/json", "application/x-www-form-urlencoded"])
def test_a_page_of_another_site_may_not(served, headers, content):
    answer = served.http.post(RUNS, content=b"{}", headers=headers | {"Content-Type": content})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_preflight_of_another_site_gets_no_permission(served):
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    answer = served.http.options(RUNS, headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.slow
def test_the_names_of_a_proxy_in_front_are_known_when_they_are_configured(served):
    with served.front(HttpOptions(hosts=frozenset({"agents.example.org"}))) as front:
        headers = {"Host": "agents.example.org", "Origin": "https://agents.example.org"}
        assert front.http.post(RUNS, json={}, headers=headers).status_code == 200
        assert front.http.get("/v1/agents", headers={"Host": "example.org"}).status_code == 403


def test_a_request_without_a_host_is_malformed():
    with pytest.raises(MalformedRequest):
        Neighbours(frozenset()).check({})


def test_verdicts_are_kept_within_a_bound():
    neighbours = Neighbours(frozenset())
    for number in range(5000):
        with pytest.raises(Forbidden):
            neighbours.check({b"host": b"h%d.example.org" % number})
    assert len(neighbours._verdicts) <= 1024
