"""Model providers: which outgoing requests are model calls, in which shape, and of whose.

A request is recognised by its path, and by its host where a path alone says too little. A settings file may name more
places (a gateway, a local server) by their URL. What is not recognised is a call like any other: it passes the border,
and nothing of it is recorded, counted or tried again.
"""

from typing import Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from pilothouse.domain.breaker import State
from pilothouse.domain.price import Price, Tokens

Shape = Literal["chat", "completions", "responses", "embeddings", "messages", "generate", "converse", "invoke"]
"""OpenAI chat completions, completions, responses and embeddings (others have the same), Anthropic messages, Google
generateContent, Bedrock Converse and InvokeModel."""

HOSTS = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "google",
    "aiplatform.googleapis.com": "google",
    "api.mistral.ai": "mistral",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x-ai",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.perplexity.ai": "perplexity",
    "openrouter.ai": "openrouter",
}
ENDINGS = {
    "-aiplatform.googleapis.com": "google",
    ".openai.azure.com": "azure",
    ".services.ai.azure.com": "azure",
}
MORE_HOSTS = {"google": ("*.googleapis.com",), "bedrock": ("*.amazonaws.com",)}
"""Names of single regions, which a list cannot tell apart from the others of the cloud."""
PATHS: tuple[tuple[str, Shape, bool], ...] = (
    ("/chat/completions", "chat", True),
    ("/responses", "responses", False),
    ("/messages", "messages", False),
    ("/embeddings", "embeddings", False),
    ("/completions", "completions", False),
)
"""(end of the path, shape, whether that alone is enough). The others are common words, so a host that nobody knows must
show more: see `needs`."""

VERBS: dict[str, tuple[Shape, bool]] = {
    "generateContent": ("generate", False),
    "streamGenerateContent": ("generate", True),
    "rawPredict": ("messages", False),
    "streamRawPredict": ("messages", True),
}
BEDROCK: dict[str, tuple[Shape, bool]] = {
    "converse": ("converse", False),
    "converse-stream": ("converse", True),
    "invoke": ("invoke", False),
    "invoke-with-response-stream": ("invoke", True),
}
NEEDS: dict[str, tuple[str, ...]] = {
    "responses": ("model", "input"),
    "messages": ("model", "messages", "max_tokens"),
    "embeddings": ("model", "input"),
    "completions": ("model", "prompt"),
}
"""Members that the body of a request to an unknown host must have to be a model call."""


class ModelRequest(Struct, frozen=True):
    """What a request is by its address. `model` and `is_stream` are empty where only the body tells them; `needs`:
    members that the body must have, because the address alone is not certain."""

    provider: str
    shape: Shape
    model: str = ""
    is_stream: bool | None = None
    needs: tuple[str, ...] = ()


class Below(Struct, frozen=True):
    """A provider that the settings name: all below this URL is its."""

    provider: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port, as lists of hosts have them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def holds(self, host: str, port: int, path: str) -> bool:
        below = path.startswith(self.path) and path[len(self.path) : len(self.path) + 1] in ("", "/", "?")
        return host == self.host and port == self.port and below


def hosts_of(provider: str) -> tuple[str, ...]:
    """The hosts of a known provider, as lists of hosts have them; none for a name that is not known."""
    ends = tuple(f"*{end}" for end, name in ENDINGS.items() if name == provider and end.startswith("."))
    known = tuple(host for host, name in HOSTS.items() if name == provider)
    return (*known, *ends, *MORE_HOSTS.get(provider, ()))


def read_below(provider: str, url: str) -> Below:
    """The place that a URL of the settings names. Raises `ValueError`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected a URL, as in https://gateway.example.com/v1")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Below(provider, parts.hostname.lower(), port, parts.path.rstrip("/"))


def recognise(host: str, port: int, path: str, places: tuple[Below, ...] = ()) -> ModelRequest | None:
    """What a POST to this address is. `host` in lower case, `path` without its query."""
    place = next((one for one in places if one.holds(host, port, path)), None)
    provider = place.provider if place is not None else _provider_of(host)
    last = path.rpartition("/")[2]
    if ":" in last:
        return _google(provider or host, path)
    if host.startswith("bedrock-runtime") or (place is not None and "/model/" in path):
        return _bedrock(place.provider if place is not None else "bedrock", path)
    for end, shape, is_enough in PATHS:
        if path.endswith(end):
            if provider is not None or is_enough:
                return ModelRequest(provider or f"{host}:{port}", shape)
            return ModelRequest(f"{host}:{port}", shape, needs=NEEDS[shape])
    return None


def _provider_of(host: str) -> str | None:
    known = HOSTS.get(host)
    if known is None:
        known = next((name for end, name in ENDINGS.items() if host.endswith(end)), None)
    return known


def _google(provider: str, path: str) -> ModelRequest | None:
    """`.../models/NAME:generateContent`, as in the Gemini API and in Vertex AI."""
    model, _, verb = path.rpartition("/")[2].partition(":")
    found = VERBS.get(verb)
    if found is None or "/models/" not in path:
        return None
    return ModelRequest(provider, found[0], unquote(model), found[1])


def _bedrock(provider: str, path: str) -> ModelRequest | None:
    """`/model/ID/converse` and its kin; the id may be an ARN with escaped slashes."""
    model, _, verb = path.rpartition("/model/")[2].rpartition("/")
    found = BEDROCK.get(verb)
    return None if found is None or not model else ModelRequest(provider, found[0], unquote(model), found[1])


class ProviderState(Struct, frozen=True):
    """One model of one provider, as this node has seen it since it started."""

    provider: str
    model: str
    breaker: State
    opens_in: float
    """Seconds until calls may go through again; 0: now."""
    in_flight: int
    waiting: int
    calls: dict[str, int]
    """By outcome."""
    tokens: Tokens
    cost_usd: float
    price: Price | None
