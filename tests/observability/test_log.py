"""What agents print: in the events of their run and in the node's log with run, session, tenant and trace, scrubbed."""

import json

import httpx2
import pytest

from pilothouse.domain.run import Run
from pilothouse.errors import SettingsInvalid
from pilothouse.observability.log import Log
from pilothouse.settings.tree import LogSettings
from pilothouse.settings.work import scrubber
from tests.cli.served import serve

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RUN = Run(tenant="acme", id="run_a", agent="desk", release="r1", mode="event", status="running", epoch=1, session="s1",
          created_at=1)  # fmt: skip

AGENTS = """
from pilothouse import agent

@agent(mode="event")
def talk(text: str) -> str:
    print(f"for {text}, order MRN-77")
    raise ValueError(f"cannot write to {text}")
"""
SETTINGS = """[server]
port = 0
[log]
format = "json"
scrub_patterns = ["MRN-[0-9]+"]
[agents.talk]
target = "talker:talk"
"""


def lines_of(is_traced):
    lines = []
    log = Log(lines.append, form="json")
    log.is_traced = is_traced
    log.host("stdout", "hello", RUN, CALLER)
    return [json.loads(line) for line in lines]


def test_a_line_of_a_run_names_run_session_tenant_and_the_trace_when_there_are_traces():
    (line,) = lines_of(is_traced=True)
    assert {name: line[name] for name in ("message", "run", "session", "tenant", "trace")} == {
        "message": "hello", "run": "run_a", "session": "s1", "tenant": "acme", "trace": CALLER[3:35],
    }  # fmt: skip
    assert "trace" not in lines_of(is_traced=False)[0]


def test_a_pattern_that_cannot_be_read_stops_the_start():
    with pytest.raises(SettingsInvalid, match=r"log\.scrub_patterns: '\['"):
        scrubber(LogSettings(scrub_patterns=("[",)))


@pytest.mark.slow
def test_personal_data_that_an_agent_prints_is_in_no_event_and_in_no_log(tmp_path):
    (tmp_path / "talker.py").write_text(AGENTS)
    (tmp_path / "pilothouse.toml").write_text(SETTINGS)
    with serve(tmp_path) as url, httpx2.Client(base_url=url, timeout=60) as client:
        started = client.post("/v1/agents/talk/runs", json={"input": "ann@shop.example"}).json()
        client.get(f"/v1/runs/{started['id']}", params={"wait": 30})
        stream = client.get(f"/v1/runs/{started['id']}/events").text
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    told = [one for one in events if "stream" in one]
    assert [one["text"] for one in told] == ["for [email], order [scrubbed]"]
    log = (tmp_path / "serve.log").read_text()
    assert "for [email], order [scrubbed]" in log
    assert "cannot write to [email]" in log, "the traceback is in the log of the node"
    assert "ann@shop.example" not in log
