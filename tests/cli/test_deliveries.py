"""`pilothouse deliveries`: what did not arrive is shown with the reason, and sent once more."""

import json

import pytest

from pilothouse.cli.exits import Exit
from tests.cli.served import SETTINGS, CommandLine, make_project, serve
from tests.receiver import receiving

pytestmark = pytest.mark.slow


@pytest.fixture
def receiver():
    """Answers 410 once and 200 from then on."""
    heard: list[dict] = []

    def hear(headers, body) -> int:
        heard.append(json.loads(body))
        return 410 if len(heard) == 1 else 200

    with receiving(hear) as url:
        yield url, heard


def test_a_receiver_of_the_settings_is_told_and_what_it_did_not_take_is_sent_once_more(tmp_path, receiver):
    url, heard = receiver
    folder = make_project(tmp_path)
    secret = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="
    more = f'\n[deliveries]\nloopback = true\nsecret = "{secret}"\n[receivers.shop]\nurl = "{url}"\n'
    (folder / "pilothouse.toml").write_text(SETTINGS + more)
    with serve(folder) as address:
        cli = CommandLine(folder, address)
        assert "There are no deliveries like that." in cli("deliveries").stderr
        run = cli.json("run", "stepped", "abc")["id"]
        while not (dead := cli.json("deliveries", "list", "--status", "dead", "--run", run)["items"]):
            pass
        table = cli("deliveries", "--receiver", "shop").stdout
        assert table.split()[:2] == ["DELIVERY", "STATUS"]
        assert "410" in table
        assert cli("deliveries", "retry", dead[0]["id"]).exit_code == Exit.DONE
        while not (done := cli.json("deliveries", "list", "--status", "delivered")["items"]):
            pass
        assert done[0]["id"] == dead[0]["id"]
        assert heard[0] == heard[1]
        assert cli("deliveries", "retry", "dlv_no").exit_code == Exit.NOT_FOUND
