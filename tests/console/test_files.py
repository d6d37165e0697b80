"""The console's files over HTTP: what a browser may keep, what it asks for again, and what the page may load."""

import re
from collections.abc import Iterator

import pytest

from tests.server.node import Served, serve_node


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Iterator[Served]:
    with serve_node(tmp_path_factory.mktemp("files")) as served:
        yield served


@pytest.fixture
def assets(node) -> list[str]:
    found = re.findall(r'(?:src|href)="\./(assets/[^"]+)"', node.http.get("/").text)
    if not found:
        pytest.skip("the console is not built: make console")
    return found


def test_the_page_is_asked_for_again_and_answered_304_while_it_is_the_same(node):
    first = node.http.get("/")
    assert first.headers["cache-control"] == "no-cache"
    again = node.http.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert node.http.get("/", headers={"If-None-Match": '"another"'}).status_code == 200


def test_what_the_page_loads_is_kept_for_good_and_packed_for_those_who_take_it(node, assets):
    for name in assets:
        packed = node.http.get(f"/{name}", headers={"Accept-Encoding": "gzip"})
        plain = node.http.get(f"/{name}", headers={"Accept-Encoding": "gzip;q=0"})
        assert "immutable" in packed.headers["cache-control"]
        assert packed.content == plain.content
        assert "content-encoding" not in plain.headers
    assert packed.headers["vary"] == "accept-encoding"


def test_the_policy_allows_this_node_and_nothing_else(node):
    policy = dict(
        part.strip().split(" ", 1) for part in node.http.get("/").headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in " ".join(policy.values())
    assert not re.search(r"https?:", " ".join(policy.values()))


def test_a_name_that_is_no_file_is_a_problem_with_the_next_step(node):
    for name in ("/assets/nothing.js", "/assets/..%2findex.html", "/assets/"):
        told = node.http.get(name)
        assert told.status_code == 404
        assert told.json()["hint"]


def test_the_licences_of_what_is_bundled_are_there(node, assets):
    text = node.http.get("/licenses.txt").text
    assert "react" in text
    assert "MIT" in text
