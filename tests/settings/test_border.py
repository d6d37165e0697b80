"""The border in the settings: fallbacks and hedges are read, and what can never work is told before anything starts."""

import pytest

from pilothouse.domain.fallback import Fallback, Place
from pilothouse.domain.hedge import HedgeRule
from pilothouse.errors import SettingsInvalid
from pilothouse.settings import load_settings
from pilothouse.settings.border import outgoing_options

FILE = """
[egress.fallbacks]
big = ["small"]
[secrets.GROQ]
value = "gsk-0123456789"
hosts = ["api.groq.com"]
[providers.groq]
secret = "GROQ"
[providers.gateway]
url = "http://127.0.0.1:9/v1"
speaks = ["chat", "responses"]
[providers.openai]
hedge = { percentile = 0.95, after_seconds = 2.5, models = ["gpt"] }
[providers.openai.fallbacks]
gpt = ["gpt-small", { provider = "groq", model = "llama" }, { provider = "gateway", model = "local" }]
"""


def border(folder, text):
    (folder / "pilothouse.toml").write_text(text)
    return outgoing_options(load_settings({}, folder=folder)).border


def test_fallbacks_and_hedges_are_what_hosts_are_told(tmp_path):
    found = border(tmp_path, FILE)
    assert found.fallbacks == {"big": (Fallback("small"),)}
    chain = (Fallback("gpt-small"), Fallback("llama", "groq"), Fallback("local", "gateway"))
    assert found.provider_fallbacks == {"openai": {"gpt": chain}}
    assert found.hedges == {"openai": HedgeRule(2.5, 0.95, ("gpt",))}
    assert found.places["groq"] == Place("https://api.groq.com/openai/v1", ("chat", "responses"), "GROQ")
    assert found.places["gateway"] == Place("http://127.0.0.1:9/v1", ("chat", "responses"))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "[providers.anthropic.fallbacks]\nclaude = [{ provider = \"groq\", model = \"llama\" }]",
            "no request is translated",
        ),
        ('[providers.mistral.fallbacks]\nm = [{ provider = "nobody", model = "x" }]', "there is no [providers.nobody]"),
        ('[providers.mistral.fallbacks]\nm = [{ provider = "groq", modle = "x" }]', "providers.mistral.fallbacks"),
        ('[providers.mistral]\nsecret = "NONE"', "there is no [secrets.NONE]"),
        ('[providers.mistral]\nsecret = "GROQ"', "add that to secrets.GROQ.hosts"),
        ('[providers.mistral]\nhedge = { models = ["x"] }', "expected after_seconds or percentile"),
        ('[providers.bedrock.fallbacks]\nm = ["n"]', "Give it a Bedrock API key"),
    ],
)  # fmt: skip
def test_what_can_never_work_stops_the_node_with_the_next_step(tmp_path, more, told):
    with pytest.raises(SettingsInvalid) as refused:
        border(tmp_path, f"{FILE}\n{more}\n")
    assert told in str(refused.value)
