"""Where a model call may go instead: another model, at the same provider or at another one that speaks the same.

A request is never translated from one shape into another: messages, tools and images that look alike are not, and an
agent that gets another answer than it can read is worse off than one that gets an error. So a chain leads only to who
speaks the shape of the call. What may be known of that is said when the settings are loaded (`unfit`), the rest when
the call is made (`Detour.reason`). What a client sent to prove itself to one provider never goes to another.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from pilothouse.domain.provider import ModelRequest, Shape
from pilothouse.domain.secret import HANDLE

Headers = list[tuple[str, str]]

PLAIN: tuple[Shape, ...] = ("chat", "completions", "responses", "embeddings")
SPOKEN: dict[str, tuple[Shape, ...]] = {
    "openai": PLAIN,
    "azure": PLAIN,
    "anthropic": ("messages",),
    "google": ("generate",),
    "bedrock": ("converse", "invoke"),
    "mistral": ("chat", "embeddings"),
    "groq": ("chat", "responses"),
    "deepseek": ("chat", "completions"),
    "x-ai": ("chat", "responses", "messages"),
    "together": ("chat", "completions", "embeddings"),
    "fireworks": ("chat", "completions", "embeddings", "messages"),
    "cerebras": ("chat", "completions"),
    "perplexity": ("chat",),
    "openrouter": ("chat", "completions", "responses", "messages"),
}
"""What known providers speak at their own address; `speaks` in the settings says otherwise."""

BASES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "google": "https://generativelanguage.googleapis.com/v1beta",
    "mistral": "https://api.mistral.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
    "deepseek": "https://api.deepseek.com",
    "x-ai": "https://api.x.ai/v1",
    "together": "https://api.together.xyz/v1",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "perplexity": "https://api.perplexity.ai",
    "openrouter": "https://openrouter.ai/api/v1",
}
"""What the paths of the shapes are appended to. The others have an address for each customer or region."""

PATHS: dict[Shape, str] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
    "messages": "/messages",
}
IN_PATH: frozenset[Shape] = frozenset({"generate", "converse", "invoke"})
"""Shapes whose model stands in the path."""

GOES_ALONG = frozenset({"accept", "content-type", "anthropic-version", "anthropic-beta", "traceparent", "tracestate"})
"""Headers that say something of the request and nothing of who asks: all others stay with the first provider."""
KEYS = {"messages": "x-api-key", "generate": "x-goog-api-key"}
ANTHROPIC_VERSION = "2023-06-01"
SIGNED = "aws4-"


class Fallback(Struct, array_like=True, frozen=True):
    """What to ask instead. `provider` empty: the one that was asked."""

    model: str
    provider: str = ""

    def __str__(self) -> str:
        return f"{self.provider}: {self.model}" if self.provider else self.model


class Place(Struct, array_like=True, frozen=True):
    """Where a provider is reached by who was not meant for it. `secret`: the name of the handle of its key."""

    url: str
    speaks: tuple[Shape, ...]
    secret: str = ""


class Detour(Struct, frozen=True):
    """A request on its way to somebody else; `reason` set: there is none."""

    provider: str = ""
    model: str = ""
    url: str = ""
    headers: Headers = []
    in_body: bool = True
    """Whether the body names the model too."""
    reason: str = ""


def place_of(provider: str, url: str | None, speaks: tuple[Shape, ...], secret: str | None) -> Place:
    """Known providers need neither an address nor to say what they speak."""
    return Place((url or BASES.get(provider, "")).rstrip("/"), speaks or SPOKEN.get(provider, ()), secret or "")


def detour(url: str, headers: Headers, seen: ModelRequest, to: Fallback, places: Mapping[str, Place]) -> Detour:
    """The address and the headers with which a request goes to somebody else."""
    provider = to.provider or seen.provider
    place = places.get(provider)
    if provider == seen.provider:
        return _at_the_same(url, headers, seen, to.model, place)
    if place is None or not place.url:
        return Detour(reason=f"nothing says where {provider} is")
    if seen.shape not in place.speaks or (seen.model and seen.shape not in IN_PATH):
        spoken = ", ".join(place.speaks) or "nothing that is known"
        return Detour(reason=f"the call is of the shape {seen.shape}, and {provider} speaks {spoken}")
    if seen.shape in IN_PATH:
        parts = urlsplit(url)
        kept = [(name, value) for name, value in parse_qsl(parts.query) if name != "key"]
        path = "/" + _named(parts.path, seen.shape, to.model)
        target = place.url + path + (f"?{urlencode(kept)}" if kept else "")
    else:
        target = place.url + PATHS[seen.shape]
    taken = [(name, value) for name, value in headers if name.lower() in GOES_ALONG]
    if seen.shape == "messages" and not any(name.lower() == "anthropic-version" for name, _ in taken):
        taken.append(("anthropic-version", ANTHROPIC_VERSION))
    return Detour(provider, to.model, target, taken + _key(seen.shape, place), seen.shape not in IN_PATH)


def _at_the_same(url: str, headers: Headers, seen: ModelRequest, model: str, place: Place | None) -> Detour:
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    if not seen.model:
        return Detour(seen.provider, model, url, kept)
    if any(name.lower() == "authorization" and value.lower().startswith(SIGNED) for name, value in headers):
        if place is None or not place.secret:
            return Detour(reason=f"the request is signed for one model, and {seen.provider} has no secret to go by")
        amazon = ("authorization", "x-amz-")
        kept = [(name, value) for name, value in kept if not name.lower().startswith(amazon)]
        kept += _key(seen.shape, place)
    parts = urlsplit(url)
    before = parts.path[: _start(parts.path, seen.shape)]
    path = before + _named(parts.path, seen.shape, model)
    return Detour(seen.provider, model, urlunsplit(parts._replace(path=path)), kept, in_body=False)


def _start(path: str, shape: Shape) -> int:
    return path.rindex("/model/" if shape in ("converse", "invoke") else "/models/") + 1


def _named(path: str, shape: Shape, model: str) -> str:
    """The end of a path that names its model, with another one."""
    if shape in ("converse", "invoke"):
        return f"model/{quote(model, safe='')}/{path.rpartition('/')[2]}"
    return f"models/{quote(model, safe='')}:{path.rpartition(':')[2]}"


def _key(shape: Shape, place: Place) -> Headers:
    if not place.secret:
        return []
    name = KEYS.get(shape)
    handle = HANDLE + place.secret
    return [(name, handle)] if name else [("authorization", f"Bearer {handle}")]


def unfit(source: str, chain: tuple[Fallback, ...], places: Mapping[str, Place]) -> list[str]:
    """What of a chain can never work, in sentences with the next step. `source`: whose calls it is for; empty: those
    of any provider."""
    faults = []
    spoken = set(places[source].speaks) if source in places else set(SPOKEN.get(source, ()))
    by = source
    for to in chain:
        name = to.provider or source
        if "bedrock" in (name, source) and name == source and not places.get(name, Place("", ())).secret:
            faults.append(
                f"{to} cannot be asked instead: requests to bedrock are signed for one model. Give it a Bedrock API "
                f"key: secret = NAME in [providers.{name}], with a [secrets.NAME]"
            )
        if not to.provider or to.provider == source:
            continue
        place = places.get(to.provider)
        if place is None:
            faults.append(f"there is no [providers.{to.provider}]; add it, with a secret = NAME for its key")
        elif not place.url:
            faults.append(f"nothing says where {to.provider} is; set url in [providers.{to.provider}]")
        elif not place.speaks:
            faults.append(f'nothing says what {to.provider} speaks; set speaks, as in ["chat"], in its table')
        elif spoken and not spoken & set(place.speaks):
            faults.append(
                f"{to} cannot answer for {by}: {by} speaks {', '.join(sorted(spoken))}, {to.provider} speaks "
                f"{', '.join(place.speaks)}, and no request is translated. Name a provider that speaks the same (a "
                f"gateway: set its url and speaks), or let the framework change models"
            )
        else:
            spoken = spoken & set(place.speaks) if spoken else set(place.speaks)
            by = by or to.provider
    return faults
