"""The document and the pages: what is described is what is served, and nothing is loaded from elsewhere."""

import re
from urllib.parse import urljoin

import pytest

from pilothouse.communication.http.openapi import make_document
from pilothouse.communication.http.problem import STATUS
from pilothouse.communication.http.table import DESCRIBED, PAGES

CONTRACT = {
    "POST /v1/agents/{agent}/runs", "GET /v1/runs/{run}", "GET /v1/runs", "GET /v1/runs/{run}/events",
    "GET /v1/runs/{run}/ws",
    "GET /v1/runs/{run}/steps", "POST /v1/runs/{run}/cancel", "POST /v1/runs/{run}/retry", "POST /v1/runs/{run}/fork",
    "POST /v1/runs/{run}/signals/{name}", "GET /v1/agents/{agent}/sessions/{key}",
    "GET /v1/agents/{agent}/sessions/{key}/history", "GET /v1/agents/{agent}/sessions/{key}/state",
    "PATCH /v1/agents/{agent}/sessions/{key}/state", "POST /v1/agents/{agent}/sessions/{key}/fork",
    "DELETE /v1/agents/{agent}/sessions/{key}", "GET /v1/agents", "GET /v1/agents/{agent}", "GET /v1/reviews",
    "GET /v1/reviews/{review}", "POST /v1/reviews/{review}/decision", "GET /healthz", "GET /readyz", "GET /metrics",
    "GET /openapi.json", "GET /v1/audit", "GET /v1/audit/checkpoint",
    "GET /v1/alerts", "GET /v1/providers",
    "GET /v1/deliveries", "GET /v1/deliveries/{delivery}", "POST /v1/deliveries/{delivery}/retry",
    "GET /v1/holds", "POST /v1/holds", "DELETE /v1/holds/{hold}", "POST /v1/runs/{run}/override",
    "GET /v1/runs/{run}/overrides", "POST /v1/reviews/{review}/override", "GET /v1/reviews/{review}/overrides",
    "GET /v1/agents/{agent}/sampling", "PUT /v1/agents/{agent}/sampling", "DELETE /v1/agents/{agent}/sampling",
    "POST /v1/agents/{agent}/sampling/known", "GET /v1/agents/{agent}/sampling/reviewers",
    "PUT /v1/runs/{run}/groups", "POST /v1/agents/{agent}/bias", "GET /v1/bias/audits", "GET /v1/bias/audits/{audit}",
    "GET /v1/bias/findings", "POST /v1/bias/findings/{finding}",
    "POST /v1/runs/{run}/feedback", "GET /v1/examples", "DELETE /v1/subjects/{subject}", "GET /v1/datasets",
    "POST /v1/datasets/{dataset}", "GET /v1/datasets/{dataset}/{number}", "POST /v1/evaluations",
    "GET /v1/evaluations", "GET /v1/evaluations/{evaluation}", "GET /v1/evaluations/{evaluation}/comparison",
    "GET /v1/delegations", "POST /v1/delegations", "DELETE /v1/delegations/{delegation}",
    "GET /v1/review-links/{link}",
    "GET /v1/policies", "PUT /v1/policies", "DELETE /v1/policies", "GET /v1/policies/schema",
    "POST /v1/policies/check", "POST /v1/policies/compare", "POST /v1/policies/explain",
    "POST /v1/runs/{run}/appeals", "POST /v1/incidents", "GET /v1/tenants",
    "GET /v1/keys", "POST /v1/keys", "POST /v1/keys/{id}/rotate", "DELETE /v1/keys/{id}",
    "GET /v1/scale", "GET /v1/overview", "GET /v1/feed", "GET /v1/agents/{agent}/sessions",
    "GET /v1/costs",
    "GET /v1/sources", "POST /v1/sources/{source}/messages", "GET /v1/sources/{source}/dead",
    "POST /v1/sources/{source}/replay",
    "GET /v1/schedules", "POST /v1/schedules", "GET /v1/schedules/{schedule}", "DELETE /v1/schedules/{schedule}",
    "GET /v1/schedules/{schedule}/firings", "POST /v1/schedules/{schedule}/pause",
    "POST /v1/schedules/{schedule}/resume", "POST /v1/schedules/{schedule}/run",
    "GET /v1/node", "GET /v1/settings",
    "GET /v1/signin", "POST /v1/signin", "DELETE /v1/signin",
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> dict:
    return make_document(DESCRIBED)


def test_every_route_of_the_contract_is_in_the_document(document):
    found = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    assert found == CONTRACT


def test_the_document_is_served_as_it_was_made(served, document):
    answer = served.http.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == document
    assert document["openapi"] == "3.1.0"


def test_operations_have_names_of_their_own_and_answers(document):
    operations = [one for item in document["paths"].values() for one in item.values()]
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names))
    for one in operations:
        assert one["summary"]
        assert {"400", "403", "422", "500", "503"} <= set(one["responses"]), one["operationId"]
        assert "Retry-After" in one["responses"]["503"]["headers"]


def test_every_reference_leads_somewhere(document):
    names = set(re.findall(r"#/components/schemas/(\w+)", repr(document)))
    assert names == set(document["components"]["schemas"])


def test_every_error_that_a_caller_may_meet_is_explained(document):
    explained = {one["code"]: one for one in document["x-problems"]}
    assert set(explained) <= set(STATUS)
    assert {"run_not_found", "media_type_refused", "internal"} <= set(explained)
    for one in explained.values():
        assert one["text"].endswith((".", "}")), one
        assert one["hint"]
        assert "{{" not in one["hint"]
        assert one["status"] == STATUS[one["code"]]


def test_requests_refuse_what_the_document_does_not_know(document):
    schemas = document["components"]["schemas"]
    for name in (
        "RunRequest",
        "CancelRequest",
        "RetryRequest",
        "ForkRequest",
        "SignalRequest",
        "SessionFork",
        "Decision",
    ):
        assert schemas[name]["additionalProperties"] is False


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/docs.js", "/docs/docs.css"])
def test_pages_load_nothing_from_elsewhere_and_say_so_to_the_browser(served, path):
    answer = served.http.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    text = answer.text
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", text)
    assert "innerHTML" not in text
    assert not re.search(r"<(?:script|style)>|\son\w+=|style=", text)


def test_everything_a_page_refers_to_is_there(served):
    seen, waiting = set(), ["/", "/docs"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = served.http.get(path)
        assert answer.status_code == 200, path
        if answer.headers["content-type"].startswith("text/html"):
            found = re.findall(r'(?:src|href)="([^"#:]+)"', answer.text)
            assert not [one for one in found if one.startswith("/")], "it would not work behind a path prefix"
            waiting += [urljoin(path, one) for one in found]
    assert {"/docs/docs.js", "/docs/docs.css", "/openapi.json"} <= seen


def test_the_address_in_a_problem_is_on_the_page_of_the_reference(served):
    told = served.http.get("/v1/runs/run_nobody").json()
    path, _, name = told["type"].partition("#")
    assert path == "/docs"
    assert name in {one["code"] for one in served.http.get("/openapi.json").json()["x-problems"]}


def test_pages_are_not_part_of_the_document(document):
    assert not {page.path for page in PAGES} & set(document["paths"])
