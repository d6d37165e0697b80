"""One node that serves agents of Google ADK and of CrewAI at the same time, though their requirements contradict each
other. The environments are made by the node's own command from the locked lists, once, and kept in .venv-frameworks.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile

import pytest

from pilothouse.testing import Answer
from tests.frameworks.stage import HERE, LOADS_WITHIN, ROOT, Desk, call, calls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

BUILD_WITHIN = 1000.0
KEPT = ROOT / ".venv-frameworks" / "kept"
MODULES = {"google_adk": "adk_desk", "crewai": "crew_desk"}
VERSIONS = """
from importlib.metadata import version
from pilothouse import agent

@agent
def telemetry() -> str:
    return version("opentelemetry-sdk")
"""


def write_project(folder):
    folder.mkdir()
    shutil.copy(HERE / "outside.py", folder)
    (folder / "versions.py").write_text(VERSIONS)
    tables = [f'[egress]\nmode = "open"\n[server]\nport = 0\n[environments]\nfolder = "{KEPT}"\ntool = "uv"\n']
    for framework, module in MODULES.items():
        shutil.copy(HERE / framework / "agents" / "desk.py", folder / f"{module}.py")
        needs = f'environment = "{ROOT / "requirements" / "frameworks" / framework}.txt"'
        tables.append(f'[agents.{framework}]\ntarget = "{module}:support"\nmode = "event"\n{needs}\n')
        tables.append(f'[agents.{framework}-versions]\ntarget = "versions:telemetry"\n{needs}\n')
    (folder / "pilothouse.toml").write_text("\n".join(tables))


@pytest.fixture
async def desk(tmp_path):
    write_project(tmp_path / "project")
    build = [sys.executable, "-m", "pilothouse", "environments", "build"]
    done = await asyncio.to_thread(
        subprocess.run, build, cwd=tmp_path / "project", timeout=BUILD_WITHIN, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with tempfile.TemporaryDirectory(prefix="ph-") as scratch, Desk(tmp_path / "project", scratch) as standing:
        try:
            await standing.node.start()
            standing.begin()
            yield standing
        finally:
            await standing.node.end()


def minor(version):
    return tuple(int(part) for part in version.split(".")[:2])


async def test_adk_and_crewai_are_served_side_by_side(desk):
    adk, crew = [(await desk.caller.start(f"{name}-versions", None, headers={})).body["output"] for name in MODULES]
    assert minor(adk) < (1, 45) <= minor(crew), "what one of them needs, the other forbids"

    said = desk.says(calls(call("look", "c1", what="lamp")), Answer("here"))
    gate = said.hold(1)
    runs = [
        (await desk.caller.start("google_adk", "where is it?")).body["id"],
        (await desk.caller.start("crewai", {"thing": "lamp"})).body["id"],
    ]
    await asyncio.to_thread(gate.wait_held, 2, LOADS_WITHIN)
    assert [(await desk.caller.run(run))["status"] for run in runs] == ["running", "running"]
    gate.open()
    for run in runs:
        assert (await desk.caller.wait_end(run, LOADS_WITHIN))["output"] == "here"
        assert [one.step for one in desk.receiver.of(run)] == ["look lamp"]
    assert {one.api for one in desk.requests} == {"gemini", "chat"}
