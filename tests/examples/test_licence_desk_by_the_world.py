"""The licence desk with a source and a receiver: a file and a CloudEvent start audits, the reports arrive signed."""

import base64
import hashlib
import hmac
import json
import urllib.request

import pytest

from tests.examples.test_licence_desk_end_to_end import Desk, running
from tests.examples.test_licence_rules import MIT
from tests.receiver import receiving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

SECRET = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQ="


@pytest.fixture
def hook():
    """Keeps the body of every post that is signed with the secret."""
    heard: list[dict] = []

    def hear(headers, body) -> int:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        is_signed = headers["webhook-signature"] == f"v1,{wanted}"
        if is_signed:
            heard.append(json.loads(body))
        return 204 if is_signed else 401

    with receiving(hear) as url:
        yield f"{url}reports", heard


def test_a_file_and_a_cloudevent_start_audits_and_their_reports_arrive_signed(tmp_path, hook):
    url, heard = hook
    vendored = tmp_path / "vendored" / "thing"
    vendored.mkdir(parents=True)
    (vendored / "LICENSE").write_text(MIT)
    asked = json.dumps({"folder": str(vendored.parent)})
    variables = {"PILOTHOUSE_CONFIG": "world.toml", "PILOTHOUSE_DELIVERIES_SECRET": SECRET, "REPORT_HOOK": url}
    with running(tmp_path, **variables) as desk:
        assert isinstance(desk, Desk)
        (desk.folder / "inbox").mkdir(exist_ok=True)
        (desk.folder / "inbox" / "vendored.json").write_text(asked)
        (desk.folder / "inbox" / "letter.json").write_text('"Dear Sir or Madam"')
        event = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/tests", "ce-type": "audit.wanted"}
        request = urllib.request.Request(
            f"{desk.url}/v1/sources/events/messages", asked.encode(), {"content-type": "application/json", **event}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.loads(answer.read())["items"][0]["outcome"] == "run"
        desk.until(lambda: len(heard) >= 2, "two reports")
        desk.until(lambda: list((desk.folder / "inbox" / "failed").glob("letter.json.reason.txt")), "the reason")
        assert [one["type"] for one in heard] == ["run.succeeded"] * 2
        assert {one["data"]["metadata"]["source"] for one in heard} == {"inbox", "events"}
        assert all(one["data"]["output"] for one in heard)
        assert (desk.folder / "inbox" / "done" / "vendored.json").exists()
