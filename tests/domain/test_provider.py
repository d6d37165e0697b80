"""Which requests are model calls: by host and path, by configured URLs, and not by chance."""

import pytest

from pilothouse.domain.provider import read_below, recognise

KNOWN = [
    ("api.openai.com", "/v1/chat/completions", "openai", "chat", ""),
    ("api.openai.com", "/v1/responses", "openai", "responses", ""),
    ("api.openai.com", "/v1/embeddings", "openai", "embeddings", ""),
    ("api.anthropic.com", "/v1/messages", "anthropic", "messages", ""),
    ("api.mistral.ai", "/v1/chat/completions", "mistral", "chat", ""),
    ("generativelanguage.googleapis.com", "/v1beta/models/gemini-x:generateContent", "google", "generate", "gemini-x"),
    (
        "europe-west4-aiplatform.googleapis.com",
        "/v1/projects/p/locations/l/publishers/anthropic/models/claude-x:streamRawPredict",
        "google",
        "messages",
        "claude-x",
    ),
    (
        "bedrock-runtime.eu-west-1.amazonaws.com",
        "/model/a.b-v1%3A0/converse-stream",
        "bedrock",
        "converse",
        "a.b-v1:0",
    ),
    ("bedrock-runtime.eu-west-1.amazonaws.com", "/model/m/invoke", "bedrock", "invoke", "m"),
    ("x.openai.azure.com", "/openai/deployments/d/chat/completions", "azure", "chat", ""),
    ("127.0.0.1", "/v1/chat/completions", "127.0.0.1:443", "chat", ""),
]


@pytest.mark.parametrize(("host", "path", "provider", "shape", "model"), KNOWN)
def test_model_calls_are_recognised(host, path, provider, shape, model):
    found = recognise(host, 443, path)
    assert (found.provider, found.shape, found.model) == (provider, shape, model)


OTHERS = [
    ("api.openai.com", "/v1/files"),
    ("api.openai.com", "/v1/models"),
    ("example.com", "/"),
    ("example.com", "/a:b"),
    ("generativelanguage.googleapis.com", "/v1beta/models/x:countTokens"),
    ("bedrock-runtime.eu-west-1.amazonaws.com", "/guardrail/x/apply"),
]


@pytest.mark.parametrize(("host", "path"), OTHERS)
def test_other_calls_are_not(host, path):
    assert recognise(host, 443, path) is None


def test_a_common_word_at_an_unknown_host_must_show_more():
    assert recognise("chat.example.com", 443, "/v1/messages").needs == ("model", "messages", "max_tokens")
    assert recognise("api.anthropic.com", 443, "/v1/messages").needs == ()


def test_a_configured_url_names_its_provider():
    place = read_below("gateway", "https://llm.example.com/team")
    assert recognise("llm.example.com", 443, "/team/v1/messages", (place,)).provider == "gateway"
    assert recognise("llm.example.com", 443, "/teams/v1/chat/completions", (place,)).provider == "llm.example.com:443"
    with pytest.raises(ValueError, match="expected a URL"):
        read_below("gateway", "llm.example.com")
