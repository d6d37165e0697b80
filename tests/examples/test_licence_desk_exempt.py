"""The licence desk asks two people before it exempts a copyleft package, and what happened is verified elsewhere.

Over real HTTP with the example's own start program; the log is exported, and verified with the public key alone.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.examples.test_licence_desk_end_to_end import GPL, model, running  # noqa: F401
from tests.examples.test_licence_rules import EXAMPLE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


def bearer(text):
    return {"authorization": f"Bearer {text}"}


def call(desk, method, path, body, key):
    content = None if body is None else json.dumps(body).encode()
    head = {"content-type": "application/json", **bearer(key)}
    request = urllib.request.Request(f"{desk.url}{path}", content, head, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def audit(tmp_path, *arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "pilothouse", "audit", *arguments], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, **variables}, timeout=60, check=False,
    )  # fmt: skip


def test_two_people_exempt_a_copyleft_package_and_the_log_of_it_verifies_elsewhere(tmp_path, model):  # noqa: F811
    planted = tmp_path / "planted" / "a-gpl"
    planted.mkdir(parents=True)
    (planted / "LICENSE").write_text(GPL.read_text())
    with running(tmp_path, **model.environment) as desk:
        people = {}
        _, root = desk.ask("/v1/keys", {"name": "root", "kind": "human", "scopes": ["*"], "roles": ["*"]})
        for name in ("ada", "bob"):
            wanted = {"name": name, "kind": "human", "scopes": ["reviews:read", "reviews:decide"], "roles": ["legal"]}
            status, made = call(desk, "POST", "/v1/keys", wanted, root["text"])
            assert status == 201
            people[name] = made["text"]
        rules = {"text": (EXAMPLE / "exempt.cedar").read_text(), "signed": True}
        assert call(desk, "PUT", "/v1/policies", rules, root["text"])[0] == 200
        given = {"input": {"folder": str(planted.parent), "limit": 1}}
        _, run = call(desk, "POST", "/v1/agents/audit/runs", given, root["text"])

        def open_review(kind):
            _, page = call(desk, "GET", "/v1/reviews?status=open", None, root["text"])
            return next((one for one in page["items"] if one["kind"] == kind), None)

        def decide(review, key):
            return call(desk, "POST", f"/v1/reviews/{review['id']}/decision", {"verdict": "approve"}, key)

        first = desk.until(lambda: open_review("gate"), "question about the package")
        assert decide(first, root["text"])[0] == 200
        second = desk.until(lambda: open_review("action"), "question about the exemption")
        assert second["details"]["quorum"] == 2
        assert decide(second, root["text"])[1]["code"] == "vote_refused"
        assert decide(second, people["ada"])[1]["status"] == "open"
        _, page = call(desk, "GET", "/v1/reviews?status=open&role=legal&due_within=999999", None, people["bob"])
        (seen,) = page["items"]
        assert (seen["ballot"]["counted"], seen["ballot"]["quorum"]) == (1, 2)
        assert (seen["ballot"]["open_to"], seen["ballot"]["refusal"]) == (["bob"], None)
        assert decide(second, people["ada"])[1]["code"] == "vote_refused"
        assert decide(second, people["bob"])[1]["status"] == "decided"
        _, ended = call(desk, "GET", f"/v1/runs/{run['id']}?wait=20", None, root["text"])
        assert ended["status"] == "succeeded"
        assert "is exempt from the rule" in json.dumps(ended["output"])
        node = {"PILOTHOUSE_URL": desk.url, "PILOTHOUSE_KEY": root["text"]}
        key = audit(tmp_path, "key", **node).stdout.strip()
        exported = audit(tmp_path, "export", "audit.jsonl", **node)
        assert exported.returncode == 0, exported.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "audit.jsonl").rename(elsewhere / "audit.jsonl")
    verified = audit(elsewhere, "verify", "audit.jsonl", "--key", key)
    assert verified.returncode == 0, verified.stderr
    kinds = [json.loads(line).get("kind") for line in (elsewhere / "audit.jsonl").read_text().splitlines()]
    assert kinds.count("review.voted") == 2
    assert "action.done" in kinds
    lines = (elsewhere / "audit.jsonl").read_bytes().replace(b"review.voted", b"review.noted", 1)
    (elsewhere / "audit.jsonl").write_bytes(lines)
    assert audit(elsewhere, "verify", "audit.jsonl", "--key", key).returncode == 1
