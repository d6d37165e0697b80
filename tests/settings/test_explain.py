"""Every setting is listed with its value and who set it, and no secret is ever shown."""

import pytest
from msgspec.structs import fields

from pilothouse.errors import SettingsInvalid
from pilothouse.settings import explain_settings, load_settings
from pilothouse.settings.expectation import mask_password, shorten
from pilothouse.settings.tree import SECTIONS

SECRET = "hunter2"


def test_every_setting_is_listed_with_its_source(tmp_path):
    (tmp_path / "pilothouse.toml").write_text(
        "[server]\nport = 2\n[agents.a]\ntarget = 'a:a'\nretry = { attempts = 2 }\n", encoding="utf-8"
    )
    found = {one.name: one for one in explain_settings(load_settings({}, folder=tmp_path))}
    assert {f"{section}.{one.name}" for section, kind in SECTIONS.items() for one in fields(kind)} <= set(found)
    assert (found["server.port"].value, found["server.port"].source) == (2, "pilothouse.toml:2")
    assert (found["server.host"].value, found["server.host"].source) == ("127.0.0.1", "default")
    assert found["agents.a.target"].value == "a:a"
    assert found["agents.a.retry"].value["attempts"] == 2
    assert found["agents.a.timeout_seconds"].value is None


def test_a_password_is_not_in_a_message_about_its_setting(tmp_path):
    environ = {"PILOTHOUSE_RECORDS_URL": f"postgresql://ann:{SECRET}@db.example"}
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(environ, folder=tmp_path)
    assert "expected the name of a database" in caught.value.message
    assert SECRET not in caught.value.message + caught.value.hint
    assert "ann:***@db.example" in caught.value.message


def test_a_password_is_not_in_the_list(tmp_path):
    environ = {"PILOTHOUSE_RECORDS_URL": f"sqlite:///x://ann:{SECRET}@y"}
    shown = [one.value for one in explain_settings(load_settings(environ, folder=tmp_path))]
    assert SECRET not in str(shown)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///pilothouse.db", "sqlite:///pilothouse.db"),
        (f"postgresql://ann:{SECRET}@db:5432/x", "postgresql://ann:***@db:5432/x"),
        ("postgresql://ann@db/x", "postgresql://ann@db/x"),
        (f"postgresql://ann:{SECRET}/@db/x", "***"),
        (f"http://[ann:{SECRET}@db", "***"),
    ],
)
def test_the_password_of_a_url_is_hidden_and_what_cannot_be_read_is_hidden_whole(url, shown):
    assert mask_password(url) == shown
    assert SECRET not in mask_password(url)


def test_a_long_value_is_cut():
    assert len(shorten("x" * 1000)) == 80
    assert shorten("short") == "short"


def test_a_table_in_a_table_is_shown_as_it_is_and_a_secret_is_not(tmp_path):
    (tmp_path / "pilothouse.toml").write_text(
        "[providers.local]\nprices = { m = { input = 1 } }\n[secrets.KEY]\nvalue = 'sk-canary'\n"
    )
    found = {one.name: one.value for one in explain_settings(load_settings({}, folder=tmp_path))}
    assert found["providers.local.prices"]["m"]["input"] == 1
    assert found["secrets.KEY.value"] == "***"
    assert "sk-canary" not in repr(found)
