"""Tables of which there is one for each name, and secrets that stand somewhere else."""

import pytest

from pilothouse.app import delivery_options, receivers
from pilothouse.errors import SettingsInvalid
from pilothouse.settings import explain_settings, load_settings
from pilothouse.settings.work import pools

SECRET = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="
FILE = """
[deliveries]
secret = "$TOLD"
networks = ["10.1.0.0/16"]

[receivers.shop]
url = "$SHOP_URL"
events = ["run.failed"]
where = { "metadata.team" = "blue" }
headers = { "X-Key" = "$SHOP_KEY" }

[receivers.ops]
url = "https://chat.example/T0/B0/s3cr3t"
format = "slack"
"""
ENVIRON = {"TOLD": SECRET, "SHOP_URL": "https://shop.example/hook", "SHOP_KEY": "k3y"}


def load(folder, text=FILE, environ=ENVIRON):
    (folder / "pilothouse.toml").write_text(text)
    return load_settings(environ, folder=folder)


def test_receivers_are_read_with_their_secrets_from_the_variables_they_name(tmp_path):
    settings = load(tmp_path)
    assert settings.receivers["shop"].url == "https://shop.example/hook"
    options = delivery_options(settings)
    assert options.receivers["shop"].keys == options.keys == (b"old-old-old-old-old-old",)
    assert options.receivers["shop"].headers == {"X-Key": "k3y"}
    shop, ops = receivers(settings).all
    assert (shop.name, shop.events, shop.where) == ("shop", ("run.failed",), {"metadata.team": "blue"})
    assert ops.events == ("run.cancelled", "run.failed", "run.succeeded")
    assert receivers(settings).signs


def test_no_secret_is_shown(tmp_path):
    shown = str(explain_settings(load(tmp_path)))
    assert "chat.example" not in shown
    for secret in ("s3cr3t", "k3y", SECRET, "shop.example"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[receivers.shop]\nurl = "$NOWHERE"', "is to come from $NOWHERE, which is not set"),
        ('[receivers.shop]\nformat = "slack"', "receivers.shop needs a url"),
        ('[receivers.shop]\nurl = "https://x.example"\nevent = ["run.failed"]', "did you mean events?"),
        ('[receivers.shop]\nurl = "https://x.example"\nevents = ["output.delta"]', "expected an array, each"),
        ('[receivers."a b"]\nurl = "https://x.example"', "is no name for a receiver"),
        ("[receivers]\nshop = 1", "write [receivers.shop]"),
        ("receivers = 1", "a table with one table for each receiver"),
        ("[receiver.shop]\nurl = 1", "did you mean receivers?"),
    ],
)
def test_what_is_wrong_with_a_receiver_is_told_with_its_place(tmp_path, text, told):
    with pytest.raises(SettingsInvalid) as refused:
        load(tmp_path, text)
    assert told in str(refused.value)
    assert "pilothouse.toml" in str(refused.value) or "needs a" in told


@pytest.mark.parametrize("text", ['[deliveries]\nsecret = "short"', '[deliveries]\nnetworks = ["all"]'])
def test_a_secret_or_network_that_cannot_be_used_stops_the_node(tmp_path, text):
    with pytest.raises(SettingsInvalid):
        delivery_options(load(tmp_path, text))


def test_a_variable_cannot_set_a_named_table(tmp_path):
    with pytest.raises(SettingsInvalid, match=r"receivers are set in pilothouse.toml only"):
        load_settings({"PILOTHOUSE_RECEIVERS_SHOP_URL": "x"}, folder=tmp_path)


def test_a_pool_connects_without_asking_so_rules_about_that_refuse_it(tmp_path):
    (tmp_path / "pilothouse.toml").write_text('[pools.heavy]\nprocesses = 3\n[egress]\nmode = "open"\n')
    [found] = pools(load_settings({}, folder=tmp_path)).values()
    assert (found.kind, found.processes, found.cpus) == ("local", 3, 3.0)
    (tmp_path / "pilothouse.toml").write_text('[pools.heavy]\nprocesses = 3\n[egress]\nmode = "listed"\n')
    with pytest.raises(SettingsInvalid, match="steps of a pool connect without asking"):
        pools(load_settings({}, folder=tmp_path))
