"""API keys over HTTP: who is let in, to what, and in whose name.

A node of its own, since its first key shuts the door.
"""

import pytest

from tests.server.node import serve_node

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    with serve_node(tmp_path_factory.mktemp("keyed")) as served:
        made = served.http.post("/v1/keys", json={"name": "root", "kind": "human", "scopes": ["*"], "roles": ["*"]})
        assert made.status_code == 201
        served.root = made.json()["text"]
        yield served


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def make(keyed):
    def make(name="ada", scopes=("*",), by=None, **more):
        body = {"name": name, "scopes": list(scopes)} | more
        return keyed.http.post("/v1/keys", json=body, headers=bearer(by or keyed.root))

    return make


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer phk_0000000000000000_x"},
        {"Authorization": "Bearer phk_"},
    ],
)
def test_without_a_key_that_counts_nothing_is_answered(keyed, headers):
    for method, path in (("GET", "/v1/runs"), ("POST", "/v1/agents/echo/runs"), ("GET", "/metrics"), ("GET", "/v1/x")):
        answer = keyed.http.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_health_and_pages_need_no_key(keyed):
    assert keyed.http.get("/healthz").status_code == 200
    assert keyed.http.get("/readyz").status_code == 200
    assert keyed.http.get("/openapi.json").status_code == 200
    assert keyed.http.get("/docs").status_code == 200


def test_a_secret_that_differs_in_one_place_is_not_let_in(keyed, make):
    text = make().json()["text"]
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert keyed.http.get("/v1/runs", headers=bearer(text)).status_code == 200
    assert keyed.http.get("/v1/runs", headers=bearer(wrong)).status_code == 401


def test_a_scope_opens_what_it_says_and_nothing_else(keyed, make):
    text = make(scopes=["runs:read"]).json()["text"]
    assert keyed.http.get("/v1/runs", headers=bearer(text)).status_code == 200
    for method, path, body in (
        ("POST", "/v1/agents/echo/runs", {"input": 1}),
        ("GET", "/v1/audit", None),
        ("POST", "/v1/keys", {"name": "x", "scopes": ["runs:read"]}),
        ("POST", "/v1/reviews/rev_x/decision", {"verdict": "approve"}),
        ("GET", "/metrics", None),
    ):
        answer = keyed.http.request(method, path, json=body, headers=bearer(text))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_who_makes_a_key_gives_no_more_than_they_have(keyed, make):
    clerk = make("clerk", ["keys:write", "runs:read"], kind="human", roles=["clerk"]).json()["text"]
    assert make("x", ["runs:read"], by=clerk).status_code == 201
    assert make("x", ["runs:write"], by=clerk).status_code == 403
    assert make("x", ["runs:read"], by=clerk, roles=["chief"]).status_code == 403


def test_an_agent_makes_no_keys(keyed, make):
    agent = make("agent:desk", ["keys:write"], kind="agent").json()["text"]
    assert make("x", ["keys:write"], by=agent).status_code == 403
    assert make("agent:x", ["*"], kind="agent").status_code == 422


def test_a_revoked_key_opens_nothing_from_then_on(keyed, make):
    made = make().json()
    headers = bearer(made["text"])
    assert keyed.http.get("/v1/runs", headers=headers).status_code == 200
    gone = keyed.http.delete(f"/v1/keys/{made['key']['id']}", headers=bearer(keyed.root))
    assert gone.json()["state"] == "revoked"
    assert keyed.http.get("/v1/runs", headers=headers).status_code == 401
    assert keyed.http.delete(f"/v1/keys/{made['key']['id']}", headers=bearer(keyed.root)).status_code == 200
    assert keyed.http.delete("/v1/keys/0123456789abcdef", headers=bearer(keyed.root)).status_code == 404


def test_a_rotation_lets_both_keys_in_for_the_overlap(keyed, make):
    old = make().json()
    turned = keyed.http.post(
        f"/v1/keys/{old['key']['id']}/rotate", json={"overlap_seconds": 60}, headers=bearer(keyed.root)
    )
    assert turned.status_code == 201
    new = turned.json()
    assert new["key"]["name"] == old["key"]["name"]
    for made in (old, new):
        assert keyed.http.get("/v1/runs", headers=bearer(made["text"])).status_code == 200
    listed = keyed.http.get("/v1/keys?limit=200", headers=bearer(keyed.root)).json()["items"]
    assert next(one for one in listed if one["id"] == old["key"]["id"])["expires_at"] is not None
    keyed.http.post(f"/v1/keys/{new['key']['id']}/rotate", json={"overlap_seconds": 0}, headers=bearer(keyed.root))
    assert keyed.http.get("/v1/runs", headers=bearer(new["text"])).status_code == 401


def test_no_answer_but_the_first_shows_a_secret_or_a_hash(keyed, make):
    made = make().json()
    listed = keyed.http.get("/v1/keys?limit=200", headers=bearer(keyed.root)).text
    entries = keyed.http.get("/v1/audit?limit=1000", headers=bearer(keyed.root)).text
    assert made["text"].split("_")[2] not in listed + entries
    assert "hash" not in listed + entries


def test_the_principal_of_the_key_stands_in_the_log(keyed, make):
    text = make("grace", ["runs:write"], kind="human").json()["text"]
    run = keyed.http.post(
        "/v1/agents/echo/runs", json={"input": 1}, headers=bearer(text) | {"Prefer": "respond-async"}
    ).json()["id"]
    entries = keyed.http.get("/v1/audit?limit=1000", headers=bearer(keyed.root)).json()["items"]
    assert [one["by"] for one in entries if one["id"] == run and one["kind"] == "run.queued"] == ["grace"]


def test_an_administrator_makes_keys_of_other_tenants_and_both_logs_say_so(keyed, make):
    made = make("owner", ("*",), tenant="acme", kind="human", roles=["*"])
    assert (made.status_code, made.json()["key"]["created_by"]) == (201, "root@default")
    acme = made.json()["text"]
    for key, by, tenant in ((keyed.root, "root", "acme"), (acme, "root@default", None)):
        log = keyed.http.get("/v1/audit", params={"limit": 1000}, headers=bearer(key)).json()["items"]
        (told,) = [
            one for one in log if one["kind"] == "key.created" and one["id"] == f"key_{made.json()['key']['id']}"
        ]
        assert (told["by"], told.get("of_tenant")) == (by, tenant)
    tenants = keyed.http.get("/v1/tenants", headers=bearer(keyed.root)).json()["items"]
    assert {"name": "acme", "keys": 1} in tenants


def test_who_may_everything_in_another_tenant_may_nothing_outside_it(keyed, make):
    owner = make("owner", ("*",), tenant="globex", kind="human", roles=["*"]).json()["text"]
    refused = make("spy", ("runs:read",), by=owner, tenant="default")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert keyed.http.get("/v1/tenants", headers=bearer(owner)).status_code == 403
    robot = make("robot", ("*",)).json()["text"]
    assert make("spy", ("runs:read",), by=robot, tenant="globex").status_code == 403
    assert make("own", ("runs:read",), by=owner).status_code == 201


def test_a_tenant_sees_nothing_of_another_one(keyed, make):
    """By any of the ways in which a run, or what belongs to it, is read, moved or listed."""
    keys = {name: bearer(make("owner", ("*",), tenant=name, kind="human", roles=["*"]).json()["text"]) for name in "ab"}
    started = keyed.http.post("/v1/agents/ask/runs", json={"input": "a secret of a?"},
                              headers=keys["a"] | {"Prefer": "respond-async"})  # fmt: skip
    run = started.json()["id"]
    for _ in range(120):
        found = keyed.http.get("/v1/reviews", params={"run": run, "status": "open"}, headers=keys["a"]).json()["items"]
        if found:
            break
        keyed.http.get(f"/v1/runs/{run}", params={"wait": 0.5}, headers=keys["a"])
    review = found[0]["id"]
    reads = [f"/v1/runs/{run}", f"/v1/runs/{run}/steps", f"/v1/runs/{run}/events?after=0", f"/v1/runs/{run}/overrides",
             f"/v1/reviews/{review}"]  # fmt: skip
    for path in reads:
        assert keyed.http.get(path, headers=keys["a"]).status_code == 200, path
        assert keyed.http.get(path, headers=keys["b"]).status_code == 404, path
    for path, body in (
        (f"/v1/runs/{run}/signals/x", {"payload": 1}),
        (f"/v1/runs/{run}/appeals", {"reason": "x"}),
        (f"/v1/runs/{run}/feedback", {"kind": "thumb", "value": 1}),
        (f"/v1/runs/{run}/override", {"reason": "x", "output": 1}),
        (f"/v1/reviews/{review}/decision", {"verdict": "approve"}),
    ):
        answer = keyed.http.post(path, json=body, headers=keys["b"])
        assert answer.status_code == 404, (path, answer.text)
    cancel = keyed.http.post(f"/v1/runs/{run}/cancel", headers=keys["b"])
    assert cancel.json() == {"id": run, "remembered": True}  # of a run of that id that b may start: not of this one
    for path in ("/v1/runs", "/v1/reviews", "/v1/examples", "/v1/deliveries", "/v1/keys"):
        answer = keyed.http.get(path, headers=keys["b"])
        assert answer.status_code == 200, path
        assert run not in answer.text, path
        assert review not in answer.text, path
    assert run in keyed.http.get("/v1/runs", headers=keys["a"]).text
    done = keyed.http.post(f"/v1/reviews/{review}/decision", json={"verdict": "approve"}, headers=keys["a"])
    assert done.status_code == 200
    ended = keyed.http.get(f"/v1/runs/{run}", params={"wait": 30}, headers=keys["a"])
    assert ended.json()["status"] == "succeeded"
