"""Where a call goes instead: the address, the headers and the key of each shape, and what can never work.

Values only. Excluded: real calls to somebody else (`tests/egress/test_fallback.py`).
"""

import pytest

from pilothouse.domain.fallback import Fallback, Place, detour, place_of, unfit
from pilothouse.domain.provider import recognise

HEADERS = [
    ("Authorization", "Bearer first"), ("x-api-key", "first"), ("x-goog-api-key", "first"), ("Cookie", "a=first"),
    ("Host", "first"), ("Content-Type", "application/json"), ("Content-Length", "7"), ("X-Own", "first"),
]  # fmt: skip
PLACES = {
    "groq": place_of("groq", None, (), "GROQ"),
    "second": Place("https://second.example/v9", ("messages", "generate", "converse"), "KEY"),
    "open": Place("http://127.0.0.1:1/v1", ("chat",)),
    "bedrock": place_of("bedrock", "https://bedrock-runtime.eu-west-1.amazonaws.com", (), "AWS"),
}
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/models/gemini-a:streamGenerateContent?alt=sse&key=first"
AMAZON = "https://bedrock-runtime.us-east-1.amazonaws.com/model/a.b%3A0/converse-stream"
VERTEX = "https://eu-aiplatform.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic/models/a:rawPredict"


def went(url, to, headers=HEADERS):
    host, _, path = url.removeprefix("https://").partition("/")
    seen = recognise(host, 443, "/" + path.partition("?")[0])
    assert seen is not None
    return detour(url, headers, seen, to, PLACES)


@pytest.mark.parametrize(
    ("url", "to", "goes", "key"),
    [
        ("https://api.openai.com/v1/chat/completions", Fallback("m", "groq"),
         "https://api.groq.com/openai/v1/chat/completions", ("authorization", "Bearer secret://GROQ")),
        ("https://api.anthropic.com/v1/messages", Fallback("m", "second"),
         "https://second.example/v9/messages", ("x-api-key", "secret://KEY")),
        (GOOGLE, Fallback("m:1", "second"),
         "https://second.example/v9/models/m%3A1:streamGenerateContent?alt=sse", ("x-goog-api-key", "secret://KEY")),
        (AMAZON, Fallback("a/b:0", "second"),
         "https://second.example/v9/model/a%2Fb%3A0/converse-stream", ("authorization", "Bearer secret://KEY")),
        ("https://api.openai.com/v1/chat/completions", Fallback("m", "open"),
         "http://127.0.0.1:1/v1/chat/completions", None),
    ],
)  # fmt: skip
def test_another_provider_gets_its_own_key_and_nothing_of_the_firsts(url, to, goes, key):
    way = went(url, to)
    assert (way.reason, way.url, way.model) == ("", goes, to.model)
    assert not any("first" in value for _, value in way.headers)
    assert ("Content-Type", "application/json") in way.headers
    assert [one for one in way.headers if "secret" in one[1]] == ([] if key is None else [key])


def test_the_same_provider_is_asked_as_before_for_another_model():
    way = went("https://api.openai.com/v1/responses", Fallback("m"))
    assert (way.url, way.in_body) == ("https://api.openai.com/v1/responses", True)
    assert ("Authorization", "Bearer first") in way.headers
    assert "content-length" not in {name.lower() for name, _ in way.headers}
    way = went(GOOGLE, Fallback("gemini-b"))
    assert way.url == GOOGLE.replace("gemini-a", "gemini-b")
    assert not way.in_body
    assert went(VERTEX, Fallback("b")).url == VERTEX.replace("/a:", "/b:")


def test_a_signed_request_for_another_model_goes_by_the_api_key_of_the_provider():
    signed = [("Authorization", "AWS4-HMAC-SHA256 Credential=first"), ("X-Amz-Date", "first"), *HEADERS[5:6]]
    way = went(AMAZON, Fallback("c.d:1"), signed)
    assert way.url == "https://bedrock-runtime.us-east-1.amazonaws.com/model/c.d%3A1/converse-stream"
    assert way.headers == [("Content-Type", "application/json"), ("authorization", "Bearer secret://AWS")]


@pytest.mark.parametrize(
    ("url", "to", "told"),
    [
        ("https://api.openai.com/v1/responses", Fallback("m", "second"), "shape responses"),
        ("https://api.openai.com/v1/responses", Fallback("m", "nobody"), "nothing says where nobody is"),
        (VERTEX, Fallback("m", "second"), "shape messages"),
    ],
)
def test_who_does_not_speak_the_shape_is_not_asked(url, to, told):
    assert told in went(url, to).reason


def test_what_can_never_work_is_told_with_the_next_step():
    def told(source, *chain):
        return " ".join(unfit(source, chain, PLACES))

    assert told("openai", Fallback("a"), Fallback("b", "groq")) == ""
    assert told("openai", Fallback("a", "open"), Fallback("b", "groq")) == ""
    assert "no request is translated. Name a provider that speaks the same" in told("openai", Fallback("a", "second"))
    assert "second speaks messages" in told("", Fallback("a", "groq"), Fallback("a", "second"))
    assert "there is no [providers.mistral]; add it" in told("openai", Fallback("a", "mistral"))
    assert told("bedrock", Fallback("c")) == ""
    assert "signed for one model" in " ".join(unfit("bedrock", (Fallback("c"),), {}))
    assert "set url" in " ".join(
        unfit("openai", (Fallback("a", "azure"),), {"azure": place_of("azure", None, (), "K")})
    )
    nameless = {"mine": place_of("mine", "https://mine.example", (), None)}
    assert "set speaks" in " ".join(unfit("openai", (Fallback("a", "mine"),), nameless))
