"""Posts with an identity token, as Pub/Sub sends them: who signed it, for whom, until when, about whom. The keys come
from a server of this file, which stands for the issuer, over loopback."""

import base64
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from pilothouse.communication.triggers.registry import Sources
from pilothouse.errors import SettingsInvalid, SignatureRefused
from pilothouse.ports.identity import KeysAway
from pilothouse.security.identity import FETCH_AGAIN, FRESH_FOR, USABLE_FOR, IdentityTokens, IssuerKeys
from pilothouse.settings import load_settings
from pilothouse.settings.triggers import sources

ISSUER, AUDIENCE, SENDER = "https://accounts.google.com", "https://agents.example.com/push", "push@shop.example.com"
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "alg": "RS256", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec-1", "alg": "ES256", "use": "sig"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa-1", "alg": "RS256", "use": "sig"})


class Issuer:
    """Serves a key set. `keys` None: it answers 500. `asked`: how often somebody asked."""

    def __init__(self) -> None:
        self.keys: list | None = [RSA, EC]
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                if self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", "/keys")
                    self.end_headers()
                    return
                body = b"" if issuer.keys is None else json.dumps(KeySet(issuer.keys).as_dict()).encode()
                self.send_response(200 if body else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def issuer():
    issuer = Issuer()
    yield issuer
    issuer.close()


def token(key=RSA, **claims) -> str:
    now = int(time.time())
    said = {
        "iss": ISSUER, "aud": AUDIENCE, "iat": now - 5, "exp": now + 3600, "sub": "1234", "email": SENDER,
        "email_verified": True,
    }  # fmt: skip
    said = {name: value for name, value in (said | claims).items() if value is not None}
    return jwt.encode({"alg": key.alg, "kid": key.kid}, said, key, algorithms=["RS256", "ES256"])


@pytest.fixture
def pushed(served, issuer, tmp_path):
    """The node with the source `push`, made of settings as an operator writes them."""
    front = served.node.http.front
    before, front.sources = front.sources, sources(settings(tmp_path, issuer.url), served.node.world, print)
    yield served
    front.sources = before


def settings(folder, keys_url: str, senders: str = f'["{SENDER}"]', audience: str = f'audience = "{AUDIENCE}"'):
    (folder / "pilothouse.toml").write_text(
        f"""[agents.digest]
target = "agents:digest"
[sources.push]
agent = "digest"
verify = "oidc"
senders = {senders}
{audience}
keys_url = "{keys_url}"
input = "body.text"
"""
    )
    return load_settings({}, folder=folder)


def post(served, id: str, bearer: str | None):
    data = base64.b64encode(b'{"text": "one two"}').decode()
    push = {"message": {"data": data, "messageId": id, "orderingKey": "blue"}, "subscription": "projects/p/s/q"}
    headers = {"content-type": "application/json"} | ({} if bearer is None else {"authorization": f"Bearer {bearer}"})
    return served.http.post("/v1/sources/push/messages", content=json.dumps(push).encode(), headers=headers)


def test_a_push_with_a_token_of_the_named_sender_becomes_a_run_once(pushed, issuer):
    answers = [post(pushed, "google-1", token(key)) for key in (RSA, EC, RSA)]
    assert [one.status_code for one in answers] == [202] * 3
    assert [one.json()["items"][0]["outcome"] for one in answers] == ["run", "repeat", "repeat"]
    assert post(pushed, "google-2", token(iss="accounts.google.com")).status_code == 202
    assert post(pushed, "google-3", token(aud=["https://other", AUDIENCE])).status_code == 202
    assert issuer.asked == 1


def coded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def refused_tokens() -> dict[str, str | None]:
    now = int(time.time())
    head, claims, signature = token().split(".")
    other, mac = (coded(json.dumps({"alg": alg, "kid": "rsa-1"}).encode()) for alg in ("none", "HS256"))
    forged = hmac.digest(RSA.as_pem(private=False), f"{mac}.{claims}".encode(), "sha256")
    return {
        "none at all": None,
        "no token": "abc",
        "not of this form": "a.b.c",
        "another signature": token(STRANGER),
        "changed": ".".join([head, claims[:-4] + "AAAA", signature]),
        "without a signature": f"{other}.{claims}.",
        "an HMAC with the public key": f"{mac}.{claims}.{coded(forged)}",
        "expired": token(exp=now - 61),
        "without an expiry": token(exp=None),
        "not signed yet": token(iat=now + 3600),
        "not valid yet": token(nbf=now + 3600),
        "another audience": token(aud="https://elsewhere.example.com"),
        "without an audience": token(aud=None),
        "another issuer": token(iss="https://issuer.example.com"),
        "far too long": token(pad="x" * 20_000),
    }


def test_a_token_that_does_not_count_is_refused_and_says_why(pushed):
    for case, bad in refused_tokens().items():
        answer = post(pushed, "bad-1", bad)
        assert (answer.status_code, answer.json()["code"]) == (401, "signature_refused"), case
        assert "token" in answer.json()["detail"], case
        assert "audience" in answer.json()["hint"], case
    assert post(pushed, "bad-1", token()).json()["items"][0]["outcome"] == "run"  # nothing was taken before


@pytest.mark.parametrize(
    "claims",
    [{"email": "else@shop.example.com"}, {"email_verified": False}, {"email_verified": "true"}, {"email": None}],
)
def test_a_token_of_somebody_else_is_forbidden(pushed, claims):
    answer = post(pushed, "bad-2", token(**claims))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "senders" in answer.json()["hint"]


def test_while_the_keys_cannot_be_fetched_the_sender_is_asked_to_come_again(pushed, issuer):
    issuer.keys = None
    answer = post(pushed, "away-1", token())
    assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
    assert answer.headers["retry-after"]
    assert post(pushed, "away-1", token()).status_code == 503
    assert issuer.asked == 1


def test_a_token_without_an_email_counts_by_its_sub(served, issuer, tmp_path):
    front = served.node.http.front
    account = "system:serviceaccount:shop:push"
    given = settings(tmp_path, issuer.url, f'["{account}"]')
    before, front.sources = front.sources, sources(given, served.node.world, print)
    try:
        theirs = {"sub": account, "email": None, "email_verified": None}
        assert post(served, "sub-1", token(**theirs)).status_code == 202
        assert post(served, "sub-1", token()).status_code == 403
    finally:
        front.sources = before


async def test_keys_that_are_new_are_found_and_strangers_make_nobody_fetch_without_end(issuer):
    now = 1000.0
    keys = IssuerKeys(issuer.url, lambda: now)
    tokens = IdentityTokens(ISSUER, AUDIENCE, (SENDER,), keys)
    await tokens.check(token(), time.time())
    newer = RSAKey.generate_key(2048, {"kid": "rsa-2", "alg": "RS256", "use": "sig"})
    issuer.keys = [EC, newer]
    for _ in range(5):
        with pytest.raises(SignatureRefused, match="no such key"):
            await tokens.check(token(newer), time.time())
    assert issuer.asked == 1
    now += FETCH_AGAIN + 1
    await tokens.check(token(newer), time.time())
    with pytest.raises(SignatureRefused):
        await tokens.check(token(), time.time())  # withdrawn by its issuer
    assert issuer.asked == 2
    now += FRESH_FOR + 1
    issuer.keys = None
    await tokens.check(token(newer), time.time())  # the issuer is away: what is known counts
    assert issuer.asked == 3
    now += USABLE_FOR
    with pytest.raises(KeysAway):
        await tokens.check(token(newer), time.time())


async def test_an_issuer_that_sends_elsewhere_is_not_followed(issuer):
    with pytest.raises(KeysAway):
        await IssuerKeys(issuer.url.replace("/keys", "/moved")).find("rsa-1")
    assert issuer.asked == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"keys_url": "http://keys.example.com/"}, "https"),
        ({"keys_url": "https://keys.example.com/", "senders": "[]"}, "senders"),
        ({"keys_url": "https://keys.example.com/", "audience": ""}, "audience"),
    ],
)
def test_settings_that_would_let_in_anybody_are_refused(served, tmp_path, given, told):
    with pytest.raises(SettingsInvalid, match=told):
        sources(settings(tmp_path, **given), served.node.world, print)


def test_a_source_with_tokens_needs_no_key_of_this_deployment(served, tmp_path):
    made = sources(settings(tmp_path, "https://keys.example.com/"), served.node.world, print)
    assert isinstance(made, Sources)
    assert made.proves_itself("/v1/sources/push/messages")
