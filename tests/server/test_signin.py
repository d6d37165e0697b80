"""Signing in: what a browser gets for a key, what it may do with it, and when that ends."""

import pytest

from tests.server.node import serve_node

COOKIE = "pilothouse_signin"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serve_node(tmp_path_factory.mktemp("signin")) as served:
        yield served


@pytest.fixture(scope="module")
def root(served) -> dict[str, str]:
    """The headers of a key that may do everything: the first one, which also closes the door to those without."""
    before = served.http.get("/v1/signin").json()
    assert (before["name"], before["csrf_token"]) == ("local", None)
    assert "set-cookie" not in served.http.post("/v1/signin", json={"key": "phk_any_thing"}).headers
    made = served.http.post("/v1/keys", json={"name": "root", "kind": "human", "scopes": ["*"], "roles": ["*"]}).json()
    return {"Authorization": f"Bearer {made['text']}"}


@pytest.fixture
def make_key(served, root):
    def make(name: str, scopes: list[str], **more) -> dict:
        body = {"name": name, "kind": "human", "scopes": scopes} | more
        return served.http.post("/v1/keys", json=body, headers=root).json()

    return make


def sign_in(served, key: str) -> dict[str, str]:
    """The headers that a page of the console sends."""
    answer = served.http.post("/v1/signin", json={"key": key})
    served.http.cookies.clear()
    assert answer.status_code == 200, answer.text
    assert key.split("_", 2)[2] not in answer.text + answer.headers["set-cookie"]
    value = answer.headers["set-cookie"].partition(";")[0]
    return {"Cookie": value, "X-CSRF-Token": answer.json()["csrf_token"]}


def test_a_key_is_exchanged_for_a_cookie_that_no_script_and_no_other_site_can_use(served, make_key):
    key = make_key("ada", ["runs:read", "runs:write"])["text"]
    answer = served.http.post("/v1/signin", json={"key": key}, headers={"Origin": f"http://127.0.0.1:{served.port}"})
    served.http.cookies.clear()
    head = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {one.strip() for one in head.split(";")}
    assert "Secure" not in head
    told = answer.json()
    assert (told["name"], told["kind"], told["scopes"]) == ("ada", "human", ["runs:read", "runs:write"])


def test_over_tls_the_cookie_stays_there(served, make_key):
    key = make_key("tls", ["runs:read"])["text"]
    host = "console.example"
    answer = served.http.post("/v1/signin", json={"key": key}, headers={"Origin": f"https://{host}", "Host": host})
    served.http.cookies.clear()
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("key", ["phk_0_0", "nonsense", "phk_ü_ü"])
def test_a_wrong_key_gets_no_cookie(served, root, key):
    answer = served.http.post("/v1/signin", json={"key": key})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_nobody_is_known_without_a_cookie_or_with_another_one(served, root):
    assert served.http.get("/v1/signin").status_code == 401
    assert served.http.get("/v1/runs", headers={"Cookie": f"{COOKIE}=phk_1_2"}).status_code == 401
    assert served.http.get("/").status_code == 200, "the page itself holds nothing secret"


def test_a_change_needs_the_token_that_only_a_page_of_this_node_knows(served, make_key):
    page = sign_in(served, make_key("mary", ["runs:read", "runs:write"])["text"])
    body = {"json": {"input": "x"}}
    assert served.http.get("/v1/runs", headers={"Cookie": page["Cookie"]}).status_code == 200
    assert served.http.post("/v1/agents/echo/runs", headers={"Cookie": page["Cookie"]}, **body).status_code == 403
    wrong = page | {"X-CSRF-Token": "0" * 48}
    assert served.http.post("/v1/agents/echo/runs", headers=wrong, **body).status_code == 403
    assert served.http.post("/v1/agents/echo/runs", headers=page, **body).status_code == 200
    asked = served.http.get("/v1/signin", headers={"Cookie": page["Cookie"]}).json()
    assert asked["csrf_token"] == page["X-CSRF-Token"]


def test_a_page_of_another_site_gets_nothing_with_the_cookie(served, make_key):
    page = sign_in(served, make_key("mallory", ["runs:read"])["text"])
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        assert served.http.get("/v1/runs", headers=page | {"Sec-Fetch-Site": site}).status_code == status
    key = make_key("eve", ["runs:read"])["text"]
    answer = served.http.post("/v1/signin", json={"key": key}, headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_cookie_may_what_its_key_may_and_no_more(served, make_key):
    page = sign_in(served, make_key("reader", ["runs:read"])["text"])
    assert served.http.get("/v1/runs", headers=page).status_code == 200
    answer = served.http.post("/v1/agents/echo/runs", json={"input": 1}, headers=page)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_signing_out_revokes_the_cookie_and_leaves_the_key_alone(served, make_key):
    key = make_key("out", ["runs:read"])["text"]
    page, other = sign_in(served, key), sign_in(served, key)
    answer = served.http.delete("/v1/signin", headers=page)
    assert (answer.status_code, "Max-Age=0" in answer.headers["set-cookie"]) == (204, True)
    assert served.http.get("/v1/runs", headers=page).status_code == 401
    assert served.http.get("/v1/runs", headers=other).status_code == 200
    assert served.http.get("/v1/runs", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_a_key_that_is_revoked_ends_what_was_signed_in_with_it(served, make_key, root):
    made = make_key("gone", ["runs:read"])
    page = sign_in(served, made["text"])
    served.http.delete(f"/v1/keys/{made['key']['id']}", headers=root)
    assert served.http.get("/v1/runs", headers=page).status_code == 401


def test_a_cookie_never_outlives_the_key_that_it_was_made_with(served, make_key):
    made = make_key("short", ["runs:read"], expires_in_seconds=600)
    answer = served.http.post("/v1/signin", json={"key": made["text"]})
    served.http.cookies.clear()
    assert answer.json()["expires_at"] <= made["key"]["expires_at"]


def test_a_program_that_sends_its_key_itself_needs_no_token(served, root):
    headers = root | {"Cookie": f"{COOKIE}=phk_1_2"}
    assert served.http.post("/v1/agents/echo/runs", json={"input": "x"}, headers=headers).status_code == 200


def test_decisions_and_the_audit_log_name_who_signed_in(served, make_key, root):
    page = sign_in(served, make_key("judge", ["*"])["text"])
    run = served.http.post(
        "/v1/agents/ask/runs", json={"input": "?"}, headers=page | {"Prefer": "respond-async"}
    ).json()
    reviews: list[dict] = []
    while not reviews:
        reviews = served.http.get("/v1/reviews", params={"run": run["id"]}, headers=page).json()["items"]
    decided = served.http.post(f"/v1/reviews/{reviews[0]['id']}/decision", json={"verdict": "approve"}, headers=page)
    assert decided.json()["answer"]["by"] == "judge"


def test_the_node_and_its_settings_are_told_to_those_who_may_know(served, make_key, root):
    node = served.http.get("/v1/node", headers=root).json()
    assert node["hosts"][0]["is_up"]
    assert "echo" in node["hosts"][0]["agents"]
    assert not node["is_draining"]
    settings = {one["name"]: one for one in served.http.get("/v1/settings", headers=root).json()["items"]}
    assert settings["server.port"]["value"] == 0
    assert settings["limits.queue"]["source"] == "default"
    page = sign_in(served, make_key("nosy", ["runs:read"])["text"])
    for path in ("/v1/node", "/v1/settings"):
        assert served.http.get(path, headers=page).status_code == 403
