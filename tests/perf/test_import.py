"""What a program pays for `import pilothouse`, and what a node and a host hold that nothing asks anything of.

Counted in modules, since milliseconds and megabytes belong to the machine.
"""

import subprocess
import sys

import httpx2
import pytest

from tests.cli.served import serve

HEAVY = ("asyncio", "concurrent", "dataclasses", "httpx2", "logging", "multiprocessing", "ssl", "starlette", "uvloop")
"""What nobody needs who only declares an agent."""
LIMIT = 140
"""Modules, those that Python loads anyway included."""
HOST_HEAVY = ("email", "http", "importlib.metadata", "json", "multiprocessing", "pickle", "shutil", "tempfile")
"""What a host does without until user code imports it."""
HOST_LIMIT = 290
UNASKED = {
    "aiormq": "a source or a receiver",
    "asyncpg": "records that several nodes share",
    "cedarpy": "a policy",
    "cronsim": "a schedule",
    "cryptography": "a signature: the audit log has grown",
    "httpx2": "a webhook",
    "importlib.metadata": "somebody who asks for the version",
    "joserfc": "somebody who signs in",
    "jsonschema_rs": "a schema to check by",
    "nats": "a broker",
    "obstore": "large payloads kept elsewhere",
    "opentelemetry": "a collector",
    "pilothouse.communication.http.openapi": "somebody who reads the reference",
    "prometheus_client": "a scrape",
    "redis": "a broker or a hot store",
    "rich": "a person at a terminal",
    "smtplib": "a mail",
    "watchfiles": "a developer who edits agents",
    "websockets": "a socket",
    "yaml": "a manifest",
    "zoneinfo": "a schedule",
}
"""By what a node imports when it comes, and not before."""
AGENT = """
import sys
from pilothouse import agent

@agent
async def modules(text: str) -> list[str]:
    return sorted(sys.modules)
"""
INLINE = '[server]\nport = 0\n[worker]\nisolation = "inline"\n[agents.modules]\ntarget = "told:modules"\n'


def modules_of(statement: str) -> list[str]:
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_sdk_brings_nothing_heavy_and_not_much():
    modules = modules_of("import pilothouse")
    assert [one for one in HEAVY if one in modules] == []
    assert len(modules) < LIMIT


def test_a_host_brings_what_attempts_need_and_not_much():
    modules = modules_of("import pilothouse.sdk.host")
    assert [one for one in HOST_HEAVY if one in modules] == []
    assert len(modules) < HOST_LIMIT


@pytest.mark.slow
def test_a_node_that_answered_a_run_holds_nothing_that_only_others_would_need(tmp_path):
    """The agent runs inside of the node, so it sees what the node imported. A scrape then shows that the list is no
    accident of names: it brings the library that it asks for."""
    (tmp_path / "told.py").write_text(AGENT)
    (tmp_path / "pilothouse.toml").write_text(INLINE)
    with serve(tmp_path) as url, httpx2.Client(base_url=url, timeout=60) as client:
        idle = ask(client)
        client.get("/metrics").raise_for_status()
        scraped = ask(client)
    assert "pilothouse.app" in idle
    assert {one: UNASKED[one] for one in idle if one in UNASKED} == {}
    assert "prometheus_client" in scraped


def ask(client: httpx2.Client) -> list[str]:
    answer = client.post("/v1/agents/modules/runs", json={"input": "x"}).raise_for_status().json()
    return answer["output"]
